"""Locks are pinned and agree, an artifact holds its own packages only, and prune.py keeps what is needed."""

from __future__ import annotations

import ast
import importlib.util
import os
import re
import shutil
import struct
import subprocess
import sys
import tomllib
from importlib.metadata import PackageNotFoundError, packages_distributions, requires, version
from pathlib import Path
from types import ModuleType

import pytest

from levadactl.embedded.templates import read_template
from levadactl.sizes import BUDGETS_MIB, wrong_libraries
from tests.conftest import ROOT

REQUIREMENTS = ROOT / "functions" / "requirements"
GROUPS = ("base", "columnar", "aggregate", "archive")
LOCKS = sorted([*REQUIREMENTS.glob("*.txt"), *REQUIREMENTS.glob("py311/*.txt"), *(ROOT / "requirements").glob("*.txt")])
LAMBDA_LIMIT_MIB = 250


def pins(path: Path) -> dict[str, str]:
    """Package to version of a lock file."""
    found = re.findall(r"(?m)^([A-Za-z0-9][A-Za-z0-9._-]*)==([^\s;\\]+)", path.read_text())
    return {name.lower().replace("_", "-"): version for name, version in found}


def groups() -> dict[str, str]:
    """Function to dependency group, as functions/Makefile has it."""
    return dict(re.findall(r"(?m)^GROUP_(\w+) = (\w+)$", (ROOT / "functions" / "Makefile").read_text()))


def load_prune() -> ModuleType:
    spec = importlib.util.spec_from_file_location("prune", ROOT / "functions" / "prune.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("path", LOCKS, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_lock_pins_every_package_with_hashes(path: Path) -> None:
    entries = [e for e in re.split(r"(?m)^(?=[A-Za-z0-9])", path.read_text()) if e and not e.startswith("#")]

    assert entries
    for entry in entries:
        assert re.match(r"[A-Za-z0-9._-]+==[^\s;]+", entry), f"not pinned: {entry.splitlines()[0]}"
        assert "--hash=sha256:" in entry, f"no hash: {entry.splitlines()[0]}"


@pytest.mark.parametrize("path", LOCKS, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_lock_names_no_machine(path: Path) -> None:
    for line in path.read_text().splitlines():
        assert not re.match(r"--|-[ief] ", line), f"a lock must not choose an index or a folder: {line}"
        assert "file:" not in line, line


@pytest.mark.parametrize("group", GROUPS)
def test_what_is_deployed_is_what_is_tested(group: str) -> None:
    tested = pins(ROOT / "requirements" / "dev.txt")
    deployed = pins(REQUIREMENTS / f"{group}.txt")

    assert deployed == {name: tested[name] for name in deployed}


@pytest.mark.parametrize("group", GROUPS)
def test_python_3_11_differs_only_where_its_glibc_forces_it(group: str) -> None:
    newer, older = pins(REQUIREMENTS / f"{group}.txt"), pins(REQUIREMENTS / "py311" / f"{group}.txt")
    overrides = pins(REQUIREMENTS / "py311" / "overrides.in")

    assert {name for name in newer if older.get(name) != newer[name]} == set(overrides) & set(newer)
    assert set(older) - set(newer) <= {"pytz", "tzdata"}, "pandas 2 asks for these two, nothing else may join"
    for name in set(overrides) & set(older):
        assert older[name] == overrides[name]


@pytest.mark.parametrize("lock", ["", "py311"])
def test_each_group_adds_to_the_one_before_it_and_only_what_it_is_for(lock: str) -> None:
    base, columnar, aggregate, archive = (set(pins(REQUIREMENTS / lock / f"{group}.txt")) for group in GROUPS)

    assert base < columnar < aggregate < archive
    assert {"aws-lambda-powertools", "msgspec", "zstandard"} <= base
    assert columnar - base == {"pyarrow", "pybase64"}
    assert aggregate - columnar == {"numpy", "datasketches"}
    # With pandas in reach pyarrow imports it: 150 ms and 40 MiB in every function that has it.
    assert {"awswrangler", "pandas"} <= archive - aggregate


@pytest.mark.parametrize("group", GROUPS)
def test_nothing_is_deployed_that_the_runtime_has(group: str) -> None:
    for folder in (REQUIREMENTS, REQUIREMENTS / "py311"):
        assert not {"boto3", "botocore", "s3transfer", "urllib3", "setuptools"} & set(pins(folder / f"{group}.txt"))


def test_every_function_of_the_template_has_a_group_a_budget_and_the_makefile_builder() -> None:
    resources = read_template(ROOT / "template.yaml")["Resources"]
    functions = {name: r for name, r in resources.items() if r["Type"] == "AWS::Serverless::Function"}

    assert set(groups()) == set(functions) == set(BUDGETS_MIB)
    assert set(groups().values()) == set(GROUPS)
    assert {r["Metadata"]["BuildMethod"] for r in functions.values()} == {"makefile"}


def test_budgets_leave_a_margin_to_lambdas_limit() -> None:
    assert max(BUDGETS_MIB.values()) <= LAMBDA_LIMIT_MIB * 0.9
    assert BUDGETS_MIB["IngestHttpFunction"] <= 15


def test_every_python_version_of_the_template_has_a_lock() -> None:
    allowed = read_template(ROOT / "template.yaml")["Parameters"]["PythonVersion"]["AllowedValues"]
    makefile = (ROOT / "functions" / "Makefile").read_text()

    for one in allowed:
        assert re.search(rf"(?m)^\t  (\S+\|)?{re.escape(one)}(\|\S+)?\) lock=", makefile), one


def test_the_installed_tools_are_the_locked_ones() -> None:
    locked = pins(ROOT / "requirements" / "dev.txt")
    wrong = {}
    for name in (
        "aws-sam-translator",
        "boto3",
        "ministack",
        "msgspec",
        "mypy",
        "numpy",
        "pyarrow",
        "pybase64",
        "ruff",
        "zstandard",
    ):
        try:
            installed = version(name)
        except PackageNotFoundError:
            installed = "missing"
        if installed != locked[name]:
            wrong[name] = f"{installed}, locked {locked[name]}"
    assert not wrong, f"run `make dev`: {wrong}"


def imports(folder: Path) -> dict[str, str]:
    """Top-level package to one file that imports it, of what is neither ours nor the standard library's."""
    ours = {"levada", "levadactl", "tests", "bench"} | sys.stdlib_module_names
    found: dict[str, str] = {}
    for path in sorted(folder.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.level == 0:
                names = [node.module or ""]
            found |= {name.partition(".")[0]: str(path.relative_to(ROOT)) for name in names}
    return {name: path for name, path in found.items() if name not in ours}


def declared(*extras: str) -> set[str]:
    """Packages that pyproject.toml names in these extras, with what their users import beside them."""
    table = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    names = {re.split(r"[\[=<>]", need)[0].lower() for extra in extras for need in table[extra]}
    return names | {"botocore"} if "boto3" in names else names


@pytest.mark.parametrize(
    ("folder", "extras"),
    [
        ("functions/levada", ("base", "columnar", "aggregate", "archive")),
        ("infra/levadactl", ("base", "columnar", "aggregate", "archive", "local")),
        ("tests", ("base", "columnar", "aggregate", "archive", "local", "dev")),
    ],
)
def test_every_import_is_declared(folder: str, extras: tuple[str, ...]) -> None:
    allowed = declared(*extras)
    # The runtime brings boto3; stubs are imported under TYPE_CHECKING only.
    allowed |= {"boto3", "botocore"} if folder == "functions/levada" else set()
    owners = packages_distributions()
    undeclared = {
        name: path
        for name, path in imports(ROOT / folder).items()
        if not name.startswith("mypy_boto3_")
        and not allowed & {owner.lower().replace("_", "-") for owner in owners.get(name, [name])}
    }
    assert not undeclared, f"declare these in pyproject.toml and run `make lock`: {undeclared}"


def test_pyproject_and_ministack_agree_on_botocore() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    (pinned,) = [r.removeprefix("boto3==") for r in extras["local"] if r.startswith("boto3==")]

    assert f"botocore=={pinned}" in (requires("ministack") or [])


def test_pruning_keeps_the_libraries_that_pyarrow_cannot_start_without(tmp_path: Path) -> None:
    kept = [f"pyarrow/lib{name}.so.2500" for name in ("arrow_substrait", "arrow_dataset", "arrow_acero", "parquet")]
    kept += ["pyarrow/libarrow_python.so.2500", "pyarrow/py.py", "numpy-2.dist-info/METADATA"]
    gone = ["pyarrow/libarrow_flight.so.2500", "pyarrow/libarrow_python.so", "pyarrow/libarrow_python.so.2500.1.0"]
    gone += ["pyarrow/_flight.cpython-312-x86_64-linux-gnu.so", "pyarrow/include/arrow/api.h", "pyarrow/lib.pyx"]
    gone += ["pandas/tests/test_x.py", "bin/f2py", "botocore/client.py", "boto3-1.0.dist-info/METADATA"]
    gone += ["numpy-2.dist-info/RECORD", "numpy/__pycache__/a.pyc", "numpy/core.pyi"]
    for name in kept + gone:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")

    load_prune().prune(tmp_path)

    left = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file())
    assert left == sorted(kept)
    assert {path.stat().st_mtime for path in [tmp_path, *tmp_path.rglob("*")]} == {315_532_800}


def test_a_stripped_library_still_loads_and_works(tmp_path: Path) -> None:
    source = Path(importlib.util.find_spec("zstandard.backend_c").origin)  # type: ignore[union-attr,arg-type]
    copy = tmp_path / source.name
    shutil.copy(source, copy)

    load_prune().strip_library(copy)

    assert copy.stat().st_size < source.stat().st_size
    code = f"""
from importlib.machinery import ExtensionFileLoader
from importlib.util import module_from_spec, spec_from_loader
loader = ExtensionFileLoader("zstandard.backend_c", {str(copy)!r})
module = module_from_spec(spec_from_loader(loader.name, loader))
loader.exec_module(module)
packed = module.ZstdCompressor().compress(b"levada " * 1000)
assert module.ZstdDecompressor().decompress(packed) == b"levada " * 1000
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_stripping_leaves_anything_but_a_64_bit_library_alone(tmp_path: Path) -> None:
    for content in (b"", b"GROUP ( libx.so.1 )", b"\x7fELF\x01\x01" + bytes(100), struct.pack("<I", 0xFEEDFACF)):
        path = tmp_path / "some.so"
        path.write_bytes(content)
        load_prune().strip_library(path)
        assert path.read_bytes() == content


GRAPH = """
[function_build_definitions.1]
codeuri = "/x/functions"
runtime = "python3.13"
architecture = "arm64"
functions = ["CleanFunction", "QueryFunction"]

[function_build_definitions.2]
runtime = "python3.11"
architecture = "x86_64"
functions = ["ArchiveFunction"]
"""


@pytest.mark.parametrize(
    ("function", "environment", "expected"),
    [
        ("QueryFunction", {}, ("3.13", "arm64")),
        ("ArchiveFunction", {}, ("3.11", "x86_64")),
        ("Unknown", {}, ("3.12", "x86_64")),
        ("QueryFunction", {"LAMBDA_PYTHON": "3.12"}, ("3.12", "arm64")),
        ("QueryFunction", {"LAMBDA_PYTHON": "3.12", "LAMBDA_ARCH": "x86_64"}, ("3.12", "x86_64")),
    ],
)
def test_a_build_is_for_what_the_template_was_told(
    tmp_path: Path, function: str, environment: dict[str, str], expected: tuple[str, str]
) -> None:
    (tmp_path / "build" / function).mkdir(parents=True)
    (tmp_path / "build.toml").write_text(GRAPH)

    assert load_prune().target(function, tmp_path / "build" / function, environment) == expected


def test_a_library_for_another_python_or_machine_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.cpython-312-x86_64-linux-gnu.so").touch()
    (tmp_path / "libplain.so").touch()

    assert wrong_libraries(tmp_path, "python3.12", "x86_64") == []
    assert wrong_libraries(tmp_path, "python3.13", "x86_64") == [
        "a.cpython-312-x86_64-linux-gnu.so is not for python3.13 on x86_64"
    ]
    assert wrong_libraries(tmp_path, "python3.12", "arm64") != []


def test_the_makefile_builder_refuses_what_it_has_no_lock_for(tmp_path: Path) -> None:
    environment = {**os.environ, "ARTIFACTS_DIR": str(tmp_path / "out"), "DEPS_CACHE": str(tmp_path / "cache")}
    cases = {
        "build-CleanFunction": ({"LAMBDA_PYTHON": "3.10"}, "no lock for Python 3.10"),
        "build-QueryFunction": ({"LAMBDA_ARCH": "riscv64"}, "no wheels for architecture riscv64"),
        "build-OtherFunction": ({}, "no dependency group for OtherFunction"),
    }
    for target, (given, message) in cases.items():
        run = subprocess.run(
            ["make", "-C", str(ROOT / "functions"), target],
            env=environment | given,
            capture_output=True,
            text=True,
            check=False,
        )
        assert run.returncode != 0
        assert message in run.stderr
        assert not (tmp_path / "out").exists()


def test_ci_files_call_targets_that_the_makefile_has() -> None:
    targets = set(re.findall(r"(?m)^([a-z][a-z-]*):", (ROOT / "Makefile").read_text()))
    for path in (ROOT / ".github" / "workflows" / "ci.yml", ROOT / ".ci" / "run"):
        called = re.findall(r"(?:run: |step |\d\) step )make ([^#\n;&]+)", path.read_text())
        assert called, path
        names = {word for line in called for word in line.split() if re.fullmatch(r"[a-z][a-z-]*", word)}
        assert names <= targets, f"{path.name}: {names - targets}"
