"""What was sent again and may still be on its way: noted before it is sent, so that others can wait for it.

A dead letter that was sent again is in no queue any more, and what a stage had committed says nothing of it: its place
in the stream is new, and what came behind its old place may have been applied long ago. Whoever replaces what the
stages have made up to now must know that such a record is still to come.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from typing import Any

from levada.core import applied, packs
from levada.core.errors import BadRecordError
from levada.core.positions import PackFences, RowFences, position
from levada.ports import BlobStore, Entry
from levadactl.deadletters.letters import CLEAN

PREFIX = "checkpoints/returned/"
VERSION = 1
KEPT_S = 24 * 3600
"""How long streams keep records: what was sent longer ago has been applied, or given up once more."""


def note(blobs: BlobStore, stage: str, entries: Sequence[Entry], now_s: int) -> None:
    """Keep what these records are known by; forget what was sent too long ago to be on its way.

    Args:
        stage: whose stream they are put on.
    """
    records = [known for entry in entries if (known := _known(stage, entry.data)) is not None]
    if not records:
        return
    forget = [blob.key for blob in blobs.list(f"{PREFIX}{stage}/") if _at_s(blob.key) < now_s - KEPT_S]
    body = json.dumps({"v": VERSION, "records": records}, separators=(",", ":")).encode()
    blobs.put(f"{PREFIX}{stage}/{now_s:012d}-{hashlib.sha256(body).hexdigest()[:16]}.json", body)
    blobs.delete(forget)


def _known(stage: str, data: bytes) -> list[Any] | None:
    """How the stage's fence knows a record; None for one that it will refuse."""
    try:
        header, _ = packs.split(data)
        if stage == CLEAN:
            return [header.source, header.position]
        return [header.source, *applied.stretch(header)]
    except (BadRecordError, KeyError, TypeError, ValueError):
        return None


def under_way(blobs: BlobStore, now_s: int, cleaned: Sequence[PackFences], aggregated: Sequence[RowFences]) -> int:
    """How many records were sent again and are not in the fences of their stage.

    Args:
        cleaned, aggregated: fences of all shards of clean, of aggregate; read before this is asked.
    """
    return sum(
        not (_is_cleaned(one, cleaned) if blob_stage == CLEAN else _is_aggregated(one, aggregated))
        for blob_stage, one in _noted(blobs, now_s - KEPT_S)
    )


def _noted(blobs: BlobStore, since_s: int) -> Iterable[tuple[str, list[Any]]]:
    for blob in blobs.list(PREFIX):
        if _at_s(blob.key) >= since_s:
            try:
                told = json.loads(blobs.get(blob.key)[0])
            except KeyError:  # too old since it was listed
                continue
            yield from ((blob.key.split("/")[2], one) for one in told["records"])


def _at_s(key: str) -> int:
    return int(key.rpartition("/")[2].partition("-")[0])


def _is_cleaned(one: list[Any], fences: Iterable[PackFences]) -> bool:
    source, n = one
    return any(n in fence.applied(source) for fence in fences)


def _is_aggregated(one: list[Any], fences: Iterable[RowFences]) -> bool:
    lane, after, until = one[0], position(*one[1]), position(*one[2])
    return any(start <= after and until <= end for fence in fences for start, end in fence.seen(lane, after, until))
