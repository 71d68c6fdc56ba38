"""The compiled kernels: the same bytes from the same C, for any Linux of their machine, never missing unsaid."""

from __future__ import annotations

import ctypes
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from levada.core import native
from levadactl.packaging import NOT_COMPILED, compiled_groups, groups
from levadactl.sizes import KERNELS, without_kernels, wrong_libraries
from tests.conftest import ROOT
from tests.guard.test_build import load_prune
from tests.kernels_by_hand import SCRIPT, SOURCES, Elf, compiled, compiler, script

ELF_MACHINES = {"x86_64": 62, "aarch64": 183}
OF_EVERY_PROCESS = {"memcpy", "memmove", "memset", "memcmp"}
"""What compilers call on their own; the C library that Python itself runs on has them."""


def run(*args: object, script_at: Path = SCRIPT, **env: str) -> subprocess.CompletedProcess[str]:
    """kernels.py in a Python without site-packages, and so without ziglang of its own."""
    command = [sys.executable, "-S", "-B", str(script_at), *map(str, args)]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=env)


@pytest.fixture
def built(tmp_path: Path, request: pytest.FixtureRequest) -> Elf:
    out = tmp_path / "out.so"
    script().compile_library(compiler(), SOURCES, request.param, out)
    return Elf(out.read_bytes())


LINUX = pytest.mark.parametrize("built", [("linux", "x86_64"), ("linux", "aarch64")], ids=lambda m: m[1], indirect=True)


@pytest.mark.parametrize("target", ["x86_64", "arm64"])
def test_the_same_c_gives_the_same_bytes_wherever_it_lies_and_whatever_the_environment(
    tmp_path: Path, target: str
) -> None:
    command = compiler()
    shutil.copytree(ROOT / "functions", tmp_path / "elsewhere", ignore=shutil.ignore_patterns("__pycache__", "*.so"))
    (tmp_path / "include").mkdir()
    (tmp_path / "include" / "stdint.h").write_text("#error the environment leaks in\n")
    venv = Path(command[0]).parents[1]
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / ".venv-native").symlink_to(venv)

    one = run("build", tmp_path / "one" / "deep" / "out", "--target", target, "--required")
    leak = {"CPATH": str(tmp_path / "include"), "HOME": "/nowhere", "ZIG_LOCAL_CACHE_DIR": "/nowhere"}
    elsewhere = tmp_path / "elsewhere" / "kernels.py"
    two = run("build", tmp_path / "two", "--target", target, "--required", script_at=elsewhere, **leak)

    assert (one.returncode, two.returncode) == (0, 0), one.stderr + two.stderr
    name = native.file_name("Linux", target)
    assert (tmp_path / "one" / "deep" / "out" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    left = {path.name for path in (tmp_path / "one" / "deep" / "out").iterdir()}
    assert left == {name}, "the library and nothing else: no caches, no parts"


@LINUX
def test_a_library_asks_for_no_other_and_calls_only_what_every_process_has(built: Elf) -> None:
    symbols = built.symbols()

    assert built.needed() == [], "glibc of any age, and musl"
    assert {name for name, defined in symbols.items() if not defined} <= OF_EVERY_PROCESS
    exported = {name for name, defined in symbols.items() if defined}
    assert "levada_abi" in exported
    assert all(name.startswith("levada_") for name in exported), exported
    assert not built.stack_is_executable()


def test_each_target_is_made_for_its_machine(tmp_path: Path) -> None:
    for target, machine in (("x86_64", "x86_64"), ("arm64", "aarch64")):
        assert script().machine_of(target) == ("linux", machine)
        script().compile_library(compiler(), SOURCES, ("linux", machine), tmp_path / machine)
        assert Elf((tmp_path / machine).read_bytes()).machine == ELF_MACHINES[machine]


SUM = '__attribute__((visibility("default"))) double levada_f(double a, double b, double c) { return a * b + c; }\n'
PRAGMA = "#pragma STDC FP_CONTRACT ON\n"


def fused(elf: Elf) -> bool:
    """Whether there is a fused multiply-add of doubles. Source: Arm ARM, FMADD (scalar), double precision."""
    return any(word & 0xFFE08000 == 0x1F400000 for word in elf.words())


def test_multiplying_and_adding_rounds_twice_on_every_machine(tmp_path: Path) -> None:
    assert not fused(Elf(compiled(SUM, tmp_path / "ours", ("linux", "aarch64")).read_bytes()))
    assert fused(Elf(compiled(PRAGMA + SUM, tmp_path / "asked", ("linux", "aarch64")).read_bytes())), (
        "so it can be seen"
    )


def test_undefined_behaviour_is_no_trap(tmp_path: Path) -> None:
    """zig adds checks that kill the process unless it optimises: a function that dies is worse than a wrong shift."""
    text = '__attribute__((visibility("default"))) int levada_f(int a, int b) { return (a << b) + a; }\n'
    library = compiled(text, tmp_path, script().machine_of("host"))
    program = f"import ctypes; ctypes.CDLL({str(library)!r}).levada_f(2147483647, 40)"

    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_c_with_a_warning_does_not_compile_and_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(script().NotCompiledError, match="unused"):
        compiled("static int nobody(void) { return 1; }\n", tmp_path)

    assert [path.name for path in tmp_path.iterdir()] == ["c"]


def test_without_a_compiler_a_build_says_what_it_costs_and_how_to_get_one_and_goes_on(tmp_path: Path) -> None:
    ran = run("build", tmp_path / "out", "--target", "arm64")

    assert (ran.returncode, ran.stderr) == (0, "")
    (line,) = ran.stdout.splitlines()
    assert "no ziglang" in line
    assert "clean and aggregate are slower" in line
    assert f"pip install ziglang=={script().ZIGLANG}" in line
    assert not (tmp_path / "out").exists()


def test_a_compiler_that_was_half_installed_is_none(tmp_path: Path) -> None:
    (tmp_path / ".venv-native" / "bin").mkdir(parents=True)
    (tmp_path / ".venv-native" / "bin" / "python").symlink_to(sys.executable)

    assert run("build", tmp_path / "out", "--target", "arm64").returncode == 0
    assert not (tmp_path / "out").exists()


def test_without_a_compiler_a_build_that_must_have_kernels_fails(tmp_path: Path) -> None:
    ran = run("build", tmp_path / "out", "--target", "x86_64", "--required")

    assert (ran.returncode, ran.stdout) == (1, "")
    assert "no ziglang" in ran.stderr


def test_the_compiler_that_is_named_is_the_one_that_is_locked() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]

    assert extras["native"] == [f"ziglang=={script().ZIGLANG}"]
    assert f"ziglang=={script().ZIGLANG} " in (ROOT / "requirements" / "native.txt").read_text()


def test_the_library_of_this_machine_is_what_its_c_says(tmp_path: Path) -> None:
    """A library of older C would be tested, and another deployed."""
    name = native.file_name(os.uname().sysname, os.uname().machine)
    if not (SOURCES / name).is_file():
        pytest.skip("no kernels were compiled here: make kernels")
    command = compiler()

    script().compile_library(command, SOURCES, script().machine_of("host"), tmp_path / name)

    assert (SOURCES / name).read_bytes() == (tmp_path / name).read_bytes(), "make kernels"
    assert native.problem() == ""
    assert isinstance(native.library(), ctypes.CDLL)


def test_the_groups_that_carry_numpy_get_the_kernels() -> None:
    functions = ROOT / "functions"
    with_numpy = {
        group for group in set(groups(functions).values())
        if re.search(r"(?m)^numpy==", (functions / "requirements" / f"{group}.txt").read_text())
    }  # fmt: skip

    assert compiled_groups(functions) >= with_numpy
    assert compiled_groups(functions) <= set(groups(functions).values())


def make(function: str, arch: str, folder: Path, **env: str) -> subprocess.CompletedProcess[str]:
    """What `sam build` runs, with an empty folder for the dependencies. Lies beside a compiler if ``folder`` does."""
    inputs = ("requirements/{}.txt".format(groups(ROOT / "functions")[function]), "prune.py", "Makefile")
    key = hashlib.sha256(b"".join((ROOT / "functions" / name).read_bytes() for name in inputs)).hexdigest()[:16]
    cache = folder / "cache"
    (cache / f"{key}-{groups(ROOT / 'functions')[function]}-3.12-{arch}").mkdir(parents=True)
    target = {"LAMBDA_PYTHON": "3.12", "LAMBDA_ARCH": arch, "DEPS_CACHE": str(cache)}
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "KERNELS"))}
    command = ["make", "-s", "-C", str(ROOT / "functions"), f"build-{function}", f"PYTHON={sys.executable}"]
    given = kept | target | {"ARTIFACTS_DIR": str(folder / "out")} | env
    return subprocess.run(command, env=given, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("arch", ["x86_64", "arm64"])
@pytest.mark.parametrize("function", sorted(groups(ROOT / "functions")))
def test_an_artifact_has_the_kernels_of_its_own_machine_where_its_group_has_them(
    tmp_path: Path, function: str, arch: str
) -> None:
    (tmp_path / ".venv-native").symlink_to(Path(compiler()[0]).parents[1])

    ran = make(function, arch, tmp_path, KERNELS="required")

    assert ran.returncode == 0, ran.stderr
    found = [path for path in (tmp_path / "out").rglob("*") if path.suffix in (".so", ".c", ".h")]
    if groups(ROOT / "functions")[function] not in compiled_groups(ROOT / "functions"):
        assert found == []
    else:
        (library,) = found
        machine = {"arm64": "aarch64"}.get(arch, arch)
        assert library.relative_to(tmp_path / "out") == KERNELS / native.file_name("Linux", machine)
        assert Elf(library.read_bytes()).machine == ELF_MACHINES[machine]
        assert (library.stat().st_mtime, library.stat().st_mode & 0o777) == (315_532_800, 0o644)


def test_an_artifact_without_a_compiler_has_none_and_its_build_says_so_unless_it_must(tmp_path: Path) -> None:
    (tmp_path / "may").mkdir()
    ran = make("AggregateFunction", "x86_64", tmp_path / "may")

    assert ran.returncode == 0, ran.stderr
    assert [line for line in ran.stdout.splitlines() if line.startswith(NOT_COMPILED)] != []
    assert list((tmp_path / "may" / "out").rglob("*.so")) == [], "nor the one of this machine's own folder"

    (tmp_path / "must").mkdir()
    ran = make("AggregateFunction", "x86_64", tmp_path / "must", KERNELS="required")

    assert ran.returncode != 0
    assert "no ziglang" in ran.stderr


def test_c_sources_are_not_deployed(tmp_path: Path) -> None:
    folder = tmp_path / "levada"
    for name in (
        "core/native/rows.c",
        "core/native/kernels.h",
        "core/native/__init__.py",
        "core/native/kernels-x-y.so",
    ):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()

    load_prune().code(folder)

    left = sorted(path.name for path in folder.rglob("*") if path.is_file())
    assert left == ["__init__.py", "kernels-x-y.so"]


def test_an_artifact_without_its_kernels_or_with_anothers_is_named(tmp_path: Path) -> None:
    assert without_kernels(tmp_path, "base", "arm64") == []
    assert without_kernels(tmp_path, "aggregate", "arm64") == ["has no compiled kernels: make kernels, make build"]

    (tmp_path / KERNELS).mkdir(parents=True)
    (tmp_path / KERNELS / "kernels-linux-aarch64.so").touch()

    assert without_kernels(tmp_path, "aggregate", "arm64") == []
    assert wrong_libraries(tmp_path, "python3.12", "arm64") == []
    assert wrong_libraries(tmp_path, "python3.12", "x86_64") == [
        "levada/core/native/kernels-linux-aarch64.so is not for x86_64"
    ]


def test_continuous_integration_does_not_pass_without_kernels() -> None:
    """`make dev` goes on without them; `make kernels` does not."""
    for path in (ROOT / ".ci" / "run", ROOT / ".github" / "workflows" / "ci.yml"):
        called = re.findall(r"(?m)^(?:step| *- run:) make dev\b.*", path.read_text())
        assert called, path.name
        assert all(" make dev kernels" in line for line in called), path.name


@pytest.mark.parametrize(("given", "passed"), [((), "KERNELS=required"), (("KERNELS=optional",), "KERNELS=optional")])
def test_builds_of_this_repository_insist_on_kernels_unless_told_otherwise(given: tuple[str, ...], passed: str) -> None:
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "KERNELS"))}
    command = ["make", "-n", "build", *given]
    ran = subprocess.run(command, cwd=ROOT, env=clean, capture_output=True, text=True, check=True)

    assert f" {passed} " in next(line for line in ran.stdout.splitlines() if "sam build --" in line)
