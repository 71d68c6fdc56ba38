"""Lets containers on this machine reach the embedded stack: one TCP forwarder on the container engine's bridge.

The emulator itself stays on loopback. ``python -m levadactl.embedded.bridge 172.17.0.1 4599`` is what runs.
"""

from __future__ import annotations

import asyncio
import contextlib
import platform
import socket
import sys
from pathlib import Path

from levadactl.embedded import processes
from levadactl.embedded.ministack import Folders, clean_environment
from levadactl.embedded.ports import LOOPBACK
from levadactl.embedded.processes import ProcessRef
from levadactl.errors import StartError

INTERFACE = "docker0"
HOST = "host.docker.internal"
"""What containers call this machine (sam local: --add-host host.docker.internal:host-gateway)."""
CHUNK_BYTES = 1 << 16
START_S = 5.0
LINUX = platform.system() == "Linux"
SIOCGIFADDR = 0x8915
"""The IPv4 address of an interface (netdevice(7))."""


def address(interface: str = INTERFACE) -> str | None:
    """The bridge's IPv4 address; None where there is no such interface (no engine runs, or not Linux)."""
    if not LINUX:
        return None
    import fcntl

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            answer = fcntl.ioctl(probe.fileno(), SIOCGIFADDR, interface.encode()[:15].ljust(256, b"\0"))
        except OSError:
            return None
    return socket.inet_ntoa(answer[20:24])


def start(home: Path, port: int) -> tuple[ProcessRef | None, str]:
    """Start the forwarder on the bridge. Returns it and the address that it listens on; None and loopback where
    containers reach loopback by themselves (Docker Desktop).

    Raises StartError when no engine runs here, or the port is taken on the bridge.
    """
    listen = address()
    if listen is None:
        if LINUX:
            raise StartError(f"there is no bridge {INTERFACE}: start the container engine first, then levada up again")
        return None, LOOPBACK
    log = Folders(home).logs / "bridge.log"
    command = [sys.executable, "-P", "-m", "levadactl.embedded.bridge", listen, str(port)]
    ref = processes.spawn(command, clean_environment(home, f"http://{LOOPBACK}:{port}"), log)
    processes.wait_for(lambda: _answers(listen, port) or not ref.alive(), timeout_s=START_S)
    if not ref.alive():
        raise StartError(f"containers cannot be served: port {port} on {listen} is taken (log: {log})")
    return ref, listen


def _answers(host: str, port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.settimeout(1)
        return probe.connect_ex((host, port)) == 0


async def serve(host: str, port: int, target: str = LOOPBACK) -> asyncio.Server:
    """Forward every connection to the same port of ``target``."""

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            far_reader, far_writer = await asyncio.open_connection(target, port)
        except OSError:
            writer.close()
            return
        await asyncio.gather(_copy(reader, far_writer), _copy(far_reader, writer))
        far_writer.close()
        writer.close()

    return await asyncio.start_server(connected, host, port)


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(CHUNK_BYTES):
            writer.write(data)
            await writer.drain()
    with contextlib.suppress(OSError):  # this direction is done; the other one may still have something to say
        writer.write_eof()


async def _main(host: str, port: int) -> None:
    async with await serve(host, port) as server:
        await server.serve_forever()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_main(sys.argv[1], int(sys.argv[2])))
