"""The state folder of an embedded stack and its ``stack.json``."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from levadactl.embedded.processes import ProcessRef
from levadactl.errors import StateError

Owner = Literal["up", "demo"]
VERSION = 1
OWN_ENTRIES = ("stack.json", "emulator", "s3", "salvage", "tmp", "logs", "triggers", "sam-env.json")
"""What ``wipe`` removes: everything that a stack writes. A demo's folder inside the user's is not among them."""


def project_root(start: Path | None = None) -> Path:
    """The project around ``start`` (default: the current folder): the nearest one with a template.yaml and
    functions/levada; without one, the checkout that this command was installed from."""
    here = (start or Path.cwd()).resolve()
    for folder in (here, *here.parents):
        if (folder / "template.yaml").is_file() and (folder / "functions" / "levada").is_dir():
            return folder
    return Path(__file__).resolve().parents[3]


def state_dir(explicit: Path | None = None) -> Path:
    """The state folder: the one given, else LEVADA_STATE_DIR, else ``.levada`` in the project. Absolute."""
    named = explicit or (Path(value) if (value := os.environ.get("LEVADA_STATE_DIR")) else None)
    return (named or project_root() / ".levada").resolve()


def demo_dir(folder: Path) -> Path:
    """The demo's own state folder, so that a demo and a stack of the user's live side by side."""
    return folder / "demo"


@dataclass(slots=True, kw_only=True)
class StackState:
    """What ``stack.json`` holds. ``clean`` is true only after a stop that saved everything."""

    owner: Owner
    port: int
    started_at: str
    """When the emulator was started, ISO 8601 in UTC."""
    instance: str
    """A random id of this run of the emulator."""
    endpoint: str = ""
    stack_name: str = "levada"
    clean: bool = False
    lake_bucket: str = ""
    """Name of the lake bucket of the deployed stack; empty before the first deploy."""
    processes: dict[str, ProcessRef] = field(default_factory=dict)
    """``emulator``, ``triggers`` and ``bridge``, as far as they were started."""
    version: int = VERSION

    def running(self) -> bool:
        """True while the emulator that this state speaks of is alive."""
        emulator = self.processes.get("emulator")
        return emulator is not None and emulator.alive()

    def unclean(self) -> bool:
        """True when the emulator is gone without having saved its state."""
        return not self.clean and not self.running()


def load(folder: Path) -> StackState | None:
    """The state in this folder; None when there is none.

    Raises StateError when stack.json is not one that this version wrote.
    """
    path = folder / "stack.json"
    try:
        raw: dict[str, Any] = json.loads(path.read_text())
        raw["processes"] = {name: ProcessRef(**ref) for name, ref in raw["processes"].items()}
        state = StackState(**raw)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (ValueError, TypeError, KeyError, AttributeError) as err:
        raise StateError(f"{path} cannot be read ({err}): `levada reset` starts over") from err
    if state.version != VERSION:
        raise StateError(f"{path} has version {state.version}, this levada writes {VERSION}: `levada reset`")
    return state


def save(folder: Path, state: StackState) -> None:
    """Write stack.json so that a reader sees the old one or the new one, whole."""
    folder.mkdir(parents=True, exist_ok=True)
    part = folder / "stack.json.part"
    with part.open("w") as file:
        json.dump(asdict(state), file, indent=2)
        file.flush()
        os.fsync(file.fileno())
    part.replace(folder / "stack.json")


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the folder for one command at a time. Raises StateError when another one holds it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / "lock").open("w")
    except OSError as err:
        raise StateError(f"state folder {folder} is not writable: {err.strerror}; choose one with --state-dir") from err
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as err:
            raise StateError(
                f"another levada command is starting or stopping the stack in {folder}: wait for it"
            ) from err
        yield
