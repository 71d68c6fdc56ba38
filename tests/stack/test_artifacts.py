"""What is deployed, and not what this environment has: artifacts imported alone, called on a stack, built twice."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from levadactl import sizes
from levadactl.cases import CASES
from levadactl.places import Place
from tests.conftest import ROOT
from tests.stack.calls import HANDLERS, put_what_events_name

pytestmark = pytest.mark.artifacts
BUILD = ROOT / ".aws-sam" / "build"
PYTHON = f"python{sys.version_info.major}.{sys.version_info.minor}"
ONE = {
    "IngestHttpFunction": "ingest/batch",
    "IngestFilesFunction": "ingest/one_object",
    "CleanFunction": "clean/good_bad_good",
    "AggregateFunction": "aggregate/one_pack",
    "ArchiveFunction": "archive/on_time",
    "QueryFunction": "query/get_windows",
}


@pytest.fixture(scope="module")
def built() -> dict[str, tuple[str, str]]:
    graph = BUILD.parent / "build.toml"
    found = sizes.targets(graph) if graph.is_file() else {}
    if {runtime for runtime, _ in found.values()} != {PYTHON}:
        pytest.skip(f"there is no build for {PYTHON}: make test-artifacts")
    return found


@pytest.mark.parametrize("function", HANDLERS)
def test_an_artifact_runs_alone_within_its_budget(built: dict[str, tuple[str, str]], function: str) -> None:
    found = sizes.inspect(function, f"{HANDLERS[function]}.handler", BUILD / function, built[function])

    assert found.problems == ()
    assert found.import_s is not None
    assert found.size_bytes <= found.budget_bytes


@pytest.mark.parametrize("function", HANDLERS)
def test_an_artifact_does_its_work_on_a_stack(
    built: dict[str, tuple[str, str]], embedded_stack: Place, function: str
) -> None:
    """boto3, pyarrow and numpy are first used here: what only a developer's environment has would be missing."""
    case = next(case for case in CASES if f"{case.stage}/{case.name}" == ONE[function])
    put_what_events_name(embedded_stack)
    env = embedded_stack.child_environment({}) | {
        "LEVADA_BUCKET": embedded_stack.bucket,
        "LEVADA_TABLE": embedded_stack.table,
        "LEVADA_RAW_STREAM": embedded_stack.raw_stream,
        "LEVADA_CLEAN_STREAM": embedded_stack.clean_stream,
        "LEVADA_AUTH": "OPEN",
    }

    found = sizes.probe(sys.executable, BUILD / function, f"{HANDLERS[function]}.handler", case.build(), env)

    assert found["error"] == "", found["answer"]
    assert found["answer"].get("statusCode", 200) == 200, found["answer"]
    assert "pandas" not in found["modules"]


@pytest.mark.parametrize("function", ["AggregateFunction", "ArchiveFunction", "QueryFunction"])
def test_an_artifact_computes_with_the_kernels_it_brings(built: dict[str, tuple[str, str]], function: str) -> None:
    case = next(case for case in CASES if case.function == function and case.alone)

    found = sizes.probe(sys.executable, BUILD / function, f"{HANDLERS[function]}.handler", case.build(), sizes.SETTINGS)

    assert found["kernels"] == "compiled"


@pytest.mark.parametrize("function", ["IngestHttpFunction", "ArchiveFunction"])
def test_building_twice_from_nothing_gives_the_same_bytes(tmp_path: Path, function: str) -> None:
    """The archive's group holds every package of the others."""
    first, second = (digest(build(function, tmp_path / name)) for name in ("one", "two"))

    assert first == second


def build(function: str, folder: Path) -> Path:
    version = PYTHON.removeprefix("python")
    environment = {k: v for k, v in os.environ.items() if not k.startswith("MAKE")} | {
        "ARTIFACTS_DIR": str(folder / "out"),
        "DEPS_CACHE": str(folder / "cache"),
        "LAMBDA_PYTHON": version,
    }
    command = ["make", "-s", "-C", str(ROOT / "functions"), f"build-{function}", f"PYTHON={sys.executable}"]
    subprocess.run(command, env=environment, check=True, capture_output=True)
    return folder / "out"


def digest(folder: Path) -> str:
    """Of names, modes, times and contents."""
    seen = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        stat = path.stat()
        seen.update(f"{path.relative_to(folder)} {stat.st_mode} {stat.st_mtime_ns if path.is_file() else 0}\n".encode())
        if path.is_file():
            seen.update(path.read_bytes())
    return seen.hexdigest()
