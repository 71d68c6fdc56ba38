"""What ``up`` makes of the stack that it finds: one that is dying is a crash, and is waited for."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from levadactl.embedded import emulator, lifecycle, ports, processes
from levadactl.embedded.processes import ProcessRef
from levadactl.embedded.state import StackState, save
from levadactl.errors import StartError


@pytest.fixture
def dying(tmp_path: Path) -> Iterator[StackState]:
    """A stack whose emulator was killed and is not gone: the kernel has taken its environment, and the mark in it."""
    process = processes.spawn(
        [sys.executable, "-c", "import time; time.sleep(600)"], {"PATH": os.environ["PATH"]}, tmp_path / "log"
    )
    state = StackState(owner="up", port=ports.choose(), started_at="2026-01-01T00:00:00+00:00", instance="abc")
    state.processes = {"emulator": process}
    save(tmp_path, state)
    yield state
    processes.stop([process], grace_s=0)


@pytest.fixture
def launched(monkeypatch: pytest.MonkeyPatch, dying: StackState) -> list[bool]:
    """Instead of an emulator: whether the last one still ran when a new one was to be started."""
    alive: list[bool] = []

    def launch(*_args: object, **_options: object) -> StackState:
        alive.append(dying.running())
        return dying

    monkeypatch.setattr(emulator, "launch", launch)
    return alive


def test_an_emulator_that_is_dying_is_a_crash_and_gone_before_the_next_one_starts(
    tmp_path: Path, dying: StackState, launched: list[bool]
) -> None:
    """Else its buckets stay where the next one finds them, and what was under way is never brought back."""
    _, already, recovered = lifecycle._launched(tmp_path, "up", None, verbose=False, say=lambda _: None)

    assert not already
    assert recovered is not None
    assert recovered.crashed_stack_started_at == dying.started_at
    assert launched == [False]


def test_an_emulator_that_does_not_end_is_named_and_none_is_started_beside_it(
    tmp_path: Path, dying: StackState, launched: list[bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ProcessRef, "signal", lambda *_: None)
    monkeypatch.setattr(processes, "wait_for", lambda *_, **__: False)

    with pytest.raises(StartError, match=rf"pid {dying.processes['emulator'].pid}.*does not end"):
        lifecycle._launched(tmp_path, "up", None, verbose=False, say=lambda _: None)

    assert launched == []
