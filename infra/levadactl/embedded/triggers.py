"""The stream triggers as a child process of the embedded stack."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

from levadactl.embedded import processes
from levadactl.embedded.ministack import Folders, clean_environment
from levadactl.embedded.processes import ProcessRef
from levadactl.errors import StartError

RUNNER = "levadactl.triggers.runner"
START_S = 15.0


def state_file(state: Path) -> Path:
    """Where the runner keeps its positions."""
    return state / "triggers" / "positions.json"


def status_file(state: Path) -> Path:
    """Where the runner says how it is doing."""
    return state / "triggers" / "status.json"


def start(state: Path, endpoint: str) -> ProcessRef:
    """Start the runner and wait until it has written its status. Raises StartError when it ends instead."""
    status_file(state).unlink(missing_ok=True)
    log = Folders(state).logs / "triggers.log"
    command = [sys.executable, "-P", "-m", RUNNER, "--endpoint-url", endpoint]
    command += ["--state", str(state_file(state)), "--status", str(status_file(state))]
    runner = processes.spawn(command, clean_environment(state, endpoint), log)
    processes.wait_for(lambda: status_file(state).exists() or not runner.alive(), timeout_s=START_S)
    if not status_file(state).exists():
        processes.stop([runner])
        raise StartError(f"the stream triggers did not start within {START_S:g} s (log: {log})")
    return runner


def forget(state: Path) -> None:
    """Drop positions and status: the streams that they speak of are gone."""
    shutil.rmtree(state / "triggers", ignore_errors=True)


def status(state: Path) -> dict[str, Any] | None:
    """What the runner last said; None when it has said nothing."""
    try:
        answer = json.loads(status_file(state).read_text())
    except (OSError, ValueError):
        return None
    return answer if isinstance(answer, dict) else None
