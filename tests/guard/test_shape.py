"""The repository's own rules, checked: layers, the only reader of the environment, docs that name every setting."""

from __future__ import annotations

import ast
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest

from levada.config import PREFIX, RANGES, Config
from tests.conftest import ROOT

PACKAGE = ROOT / "functions" / "levada"
MODULES = sorted(PACKAGE.rglob("*.py"))
EDGES = {
    *(
        path
        for pattern in ("*/*handler.py", "*/route_*.py", "*/answers.py", "adapters/*.py")
        for path in PACKAGE.glob(pattern)
    ),
    PACKAGE / "wiring.py",
    PACKAGE / "observe.py",
    PACKAGE / "producer" / "connect.py",
}
EDGE_ONLY = ("boto", "aws_lambda_powertools", "levada.adapters", "levada.wiring", "levada.observe")
CATALOG = PACKAGE / "archive" / "catalog.py"


def _imports(path: Path) -> set[str]:
    tree = ast.parse(path.read_text())
    names = {a.name for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names}
    return names | {n.module or "" for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)}


def _name(path: Path) -> str:
    return str(path.relative_to(PACKAGE))


@pytest.mark.parametrize("path", MODULES, ids=_name)
def test_pure_modules_know_no_edge_and_nothing_deployed_knows_the_tools(path: Path) -> None:
    forbidden = ("levadactl", "tests") if path in EDGES else ("levadactl", "tests", *EDGE_ONLY)

    assert not [name for name in _imports(path) if name.startswith(forbidden)]


@pytest.mark.parametrize("path", MODULES, ids=_name)
def test_only_the_config_reads_the_environment(path: Path) -> None:
    reads = [n for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.Attribute) and n.attr == "environ"]

    assert not reads or path == PACKAGE / "config.py"


@pytest.mark.parametrize("path", MODULES, ids=_name)
def test_only_the_catalog_touches_pandas_or_awswrangler(path: Path) -> None:
    heavy = {name for name in _imports(path) if name.split(".")[0] in ("pandas", "awswrangler")}

    assert not heavy or path == CATALOG


@pytest.mark.parametrize("path", [*MODULES, *sorted((ROOT / "infra").rglob("*.py"))], ids=lambda p: str(p.name))
def test_a_file_stays_readable(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 350, "split it by concept: about 300 lines is the house's limit"


HANDLERS = {
    "levada.ingest.http_handler": ("pyarrow", "numpy", "pandas", "awswrangler", "boto3"),
    "levada.ingest.files_handler": ("numpy", "pandas", "awswrangler", "boto3"),
    "levada.clean.handler": ("numpy", "pandas", "awswrangler", "boto3"),
    "levada.aggregate.handler": ("pandas", "awswrangler", "boto3"),
    "levada.query.handler": ("pandas", "awswrangler", "boto3"),
    "levada.producer": ("pyarrow", "numpy", "pandas", "boto3"),
    "levada.archive.handler": ("pandas", "awswrangler", "boto3"),
}


@pytest.mark.parametrize("module", HANDLERS)
def test_importing_a_handler_loads_nothing_heavy_and_builds_no_client(module: str) -> None:
    """Cold start: a client (boto3) is built by the first call, columns only where columns are worked on."""
    program = f"import sys, {module}; print(*sorted(n for n in sys.modules if '.' not in n))"
    # numpy and pandas are installed here but not in the light artifacts: pyarrow takes numpy up when it is there
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()

    allowed = {"numpy"} if "pyarrow" in loaded else set()
    assert not set(HANDLERS[module]) & set(loaded) - allowed


HTTP_PACKAGES = {"aws_lambda_powertools", "botocore", "jmespath", "levada", "msgspec", "typing_extensions"}
"""What the HTTP function may import beside the standard library; of botocore its name only, which Powertools signs."""
CLIENT_PACKAGES = {"botocore", "dateutil", "jmespath", "levada", "six", "urllib3"}
"""What its client may add: boto3 would bring s3transfer, and that multiprocessing."""
HTTP_MODULES = {
    "adapters": {"clients", "errors", "kinesis", "tokens"},
    "core": {"access", "errors", "jsontext", "packs", "publishing", "timetexts"},
    "ingest": {"http_handler", "http_packs", "http_request", "instants", "items", "lanes"},
    "": {"config", "observe", "ports", "wiring"},
}
"""levada's own modules that a post of events may need, beside the domains'."""


def test_a_post_of_events_imports_these_modules_and_no_other() -> None:
    """Issue 6: the start with its client within 1.15 times a bare client. One more module is more for each start."""
    program = """
import sys
from levada.config import Config
from levada.wiring import AwsDeps
import levada.ingest.http_handler
before = set(sys.modules)
deps = AwsDeps(Config(raw_stream="raw", table="serving"))
deps.raw, deps.tokens
print(*before); print(*set(sys.modules) - before)
"""
    region = {"AWS_DEFAULT_REGION": "us-east-1"}
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, env=region)
    imported, added = (set(line.split()) for line in run.stdout.splitlines())
    known = {"__main__", "_distutils_hack", "_virtualenv"} | sys.stdlib_module_names  # what an environment starts with

    assert {name.partition(".")[0] for name in imported} - known <= HTTP_PACKAGES
    assert {name.partition(".")[0] for name in added} - known <= CLIENT_PACKAGES
    assert not {name for name in imported if name.startswith("botocore.")}
    assert "multiprocessing" not in imported | added
    own = {name.removeprefix("levada.") for name in imported | added if name.startswith("levada.")}
    allowed = {f"{folder}.{name}".strip(".") for folder, names in HTTP_MODULES.items() for name in (*names, "")}
    assert {name for name in own if name.partition(".")[0] != "domains"} <= allowed


@pytest.mark.parametrize("field", [f.name for f in fields(Config)])
def test_every_setting_is_documented(field: str) -> None:
    assert f"`{PREFIX}{field.upper()}`" in (ROOT / "docs" / "settings.md").read_text()


def test_every_ranged_setting_is_a_setting() -> None:
    assert set(RANGES) <= {f.name for f in fields(Config)}
