"""Start, stop and reset an embedded stack."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from levadactl.embedded import bridge, emulator, ministack, processes, recovery
from levadactl.embedded.ministack import Folders
from levadactl.embedded.ports import LOOPBACK
from levadactl.embedded.recovery import Recovered
from levadactl.embedded.state import OWN_ENTRIES, Owner, StackState, demo_dir, load, locked, save, state_dir
from levadactl.errors import StartError, StateError

if TYPE_CHECKING:
    from levadactl.deploy import Deployed
    from levadactl.places import Place

Say = Callable[[str], None]

SAM_ENVIRONMENT = "sam-env.json"
"""In the state folder: --env-vars for sam local, with the names and the port of this stack."""


@dataclass(frozen=True, kw_only=True)
class Started:
    """A running, deployed stack."""

    place: Place
    folder: Path
    owner: Owner
    already_running: bool
    deployed: Deployed | None
    """None when it was started with ``deploy=False``."""
    recovered: Recovered | None
    """What was lost and saved, after an unclean stop; None after a clean one."""
    seconds: float
    for_containers: str = ""
    """Address on which containers reach the stack; empty when they were not asked for."""


@dataclass(frozen=True, kw_only=True)
class Stopped:
    """What a stop did."""

    folder: Path
    owner: Owner | None
    """Whose stack was stopped; None when nothing ran."""
    clean: bool
    """Everything is saved: the next start continues where this stack stopped."""
    killed: int
    """Processes that did not end by themselves."""
    seconds: float


def start(
    *,
    folder: Path | None = None,
    owner: Owner = "up",
    fresh: bool = False,
    port: int | None = None,
    root: Path | None = None,
    parameters: Mapping[str, str] | None = None,
    deploy: bool = True,
    with_triggers: bool = True,
    for_containers: bool = False,
    verbose: bool = False,
    say: Say = lambda _: None,
) -> Started:
    """Start the emulator, deploy, start the stream triggers; finish what is missing of a stack that runs already.

    Args:
        folder: state folder; by default ``.levada`` in the project, for a demo ``.levada/demo``, so that a demo
            never touches a stack that the user started.
        owner: who starts it.
        fresh: stop and forget the stack of this folder first; start with nothing.
        port: the port to use; by default the last one, else the owner's usual one, else any free one.
        root: project folder to deploy; by default the current project.
        parameters: template parameters, as for ``deploy.deploy``.
        deploy: False starts the emulator alone.
        with_triggers: False leaves the stream triggers out.
        for_containers: listen where containers on this machine reach it, too, and write their environment.
        verbose: let the emulator log every request.
        say: told each step, one short line.

    Raises:
        StartError: the emulator or the triggers did not become healthy.
        DeployError, StateError: as for ``deploy.deploy``; the folder is in use or not writable.
    """
    began = time.monotonic()
    home = folder.resolve() if folder else demo_dir(state_dir()) if owner == "demo" else state_dir()
    with locked(home):
        if fresh:
            _stop(home, say)
            wipe(home)
        state, already, recovered = _launched(home, owner, port, verbose=verbose, say=say)
        deployed = None
        if deploy:
            deployed = _deploy(home, state, root, parameters, say)
            found = recovery.give_lake_back(home, state, verbose=verbose, say=say)
            if recovered is not None:
                recovered = replace(recovered, lake_objects=found.objects, torn_objects=found.torn)
        if with_triggers and deploy:
            emulator.start_triggers(home, state, say)
        place = _place(home, state)
        reached = _reach(home, state, place, say) if for_containers else ""
        if recovered is not None and deploy and with_triggers:
            recovered = replace(recovered, republished=recovery.run_hook(place, say))
    return Started(
        place=place,
        folder=home,
        owner=state.owner,
        already_running=already,
        deployed=deployed,
        recovered=recovered,
        seconds=round(time.monotonic() - began, 2),
        for_containers=reached,
    )


def _launched(
    home: Path, owner: Owner, port: int | None, *, verbose: bool, say: Say
) -> tuple[StackState, bool, Recovered | None]:
    """(the emulator that runs now, whether it ran already, what an unclean stop before it has cost)."""
    state = _running(home, port, say)
    if state is not None:
        return state, True, None
    last = load(home)
    recovered = recovery.prepare(home, last, say) if last is not None and last.unclean() else None
    return emulator.launch(home, owner, port, last, verbose=verbose, say=say), False, recovered


def _place(home: Path, state: StackState) -> Place:
    from levadactl.places import Place

    return Place.embedded(state, home)


def _reach(home: Path, state: StackState, place: Place, say: Say) -> str:
    """Make sure that containers reach the stack; returns where."""
    from levadactl import samlocal

    samlocal.write_environment(home / SAM_ENVIRONMENT, place)
    running = state.processes.get("bridge")
    if running is not None and running.alive():
        return bridge.address() or LOOPBACK
    started, address = bridge.start(home, state.port)
    say(f"containers reach the stack at {address}:{state.port}, as http://{bridge.HOST}:{state.port}")
    if started is not None:
        state.processes["bridge"] = started
        save(home, state)
    return address


def stop(folder: Path | None = None, *, say: Say = lambda _: None) -> Stopped:
    """Stop the stack of this state folder, and whatever is left of it. Safe to repeat."""
    home = folder.resolve() if folder else state_dir()
    if not home.exists():
        return Stopped(folder=home, owner=None, clean=True, killed=0, seconds=0.0)
    with locked(home):
        return _stop(home, say)


def stop_all(folder: Path | None = None, *, say: Say = lambda _: None) -> list[Stopped]:
    """Stop whatever levada started from this project: the user's stack and the demo's."""
    base = folder.resolve() if folder else state_dir()
    return [stop(home, say=say) for home in (base, demo_dir(base)) if home.exists()]


def reset(folder: Path | None = None, *, say: Say = lambda _: None) -> Path:
    """Stop the stack of this state folder and forget all its data. Returns the folder."""
    home = folder.resolve() if folder else state_dir()
    with locked(home):
        _stop(home, say)
        wipe(home)
    return home


def wipe(home: Path) -> None:
    """Remove what a stack keeps in its state folder (not a demo's folder inside it)."""
    for name in OWN_ENTRIES:
        entry = home / name
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink(missing_ok=True)


def _running(home: Path, port: int | None, say: Say) -> StackState | None:
    """The stack that runs from this folder and answers, else None."""
    state = load(home)
    if state is None or not state.running():
        return None
    if not ministack.healthy(state.port):
        say("the emulator runs but does not answer: ending it")
        # By their pids too: a process that is dying has lost its environment, and the mark in it, while it still runs.
        processes.stop({*state.processes.values(), *processes.marked(home)}, grace_s=2)
        if state.running():
            raise StartError(f"the emulator (pid {state.processes['emulator'].pid}) does not answer and does not end")
        return None
    if port not in (None, state.port):
        raise StartError(f"the stack runs on port {state.port} already: `levada down` first to move it to {port}")
    return state


def _deploy(
    home: Path, state: StackState, root: Path | None, parameters: Mapping[str, str] | None, say: Say
) -> Deployed:
    from levadactl.deploy import deploy

    deployed = deploy(_place(home, state), root=root, parameters=parameters, on_step=say)
    state.lake_bucket = deployed.outputs.get("LakeBucketName", "")
    save(home, state)
    return deployed


def _stop(home: Path, say: Say) -> Stopped:
    began = time.monotonic()
    try:
        state = load(home)
    except StateError:
        state = None  # cannot be read: what runs is known by its mark all the same
    ours = processes.marked(home)
    if ours:
        say(f"stopping the stack in {home}")
    killed = emulator.halt(home, state, say) if state is not None else len(processes.stop(ours))
    if left := processes.marked(home):
        raise StartError(f"these processes do not end: {', '.join(str(ref.pid) for ref in left)}")
    if state is None:
        shutil.rmtree(Folders(home).tmp, ignore_errors=True)
    return Stopped(
        folder=home,
        owner=state.owner if ours and state is not None else None,
        clean=state.clean if state is not None else not ours,
        killed=killed,
        seconds=round(time.monotonic() - began, 2),
    )
