"""Loopback ports: finding a free one, and seeing who listens where."""

from __future__ import annotations

import socket
import struct
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path

LOOPBACK = "127.0.0.1"
FORBIDDEN = frozenset({4566})
"""LocalStack's default port: wrappers fall back to it without a word, so we never take it by ourselves."""

LISTEN = "0A"


@dataclass(frozen=True, slots=True, order=True)
class Listener:
    """One listening TCP socket."""

    address: str
    port: int

    @property
    def loopback_only(self) -> bool:
        address = ip_address(self.address)
        mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
        return (mapped or address).is_loopback


def is_free(port: int) -> bool:
    """True when a server could bind this port on loopback now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As servers do: a port whose last owner has just gone is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def choose(*preferred: int | None) -> int:
    """The first preferred port that is free, else any free one; never one of ``FORBIDDEN``."""
    for port in preferred:
        if port and port not in FORBIDDEN and is_free(port):
            return port
    while True:
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            probe.bind((LOOPBACK, 0))
            port = int(probe.getsockname()[1])
        if port not in FORBIDDEN:
            return port


def listeners(pid: int, *, proc: Path = Path("/proc")) -> list[Listener] | None:
    """TCP sockets on which a process listens, sorted; None where the system has no /proc to tell."""
    if not (proc / "net" / "tcp").exists():
        return None
    inodes = _socket_inodes(proc / str(pid) / "fd")
    found = set()
    for table, family in (("tcp", 4), ("tcp6", 6)):
        path = proc / "net" / table
        for line in path.read_text().splitlines()[1:] if path.exists() else ():
            fields = line.split()
            if fields[3] == LISTEN and fields[9] in inodes:
                address, _, port = fields[1].partition(":")
                found.add(Listener(str(_address(address, family)), int(port, 16)))
    return sorted(found)


def _socket_inodes(folder: Path) -> set[str]:
    inodes: set[str] = set()
    try:
        entries = list(folder.iterdir())
    except OSError:
        return inodes
    for entry in entries:
        try:
            target = str(entry.readlink())
        except OSError:
            continue
        if target.startswith("socket:["):
            inodes.add(target[8:-1])
    return inodes


def _address(text: str, family: int) -> IPv4Address | IPv6Address:
    # The kernel prints each 32-bit word of the address as a number of this machine's byte order.
    words = [int(text[at : at + 8], 16) for at in range(0, len(text), 8)]
    packed = struct.pack(f"={len(words)}I", *words)
    return IPv4Address(packed) if family == 4 else IPv6Address(packed)
