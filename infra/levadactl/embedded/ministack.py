"""MiniStack 1.5: how it is started, where it keeps things, and what must be worked around. Nothing else knows it.

Quirks dealt with here:
- it binds every interface and opens MQTT and SFTP ports unless told not to;
- it saves its state at SIGTERM only, and reads a state that is older than the objects without noticing,
  so a saved state is removed as soon as it has been read: after a crash there is none, rather than a wrong one;
- S3 objects are files written at once, with a ``.meta.json`` beside each; they outlive a crash, but then
  CloudFormation refuses to make a bucket that exists, so the lake is set aside and put back by moving its folder;
- function workers are children that live on when it ends, and their folders stay in TMPDIR;
- a stack's REST API answers under a path of the emulator's own port, not under the URL in the stack's outputs.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from urllib.parse import urlsplit

from levadactl.embedded.ports import LOOPBACK
from levadactl.embedded.processes import MARK
from levadactl.errors import StartError

ACCOUNT = "000000000000"
REGION = "us-east-1"
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
VERSION = "1.5.33"
"""The release that this module was written against; ``levada doctor`` compares."""

PASSED_ON = ("PATH", "LANG", "LC_ALL", "LC_CTYPE", "SYSTEMROOT")
SAVED = ("cloudformation", "dynamodb", "kinesis", "lambda", "s3", "sqs", "apigateway_v1", "eventbridge", "iam")
"""State files without which a restart is not a continuation."""

SIDECAR = ".meta.json"


@dataclass(frozen=True, slots=True)
class Folders:
    """Where one emulator keeps its things; all inside the state folder."""

    state: Path

    @property
    def saved(self) -> Path:
        """Everything but S3 objects, written at a clean stop."""
        return self.state / "emulator"

    @property
    def objects(self) -> Path:
        return self.state / "s3"

    @property
    def tmp(self) -> Path:
        """Workers' folders; nothing here survives a stop."""
        return self.state / "tmp"

    @property
    def logs(self) -> Path:
        return self.state / "logs"

    @property
    def salvage(self) -> Path:
        """The lake's objects between a crash and their return into the bucket of the next stack."""
        return self.state / "salvage"

    def make(self) -> None:
        for folder in (self.saved, self.objects, self.tmp, self.logs):
            folder.mkdir(parents=True, exist_ok=True)


def clean_environment(state: Path, endpoint: str) -> dict[str, str]:
    """The environment of every process of the stack: nothing of the user's AWS settings or proxies gets in."""
    kept = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    return kept | CREDENTIALS | {
        MARK: str(state),
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
        "NO_PROXY": "*",
        "PYTHONUNBUFFERED": "1",
        "TMPDIR": str(Folders(state).tmp),
        "TZ": "UTC",
    }  # fmt: skip


def environment(state: Path, port: int, *, verbose: bool = False) -> dict[str, str]:
    """The emulator's own environment."""
    folders = Folders(state)
    return clean_environment(state, f"http://{LOOPBACK}:{port}") | {
        "GATEWAY_PORT": str(port),
        "BIND_HOST": LOOPBACK,
        # In queue URLs; the name localhost may resolve to ::1, where nobody listens.
        "MINISTACK_HOST": LOOPBACK,
        "IOT_MTLS_ENABLED": "0",
        "SFTP_ENABLED": "0",
        "PERSIST_STATE": "1",
        "STATE_DIR": str(folders.saved),
        "S3_PERSIST": "1",
        "S3_DATA_DIR": str(folders.objects),
        "LOG_LEVEL": "INFO" if verbose else "WARNING",
        # Functions run as plain processes; a Docker daemon of the user's is none of our business.
        "LAMBDA_EXECUTOR": "local",
        "DOCKER_HOST": f"unix://{folders.tmp}/no-docker.sock",
    }


def command() -> list[str]:
    """-P: the current folder must not shadow the emulator's modules."""
    return [sys.executable, "-P", "-m", "ministack"]


def healthy(port: int) -> bool:
    """True when a MiniStack answers on this port of loopback."""
    answer = _health(port)
    return answer is not None and "version" in answer and "services" in answer


def version(port: int) -> str | None:
    """The version that answers on this port; None when nothing (or something else) does."""
    answer = _health(port)
    found = answer.get("version") if answer else None
    return found if isinstance(found, str) else None


def _health(port: int) -> Mapping[str, object] | None:
    connection = HTTPConnection(LOOPBACK, port, timeout=3)
    try:
        connection.request("GET", "/_ministack/health")
        parsed = json.loads(connection.getresponse().read())
    except (OSError, HTTPException, ValueError):
        return None
    finally:
        connection.close()
    return parsed if isinstance(parsed, dict) else None


def api_url(endpoint: str, api_id: str, stage: str) -> str:
    """The base URL under which a REST API's stage answers."""
    return f"{endpoint}/_aws/execute-api/{api_id}/{stage}"


def queue_url(endpoint: str, url: str) -> str:
    """A queue URL on the port that the emulator has now; the stored one has the port of its making."""
    return endpoint + urlsplit(url).path


def saved_whole(folders: Folders) -> bool:
    """True when the last stop has written all state that a restart needs."""
    return all((folders.saved / f"{name}.json").is_file() for name in SAVED)


def forget_saved(folders: Folders) -> None:
    """Remove the saved state. Function code (named by its hash) may stay."""
    for path in folders.saved.glob("*.json"):
        path.unlink(missing_ok=True)


def set_lake_aside(folders: Folders, bucket: str) -> None:
    """After a crash: move the lake's objects out of the emulator's reach, drop all other buckets.

    Safe to repeat: objects that an interrupted recovery had set aside stay, newer ones are added.
    """
    lake = folders.objects / ACCOUNT / bucket if bucket else None
    if lake is not None and lake.is_dir():
        if folders.salvage.is_dir():
            shutil.copytree(lake, folders.salvage, dirs_exist_ok=True)
        else:
            lake.rename(folders.salvage)
    shutil.rmtree(folders.objects, ignore_errors=True)
    folders.objects.mkdir(parents=True, exist_ok=True)


def put_lake_back(folders: Folders, bucket: str) -> Salvaged:
    """Give the objects that were set aside to this bucket. The emulator must not be running."""
    found = _repair(folders.salvage)
    home = folders.objects / ACCOUNT / bucket
    if home.is_dir():
        shutil.copytree(folders.salvage, home, dirs_exist_ok=True)
        shutil.rmtree(folders.salvage)
    else:
        home.parent.mkdir(parents=True, exist_ok=True)
        folders.salvage.rename(home)
    return found


@dataclass(frozen=True, slots=True)
class Salvaged:
    """What a crash left of the lake: objects kept, and objects that were cut short and had to go."""

    objects: int
    torn: int


def _repair(root: Path) -> Salvaged:
    kept = torn = 0
    for path, sidecar in list(_object_files(root)):
        size = path.stat().st_size
        told = _told_size(sidecar)
        if size == 0 and told:
            # Power loss: the file was renamed into place, its bytes never reached the disk.
            path.unlink()
            sidecar.unlink()
            torn += 1
            continue
        if told is not None and told != size:
            # Killed between the object and its sidecar: without one the emulator reads size and hash from the object.
            sidecar.unlink()
        kept += 1
    return Salvaged(objects=kept, torn=torn)


def _object_files(root: Path) -> Iterator[tuple[Path, Path]]:
    for path in root.rglob("*"):
        if path.is_file() and path.name.endswith(".tmp"):
            path.unlink()
        elif path.is_file() and not path.name.endswith(SIDECAR):
            yield path, path.with_name(path.name + SIDECAR)


def _told_size(sidecar: Path) -> int | None:
    try:
        told = json.loads(sidecar.read_text()).get("size")
    except (OSError, ValueError, AttributeError):
        return None
    return told if isinstance(told, int) else None


def explain_exit(log: Path) -> StartError:
    """The error for an emulator that ended before it was healthy: its last words, and where the rest is."""
    try:
        last = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    except OSError:
        last = []
    words = f": {last[-1]}" if last else ""
    return StartError(f"the emulator ended at once{words} (log: {log})")
