"""The redrive ledger: which letters have been sent again and acknowledged. One small object per quarantine object."""

from __future__ import annotations

import json
from collections.abc import Iterable

from levada.core import keys
from levada.core.errors import ConflictError, UnavailableError
from levada.ports import BlobStore
from levadactl.deadletters.letters import bodies

PREFIX = "checkpoints/redrive/"
VERSION = 1
ATTEMPTS = 20


def acknowledged(blobs: BlobStore) -> set[str]:
    """Ids of every letter that needs no redrive any more."""
    return {one for _, body in bodies(blobs, PREFIX) for one in _parse(body)}


def acknowledge(blobs: BlobStore, quarantine_key: str, ids: Iterable[str], *, now_s: int) -> None:
    """Note that these letters of an object have been sent again; what others have noted stays.

    Raises UnavailableError when somebody else was faster every time.
    """
    at, wanted = key_of(quarantine_key), set(ids)
    for _ in range(ATTEMPTS):
        known, etag = _load(blobs, at)
        if wanted <= known.keys():
            return
        made = {"v": VERSION, "acknowledged": dict.fromkeys(sorted(wanted), now_s) | known}
        try:
            blobs.put_if(at, json.dumps(made, separators=(",", ":"), sort_keys=True).encode(), etag=etag)
            return
        except ConflictError:
            continue
    raise UnavailableError(f"{at}: changed {ATTEMPTS} times under this redrive")


def key_of(quarantine_key: str) -> str:
    """The ledger of ``quarantine/stage=<stage>/domain=<domain>/<name>.parquet``."""
    _, stage, domain, name = quarantine_key.split("/")
    return keys.redrive_ledger(
        stage.removeprefix("stage="), domain.removeprefix("domain="), name.removesuffix(".parquet")
    )


def _load(blobs: BlobStore, key: str) -> tuple[dict[str, int], str | None]:
    try:
        body, etag = blobs.get(key)
    except KeyError:
        return {}, None
    return _parse(body), etag


def _parse(body: bytes) -> dict[str, int]:
    raw = json.loads(body)
    if raw.get("v") != VERSION:
        raise UnavailableError(f"redrive ledger of version {raw.get('v')!r}: this levada reads {VERSION}")
    found: dict[str, int] = raw["acknowledged"]
    return found
