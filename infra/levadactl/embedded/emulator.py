"""The processes of one embedded stack: boot the emulator, start the triggers, halt both and all workers."""

from __future__ import annotations

import shutil
import signal
import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from levadactl.embedded import ministack, ports, processes, triggers
from levadactl.embedded.ministack import Folders
from levadactl.embedded.processes import ProcessRef
from levadactl.embedded.state import Owner, StackState, save
from levadactl.errors import StartError

DEFAULT_PORT: dict[Owner, int] = {"up": 4599, "demo": 4598}
"""Port of each owner's stack when it is free."""
HEALTHY_S = 30.0
WORK_S = 5.0
"""How long a stop waits for functions that are at work, seconds."""
STOP_S = 20.0

Say = Callable[[str], None]


def launch(
    home: Path, owner: Owner, port: int | None, last: StackState | None, *, verbose: bool, say: Say
) -> StackState:
    """Start the emulator for this state folder, with the last stack's saved state if there is any.

    Raises StartError when ``port`` is taken, or as ``boot`` does.
    """
    if port is not None and not ports.is_free(port):
        raise StartError(f"port {port} is in use: choose another with --port, or leave --port out")
    folders = Folders(home)
    folders.make()
    for log in folders.logs.glob("*.log"):
        log.replace(log.with_name(log.name + ".last"))
    chosen = port or ports.choose(last.port if last else None, DEFAULT_PORT[owner])
    say(f"starting the emulator on {ports.LOOPBACK}:{chosen}")
    state = StackState(
        owner=owner,
        port=chosen,
        endpoint=f"http://{ports.LOOPBACK}:{chosen}",
        started_at=datetime.now(UTC).isoformat(timespec="seconds"),
        instance=uuid.uuid4().hex,
        lake_bucket=last.lake_bucket if last else "",
    )
    # Written before anything runs: whatever happens next, the folder says that a stop is owed.
    save(home, state)
    boot(home, state, verbose=verbose)
    return state


def boot(home: Path, state: StackState, *, verbose: bool = False) -> None:
    """Start the emulator of this state and wait until it answers.

    Raises StartError when it ends, does not answer, or listens on more than loopback; then nothing is left running.
    """
    folders = Folders(home)
    log = folders.logs / "emulator.log"
    emulator = processes.spawn(ministack.command(), ministack.environment(home, state.port, verbose=verbose), log)
    state.processes["emulator"] = emulator
    state.clean = False
    save(home, state)
    processes.wait_for(lambda: ministack.healthy(state.port) or not emulator.alive(), timeout_s=HEALTHY_S)
    if not emulator.alive():
        raise ministack.explain_exit(log)
    if problem := _problem(state, emulator):
        processes.stop(processes.marked(home), grace_s=2)
        raise StartError(f"{problem} (log: {log})")
    ministack.forget_saved(folders)


def _problem(state: StackState, emulator: ProcessRef) -> str:
    if not ministack.healthy(state.port):
        return f"the emulator did not answer within {HEALTHY_S:g} s"
    listening = ports.listeners(emulator.pid)
    if listening is None:
        return ""
    if state.port not in {listener.port for listener in listening}:
        return f"something else answers on port {state.port}"
    exposed = [f"{listener.address}:{listener.port}" for listener in listening if not listener.loopback_only]
    return f"the emulator listens on {', '.join(exposed)}, which is not loopback" if exposed else ""


def start_triggers(home: Path, state: StackState, say: Say) -> None:
    """Make sure that the stream triggers run. They look at the deployed mappings by themselves."""
    running = state.processes.get("triggers")
    if running is not None and running.alive():
        return
    say("starting the stream triggers")
    state.processes["triggers"] = triggers.start(home, state.endpoint)
    save(home, state)


def _end_emulator(home: Path, emulator: ProcessRef, say: Say) -> list[ProcessRef]:
    """End the emulator so that it saves; returns it if it had to be killed."""
    emulator.signal(signal.SIGTERM)
    if processes.wait_for(lambda: not emulator.alive(), timeout_s=WORK_S):
        return []
    # A function at work keeps it from saving, and a failed asynchronous call is tried again: end workers until it goes.
    say("functions are still at work: ending them")
    end = time.monotonic() + STOP_S
    while emulator.alive() and time.monotonic() < end:
        processes.stop([ref for ref in processes.marked(home) if ref != emulator], grace_s=1)
        processes.wait_for(lambda: not emulator.alive(), timeout_s=1)
    return processes.stop([emulator], grace_s=0)


def halt(home: Path, state: StackState, say: Say = lambda _: None) -> int:
    """End the triggers, the emulator, and workers that outlive it; remove temporary folders.

    ``state.clean`` becomes true when the emulator has saved everything. Returns how many processes had to be killed.
    """
    folders = Folders(home)
    killed = 0
    runner, emulator = state.processes.get("triggers"), state.processes.get("emulator")
    if runner is not None and runner.alive():
        killed += len(processes.stop([runner], grace_s=STOP_S))
    if emulator is not None and emulator.alive():
        stubborn = _end_emulator(home, emulator, say)
        killed += len(stubborn)
        state.clean = not stubborn and ministack.saved_whole(folders)
    killed += len(processes.stop(processes.marked(home), grace_s=2))
    shutil.rmtree(folders.tmp, ignore_errors=True)
    state.processes = {}
    save(home, state)
    return killed
