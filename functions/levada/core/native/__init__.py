"""The compiled kernels: loops over rows and partials that numpy needs many passes for. Where no library was built for
this machine numpy does the same, slower; both are held to the same tests."""

from __future__ import annotations

import ctypes
import functools
import platform
import struct
import zlib
from pathlib import Path

ABI = 2
"""What ``levada_abi`` of the library must say; one more with every change of an exported function."""
_MACHINES = {"amd64": "x86_64", "arm64": "aarch64"}
_ELF = {"x86_64": 62, "aarch64": 183}
"""e_machine of an ELF header. Source: System V ABI, processor supplements."""


def file_name(system: str, machine: str) -> str:
    """Name of the library of an operating system and a machine, as ``platform`` calls them."""
    return f"kernels-{system.lower()}-{_normal(machine)}.so"


def problem() -> str:
    """Why there are no compiled kernels; empty when there are."""
    return _loaded()[1]


def library() -> ctypes.CDLL | None:
    """The kernels of this machine; None where there are none."""
    return _loaded()[0]


def fingerprint(folder: Path) -> int:
    """A number that changes with the C in a folder; 0 where there is none, as in what is deployed."""
    found = 0
    for path in sorted(folder.glob("*.[ch]")):
        found = zlib.crc32(path.name.encode() + b"\0" + path.read_bytes(), found)
    return found


def load(path: Path) -> tuple[ctypes.CDLL | None, str]:
    """The library at ``path``, or None and why not: missing, damaged, of another machine or of another age."""
    try:
        wrong = _misfit(path.read_bytes(), platform.machine()) if platform.system() == "Linux" else ""
    except FileNotFoundError:
        return None, f"{path.name} is not there: it was not built"
    except OSError as err:
        return None, f"{path.name} cannot be read: {err.strerror}"
    if wrong:
        return None, f"{path.name} cannot be loaded: {wrong}"
    try:
        found = ctypes.CDLL(str(path))
        abi, sources = found.levada_abi, found.levada_sources
    except (OSError, AttributeError) as err:
        return None, f"{path.name} cannot be loaded: {err}"
    for number in (abi, sources):
        number.restype, number.argtypes = ctypes.c_int64, []
    if abi() != ABI:
        return None, f"{path.name} has interface {abi()}, this version reads {ABI}"
    if (wanted := fingerprint(path.parent)) and sources() != wanted:
        return None, f"{path.name} was made of other C than lies beside it: make kernels"
    return found, ""


@functools.cache
def _loaded() -> tuple[ctypes.CDLL | None, str]:
    return load(Path(__file__).with_name(file_name(platform.system(), platform.machine())))


def _normal(machine: str) -> str:
    return _MACHINES.get(machine.lower(), machine.lower())


def _misfit(body: bytes, machine: str) -> str:
    """Why the loader must not see these bytes, or "". It maps what a header promises: a cut file kills the process."""
    if len(body) < 64 or body[:6] != b"\x7fELF\x02\x01":
        return "it is no 64-bit ELF file"
    (found,) = struct.unpack_from("<H", body, 18)
    if found != _ELF.get(_normal(machine)):
        names = {number: name for name, number in _ELF.items()}
        return f"it is for {names.get(found, f'machine {found}')}, this is {machine}"
    (sections,) = struct.unpack_from("<Q", body, 40)
    size, count = struct.unpack_from("<HH", body, 58)
    whole = sections + size * count  # linkers write the section table last
    return f"it is cut after {len(body)} of {whole} bytes" if len(body) < whole else ""
