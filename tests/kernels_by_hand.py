"""The kernels' build as tests use it: functions/kernels.py as a module, its compiler, and a reader of ELF files."""

from __future__ import annotations

import importlib.util
import struct
from functools import cache
from pathlib import Path
from types import ModuleType

import pytest

from tests.conftest import ROOT

SCRIPT = ROOT / "functions" / "kernels.py"
SOURCES = ROOT / "functions" / "levada" / "core" / "native"
PT_DYNAMIC, PT_GNU_STACK = 2, 0x6474E551
DT_NEEDED, DT_STRTAB, DT_SYMTAB = 1, 5, 6


@cache
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("kernels", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def compiler() -> list[str]:
    """The command of the compiler, or the test is skipped."""
    command: list[str] | None = script().compiler(SOURCES)
    if command is None:
        pytest.skip("no C compiler here (.venv-native): make kernels")
    return command


def compiled(text: str, folder: Path, machine: tuple[str, str] = ("linux", "x86_64")) -> Path:
    """One C file made a library, with the flags that the kernels are compiled with."""
    sources, out = folder / "c", folder / "out.so"
    sources.mkdir(parents=True, exist_ok=True)
    (sources / "one.c").write_text(text)
    script().compile_library(compiler(), sources, machine, out)
    return out


class Elf:
    """What a 64-bit little-endian library asks of the process that loads it. Source: System V ABI, chapters 4, 5."""

    def __init__(self, body: bytes) -> None:
        assert body[:6] == b"\x7fELF\x02\x01"
        self.body = body
        (self.machine,) = struct.unpack_from("<H", body, 18)
        (table,) = struct.unpack_from("<Q", body, 32)
        size, count = struct.unpack_from("<HH", body, 54)
        self.segments = [struct.unpack_from("<IIQQQQQQ", body, table + i * size) for i in range(count)]

    def stack_is_executable(self) -> bool:
        (flags,) = (segment[1] for segment in self.segments if segment[0] == PT_GNU_STACK)
        return bool(flags & 1)

    def dynamic(self) -> list[tuple[int, int]]:
        ((_, _, offset, _, _, length, _, _),) = (one for one in self.segments if one[0] == PT_DYNAMIC)
        return list(struct.iter_unpack("<qQ", self.body[offset : offset + length]))

    def needed(self) -> list[int]:
        return [value for tag, value in self.dynamic() if tag == DT_NEEDED]

    def symbols(self) -> dict[str, bool]:
        """Dynamic symbol to whether the library defines it."""
        (names,) = (self._file(value) for tag, value in self.dynamic() if tag == DT_STRTAB)
        (table,) = (self._file(value) for tag, value in self.dynamic() if tag == DT_SYMTAB)
        found: dict[str, bool] = {}
        for at in range(table + 24, self._end(table), 24):
            name, _, _, section = struct.unpack_from("<IBBH", self.body, at)
            found[self.body[names + name : self.body.index(b"\0", names + name)].decode()] = section != 0
        return found

    def words(self) -> list[int]:
        """Every 32-bit word of the executable segments."""
        code = [one for one in self.segments if one[0] == 1 and one[1] & 1]
        return [
            word for one in code for (word,) in struct.iter_unpack("<I", self.body[one[2] : one[2] + one[5] // 4 * 4])
        ]

    def _file(self, address: int) -> int:
        return next(int(a - v + address) for t, _, a, v, _, n, _, _ in self.segments if t == 1 and v <= address < v + n)

    def _end(self, table: int) -> int:
        (sections,) = struct.unpack_from("<Q", self.body, 40)
        size, count = struct.unpack_from("<HH", self.body, 58)
        headers = [struct.unpack_from("<IIQQQQ", self.body, sections + i * size) for i in range(count)]
        return next(int(offset + length) for _, _, _, _, offset, length in headers if offset == table)
