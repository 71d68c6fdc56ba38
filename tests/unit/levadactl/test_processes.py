"""A process is its pid and its start time: a recycled pid is somebody else and is left alone."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from levadactl.embedded import processes
from levadactl.embedded.processes import MARK, ProcessRef

SLEEPER = "import time; print('ready', flush=True); time.sleep(600)"
STUBBORN = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); " + SLEEPER


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen([sys.executable, "-c", SLEEPER], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        yield process
        process.kill()


def spawned(folder: Path, program: str) -> ProcessRef:
    log = folder / "log"
    environment = {"PATH": os.environ["PATH"], MARK: str(folder)}
    ref = processes.spawn([sys.executable, "-c", program], environment, log)
    assert processes.wait_for(lambda: log.exists() and "ready" in log.read_text(), timeout_s=10)
    return ref


def test_a_running_process_is_alive() -> None:
    me = ProcessRef.of(os.getpid())

    assert me is not None
    assert me.alive()


def test_another_process_under_the_same_pid_is_not_alive_and_not_signalled(sleeper: subprocess.Popen[bytes]) -> None:
    recycled = ProcessRef(sleeper.pid, started="1")

    assert not recycled.alive()
    assert processes.stop([recycled], grace_s=0.1) == []
    assert sleeper.poll() is None


def test_a_pid_without_a_process_is_nobody(tmp_path: Path) -> None:
    ref = spawned(tmp_path, SLEEPER)
    processes.stop([ref])

    assert not ref.alive()
    assert ProcessRef.of(ref.pid) is None


def test_stop_ends_a_polite_process_without_force(tmp_path: Path) -> None:
    assert processes.stop([spawned(tmp_path, SLEEPER)]) == []


def test_stop_kills_what_ignores_sigterm_and_says_so(tmp_path: Path) -> None:
    ref = spawned(tmp_path, STUBBORN)

    assert processes.stop([ref], grace_s=0.2) == [ref]
    assert not ref.alive()


def test_children_are_found_by_the_mark_they_inherit_when_their_parent_is_gone(tmp_path: Path) -> None:
    parent = spawned(
        tmp_path,
        f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {SLEEPER!r}]); import time; time.sleep(600)",
    )
    parent.signal(signal.SIGKILL)
    assert processes.wait_for(lambda: not parent.alive(), timeout_s=5)

    orphans = processes.marked(tmp_path)

    assert len(orphans) == 1
    assert orphans[0].pid != parent.pid
    processes.stop(orphans)
    assert processes.marked(tmp_path) == []


def test_stop_never_signals_the_process_that_calls_it() -> None:
    me = ProcessRef.of(os.getpid())

    assert me is not None
    assert processes.stop([me], grace_s=0.1) == []


def test_waiting_gives_up_when_the_time_has_passed() -> None:
    assert not processes.wait_for(lambda: False, timeout_s=0.05, every_s=0.01)
