"""After a crash of the emulator: say what is lost, keep the lake, give it to the next stack."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from levadactl.embedded import emulator, ministack, processes, triggers
from levadactl.embedded.ministack import Folders
from levadactl.embedded.state import StackState

if TYPE_CHECKING:
    from levadactl.places import Place

HOOK = "levadactl.recovery"
"""Module whose ``recover(place)`` brings back what can be derived from the lake."""

LOST = ("streams and the records in them", "serving table", "functions", "CloudFormation stack")

Say = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Recovered:
    """What an unclean stop cost and what was done about it."""

    crashed_stack_started_at: str
    """When the stack that stopped without saving had been started, ISO 8601 in UTC."""
    lost: tuple[str, ...] = LOST
    leftover_processes: int = 0
    """Processes of the crashed stack that still ran and were ended."""
    lake_objects: int = 0
    """S3 objects of the lake that survived and are back in the bucket."""
    torn_objects: int = 0
    """S3 objects that were cut short (power loss) and were removed."""
    republished: Any = None
    """What the recovery hook answered; None when there is none."""


def prepare(home: Path, crashed: StackState, say: Say) -> Recovered:
    """Clean up behind a stack that ended without saving: processes, temporary folders, old states."""
    folders = Folders(home)
    say(f"the stack started at {crashed.started_at} did not stop cleanly (killed, crashed or power lost)")
    leftovers = processes.marked(home)
    if leftovers:
        say(f"ending {len(leftovers)} processes that it left behind")
        processes.stop(leftovers, grace_s=2)
    shutil.rmtree(folders.tmp, ignore_errors=True)
    ministack.forget_saved(folders)
    triggers.forget(home)
    ministack.set_lake_aside(folders, crashed.lake_bucket)
    say(f"lost with it: {', '.join(LOST)}. S3 objects survive; everything else is deployed again")
    return Recovered(crashed_stack_started_at=crashed.started_at, leftover_processes=len(leftovers))


def give_lake_back(home: Path, state: StackState, *, verbose: bool, say: Say) -> ministack.Salvaged:
    """Put the objects that were set aside into the deployed stack's bucket; the emulator restarts for it."""
    folders = Folders(home)
    if not folders.salvage.is_dir():
        return ministack.Salvaged(objects=0, torn=0)
    emulator.halt(home, state)
    found = ministack.put_lake_back(folders, state.lake_bucket)
    folders.make()
    emulator.boot(home, state, verbose=verbose)
    torn = f"; {found.torn} were cut short and are gone" if found.torn else ""
    say(f"{found.objects} objects are back in bucket {state.lake_bucket}{torn}")
    return found


def run_hook(place: Place, say: Say) -> Any:
    """Let ``levadactl.recovery.recover(place)`` bring back what can be derived from the lake."""
    say("republishing clean rows from the lake")
    return import_module(HOOK).recover(place)
