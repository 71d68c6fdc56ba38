"""The runner's files: positions, status, and JSON lines for the log."""

from __future__ import annotations

import fcntl
import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from levadactl.triggers.errors import RunnerError
from levadactl.triggers.failure_record import iso_ms

STATE_VERSION = 1
FORGET_AFTER_S = 7 * 86_400
"""Positions of a mapping that is gone are kept so long, in case its stack comes back."""


def write_json(path: Path, value: Any) -> None:
    """Replace the file at once: a reader sees the old content or the new, never a part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}")
    part.write_text(json.dumps(value))
    part.replace(path)


class Positions:
    """Exported states of machines by key, in one file; without a path they live in memory only."""

    def __init__(self, path: Path | None) -> None:
        """Raises RunnerError when the file is not one of ours."""
        self._path = path
        self._entries: dict[str, dict[str, Any]] = {}
        if path is not None and path.exists():
            self._entries = _load(path)

    def get(self, key: str) -> dict[str, Any] | None:
        """The state saved under a key."""
        entry = self._entries.get(key)
        return entry["machine"] if entry else None

    def save(self, states: dict[str, dict[str, Any]], now_s: float) -> None:
        """Put these states in place of their former ones and write the file."""
        for key, state in states.items():
            self._entries[key] = {"seen_s": now_s, "machine": state}
        for key in [k for k, entry in self._entries.items() if now_s - entry["seen_s"] > FORGET_AFTER_S]:
            del self._entries[key]
        if self._path is not None:
            write_json(self._path, {"version": STATE_VERSION, "positions": self._entries})


def _load(path: Path) -> dict[str, dict[str, Any]]:
    try:
        raw = json.loads(path.read_text())
    except (OSError, ValueError) as err:
        raise RunnerError(f"{path} cannot be read ({err}); remove it to start from the mappings' positions") from None
    if not isinstance(raw, dict) or raw.get("version") != STATE_VERSION or not isinstance(raw.get("positions"), dict):
        raise RunnerError(f"{path} holds no positions of version {STATE_VERSION}; remove it to start afresh")
    return dict(raw["positions"])


@contextmanager
def locked(path: Path | None, wait_s: float) -> Iterator[None]:
    """Hold the state file for one runner; waits for an ending one, then raises RunnerError."""
    if path is None:
        yield
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_name(f".{path.name}.lock").open("w") as handle:
        end = time.monotonic() + wait_s
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError:
                if time.monotonic() > end:
                    raise RunnerError(f"another runner holds {path}: stop it first") from None
                time.sleep(0.1)
        yield


class JsonLog:
    """One JSON object per line: time, level, event, and what belongs to it."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr

    def info(self, event: str, **fields: Any) -> None:
        """Something worth a line happened."""
        self._write("INFO", event, fields)

    def warning(self, event: str, **fields: Any) -> None:
        """Something that will be tried again, or that lost its way to a function."""
        self._write("WARNING", event, fields)

    def _write(self, level: str, event: str, fields: dict[str, Any]) -> None:
        line = {"time": iso_ms(time.time()), "level": level, "event": event, **fields}
        print(json.dumps(line, default=str), file=self._stream, flush=True)
