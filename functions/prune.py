"""What functions/Makefile needs beyond pip: which target to build for, and a smaller, reproducible folder.

python3 prune.py target FUNCTION ARTIFACTS_DIR    prints "<python version> <architecture>" of the function being built
python3 prune.py prune FOLDER                     removes what no function needs at run time, fixes every timestamp
python3 prune.py code FOLDER                      the same timestamps for our own code, without .pyc files and C sources

Standard library only: it runs in whatever Python `sam build` finds.
"""

from __future__ import annotations

import os
import re
import shutil
import struct
import sys
from collections.abc import Mapping
from pathlib import Path

DEFAULT_TARGET = ("3.12", "x86_64")
# Zip archives cannot say an earlier time; the same bytes must give the same archive on every machine.
EPOCH_S = 315_532_800  # 1980-01-01T00:00:00Z

# boto3 and its kin are in the Lambda runtime and not in the locks: this is a second fence.
RUNTIME_HAS = ("boto3", "botocore", "s3transfer", "urllib3")
FOLDERS = ("tests", "test", "__pycache__", "bin", "include", "includes")
SUFFIXES = (".a", ".c", ".cpp", ".h", ".hpp", ".pxd", ".pxi", ".pyc", ".pyi", ".pyx", ".typed")
# Never libarrow_substrait, libarrow_dataset, libarrow_acero or libparquet: without them `import pyarrow` fails.
PATHS = (
    "numpy/_pyinstaller",
    "numpy/distutils",
    "numpy/f2py",
    "numpy/random/_examples",
    "numpy/random/lib",
    "numpy/_core/lib",
    "numpy/typing/tests",
    "pyarrow/_flight*",
    "pyarrow/_pyarrow_cpp_tests*",
    "pyarrow/flight.py",
    "pyarrow/libarrow_flight*",
    "pyarrow/libarrow_python_flight*",
    "pyarrow/src",
    "pyarrow/libarrow_python*.so",  # copies of the .so.<major> that the loader asks for
    "pyarrow/libarrow_python*.so.*.*.*",
    "zstandard/_cffi*",  # for PyPy; CPython uses backend_c
    "zstandard/backend_cffi.py",
)
# These ship symbol tables or debug information. Not numpy: its libraries are rewritten by auditwheel and break.
STRIPPED = ("pyarrow", "zstandard")
# Scripts' paths and file lists of the machine that installed them.
DIST_INFO = ("RECORD", "INSTALLER", "REQUESTED", "direct_url.json")


def target(function: str, artifacts: Path, env: Mapping[str, str]) -> tuple[str, str]:
    """Python version and architecture of a function: the environment, else SAM's build graph, else the defaults."""
    version, arch = DEFAULT_TARGET
    graph = artifacts.resolve().parent.parent / "build.toml"
    if graph.is_file():
        for block in re.split(r"(?m)^\[", graph.read_text()):
            named = re.search(r"(?m)^functions = \[(.*)\]", block)
            if named and f'"{function}"' in named[1]:
                runtime = re.search(r'(?m)^runtime = "python([\d.]+)"', block)
                machine = re.search(r'(?m)^architecture = "(\w+)"', block)
                version = runtime[1] if runtime else version
                arch = machine[1] if machine else arch
    return env.get("LAMBDA_PYTHON") or version, env.get("LAMBDA_ARCH") or arch


def remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def strip_library(path: Path) -> None:
    """Cut a 64-bit little-endian ELF file after its last loaded byte: section table, symbols, debug information.

    The loader reads program headers only, so nothing at run time changes. Unlike binutils' strip this needs no tool for
    the other architecture and gives the same bytes everywhere. Files of any other kind are left alone.
    """
    data = bytearray(path.read_bytes())
    if data[:6] != b"\x7fELF\x02\x01":
        return
    (table,) = struct.unpack_from("<Q", data, 32)
    size, count = struct.unpack_from("<HH", data, 54)
    headers = [struct.unpack_from("<IIQQQQ", data, table + i * size) for i in range(count)]
    end = max([table + size * count, *(offset + length for _, _, offset, _, _, length in headers)])
    struct.pack_into("<Q", data, 40, 0)  # e_shoff
    struct.pack_into("<HHH", data, 58, 0, 0, 0)  # e_shentsize, e_shnum, e_shstrndx
    path.write_bytes(data[:end])


def is_unwanted(path: Path) -> bool:
    if path.parent.name.endswith(".dist-info"):
        return path.name in DIST_INFO
    return path.name in FOLDERS if path.is_dir() else path.suffix in SUFFIXES


def prune(folder: Path) -> None:
    for name in RUNTIME_HAS:
        for path in [folder / name, *folder.glob(f"{name}-*.dist-info")]:
            remove(path)
    for pattern in PATHS:
        for path in list(folder.glob(pattern)):
            remove(path)
    for path in sorted(folder.rglob("*"), reverse=True):
        if is_unwanted(path):
            remove(path)
    for package in STRIPPED:
        for path in [*(folder / package).rglob("*.so"), *(folder / package).rglob("*.so.*")]:
            strip_library(path)
    fix_times(folder)


def code(folder: Path) -> None:
    for path in list(folder.rglob("__pycache__")):
        shutil.rmtree(path)
    for path in list(folder.rglob("*.[ch]")):
        path.unlink()
    fix_times(folder)


def fix_times(folder: Path) -> None:
    """Timestamps and modes that do not depend on who built it. Folders last: touching a file touches its folder."""
    for path in [*sorted(folder.rglob("*"), reverse=True), folder]:
        path.chmod(0o755 if path.is_dir() else 0o644)
        os.utime(path, (EPOCH_S, EPOCH_S))


def main(argv: list[str]) -> int:
    match argv:
        case ["target", function, artifacts]:
            print(*target(function, Path(artifacts), os.environ))
        case ["prune", folder]:
            prune(Path(folder))
        case ["code", folder]:
            code(Path(folder))
        case _:
            print(__doc__, file=sys.stderr)
            return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
