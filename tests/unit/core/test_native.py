"""Loading the kernels: what does not fit is left alone and named, and the function works on without."""

from __future__ import annotations

import json
import os
import shutil
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from levada.core import native
from tests.conftest import ROOT
from tests.kernels_by_hand import SOURCES, compiled, compiler, script

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="headers are looked at on Linux only")
ABI = f"""
#define EXPORT __attribute__((visibility("default")))
EXPORT long long levada_abi(void) {{ return {native.ABI}; }}
EXPORT long long levada_sources(void) {{ return LEVADA_SOURCES; }}
"""


@pytest.fixture
def good(tmp_path: Path) -> Path:
    path = tmp_path / "good" / "out.so"
    script().compile_library(compiler(), SOURCES, script().machine_of("host"), path)
    return path


def test_names_say_system_and_machine() -> None:
    assert native.file_name("Linux", "x86_64") == "kernels-linux-x86_64.so"
    assert native.file_name("Linux", "AMD64") == "kernels-linux-x86_64.so"
    assert native.file_name("Linux", "arm64") == native.file_name("Linux", "aarch64") == "kernels-linux-aarch64.so"


def test_a_library_that_fits_is_loaded(good: Path) -> None:
    library, why_not = native.load(good)

    assert why_not == ""
    assert library is not None


def test_a_library_that_was_not_built_is_no_error(tmp_path: Path) -> None:
    assert native.load(tmp_path / "kernels-x.so") == (None, "kernels-x.so is not there: it was not built")


@LINUX
def test_a_library_of_another_machine_is_refused_by_name(good: Path) -> None:
    body = bytearray(good.read_bytes())
    struct.pack_into("<H", body, 18, 183 if os.uname().machine == "x86_64" else 62)
    good.write_bytes(body)

    library, why_not = native.load(good)

    assert library is None
    assert f"this is {os.uname().machine}" in why_not


@LINUX
def test_a_library_that_is_cut_anywhere_is_refused(good: Path) -> None:
    """The loader would map pages that the file has not, and the process would die of SIGBUS at the first one."""
    body = good.read_bytes()
    for length in [*range(0, len(body), 97), len(body) - 1]:
        cut = good.with_name(f"{length}.so")
        cut.write_bytes(body[:length])

        assert native.load(cut)[0] is None, length


@LINUX
def test_what_is_no_library_at_all_is_refused(tmp_path: Path) -> None:
    for name, body in {"html": b"<html>" * 100, "zeros": bytes(4096)}.items():
        (tmp_path / name).write_bytes(body)
        assert native.load(tmp_path / name) == (None, f"{name} cannot be loaded: it is no 64-bit ELF file")
    (tmp_path / "folder").mkdir()
    assert native.load(tmp_path / "folder")[0] is None


def test_a_library_of_another_age_is_refused(tmp_path: Path) -> None:
    other = compiled(ABI.replace(f"return {native.ABI}", "return 99"), tmp_path, script().machine_of("host"))

    assert native.load(other) == (None, f"out.so has interface 99, this version reads {native.ABI}")


def test_a_library_of_other_c_than_lies_beside_it_is_refused(tmp_path: Path) -> None:
    """After a change of a signature it would be called with arguments that it takes for others."""
    library = compiled(ABI, tmp_path, script().machine_of("host"))
    source = tmp_path / "c" / "one.c"
    beside = library.rename(source.with_name(library.name))
    assert native.load(beside)[1] == ""

    source.write_text(ABI + "/* one line more */\n")

    assert native.load(beside) == (None, "out.so was made of other C than lies beside it: make kernels")
    source.unlink()
    assert native.load(beside)[1] == "", "what is deployed has no C"


def test_a_library_that_is_not_ours_is_refused(tmp_path: Path) -> None:
    library, why_not = native.load(compiled(ABI.replace("levada_abi", "other"), tmp_path, script().machine_of("host")))

    assert library is None
    assert "levada_abi" in why_not


def test_a_library_that_calls_what_no_process_has_is_refused(tmp_path: Path) -> None:
    text = f"void nowhere(void);\n{ABI.replace('{ return', '{ nowhere(); return')}"
    library, why_not = native.load(compiled(text, tmp_path, script().machine_of("host")))

    assert library is None
    assert "nowhere" in why_not


@pytest.mark.parametrize("body", [b"damaged", None], ids=["damaged", "missing"])
def test_a_function_works_without_and_says_so_once(tmp_path: Path, body: bytes | None) -> None:
    code = tmp_path / "functions"
    shutil.copytree(ROOT / "functions", code, ignore=shutil.ignore_patterns("__pycache__", "*.so"))
    name = native.file_name(os.uname().sysname, os.uname().machine)
    if body is not None:
        (code / "levada" / "core" / "native" / name).write_bytes(body)
    event = ROOT / "events" / "aggregate" / "one_pack.json"
    program = "import sys; from levadactl.cli import main; sys.exit(main(['invoke', 'aggregate', sys.argv[1]]))"
    env = os.environ | {"PYTHONPATH": f"{code}:{ROOT / 'infra'}"}
    run = subprocess.run(
        [sys.executable, "-c", program, str(event)], capture_output=True, text=True, env=env, check=False
    )

    assert run.returncode == 0, run.stderr
    lines = [json.loads(line) for line in run.stderr.splitlines() if line.startswith("{")]
    said = [line for line in lines if line["message"] == "kernels"]
    assert [(line["level"], line["kernels"]) for line in said] == [("WARNING", "numpy")]
    assert name in said[0]["reason"]
    assert [line["rows"] for line in lines if line["message"] == "done"] != []
