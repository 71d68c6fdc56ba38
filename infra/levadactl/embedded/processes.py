"""Processes we started: known by pid *and* start time, so that a recycled pid is never signalled.

Everything we start carries ``MARK`` in its environment (children inherit it), which is how workers that
outlived their parent are found.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

MARK = "LEVADA_EMBEDDED_STATE"
"""Environment variable of every process of an embedded stack; its value is the state folder."""

PROC = Path("/proc")


@dataclass(frozen=True, slots=True)
class ProcessRef:
    """One particular process: the pid and when it started, in the system's own words."""

    pid: int
    started: str

    @classmethod
    def of(cls, pid: int) -> ProcessRef | None:
        """The process that has this pid now; None when there is none (or only a zombie)."""
        started = _start_time(pid)
        return None if started is None else cls(pid, started)

    def alive(self) -> bool:
        """True while this very process runs; a different process under the same pid is not it."""
        return _start_time(self.pid) == self.started

    def signal(self, number: int) -> None:
        """Send a signal if this very process still runs."""
        if self.alive():
            try:
                os.kill(self.pid, number)
            except ProcessLookupError:
                return


def stop(processes: Iterable[ProcessRef], *, grace_s: float = 10.0) -> list[ProcessRef]:
    """SIGTERM, wait up to ``grace_s``, SIGKILL what is left. Returns the ones that had to be killed."""
    targets = [process for process in processes if process.pid != os.getpid()]
    for process in targets:
        process.signal(signal.SIGTERM)
    wait_for(lambda: not any(process.alive() for process in targets), timeout_s=grace_s)
    stubborn = [process for process in targets if process.alive()]
    for process in stubborn:
        process.signal(signal.SIGKILL)
    wait_for(lambda: not any(process.alive() for process in stubborn), timeout_s=5)
    return stubborn


def marked(state: Path) -> list[ProcessRef]:
    """All running processes that belong to the embedded stack of this state folder, by pid."""
    wanted = f"{MARK}={state}"
    return [ref for pid, mark in _marks() if mark == wanted and (ref := ProcessRef.of(pid))]


def all_marked() -> dict[int, str]:
    """Every running process of any embedded stack of ours: pid to state folder."""
    return {pid: mark.partition("=")[2] for pid, mark in _marks() if ProcessRef.of(pid)}


def wait_for(done: Callable[[], bool], *, timeout_s: float, every_s: float = 0.02) -> bool:
    """True as soon as ``done()``, False when ``timeout_s`` has passed."""
    end = time.monotonic() + timeout_s
    while not done():
        if time.monotonic() > end:
            return False
        _reap()
        time.sleep(every_s)
    return True


def spawn(command: Sequence[str], environment: Mapping[str, str], log: Path) -> ProcessRef:
    """Start a process of its own session, both outputs appended to ``log``; it outlives this one.

    Raises OSError when the program cannot be started.
    """
    append = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    pid = os.posix_spawn(
        command[0],
        list(command),
        dict(environment),
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, str(log), append, 0o600),
            (os.POSIX_SPAWN_DUP2, 1, 2),
        ],
        setsid=True,
    )
    _children.add(pid)
    return ProcessRef.of(pid) or ProcessRef(pid, "ended at once")


_children: set[int] = set()
"""Pids that this process spawned and has to wait for, or they stay as zombies."""


def _reap() -> None:
    for pid in list(_children):
        try:
            if os.waitpid(pid, os.WNOHANG)[0] == pid:
                _children.discard(pid)
        except ChildProcessError:
            _children.discard(pid)


def _start_time(pid: int) -> str | None:
    if (PROC / "self").exists():
        try:
            stat = (PROC / str(pid) / "stat").read_text()
            boot = (PROC / "sys" / "kernel" / "random" / "boot_id").read_text()[:8]
        except OSError:
            return None
        # The command, in parentheses, may hold spaces and parentheses itself.
        fields = stat.rpartition(")")[2].split()
        # Ticks since boot, so the boot belongs to it: after a restart the same pid may start at the same tick.
        return None if fields[0] in "ZX" else f"{boot}-{fields[19]}"
    answer = subprocess.run(["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return answer.stdout.strip() or None


def _marks() -> list[tuple[int, str]]:
    if not (PROC / "self").exists():
        return _marks_by_ps()
    found = []
    for folder in PROC.iterdir():
        if not folder.name.isdigit():
            continue
        try:
            environment = (folder / "environ").read_bytes()
        except OSError:
            continue  # gone meanwhile, or another user's
        mark = next((entry for entry in environment.split(b"\0") if entry.startswith(MARK.encode() + b"=")), None)
        if mark is not None:
            found.append((int(folder.name), os.fsdecode(mark)))
    return sorted(found)


def _marks_by_ps() -> list[tuple[int, str]]:
    answer = subprocess.run(["ps", "-Ewwaxo", "pid=,command="], capture_output=True, text=True, check=False)
    found = []
    for line in answer.stdout.splitlines():
        pid, _, rest = line.strip().partition(" ")
        mark = next((word for word in rest.split() if word.startswith(f"{MARK}=")), None)
        if mark is not None and pid.isdigit():
            found.append((int(pid), mark))
    return sorted(found)
