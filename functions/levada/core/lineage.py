"""Which checkpoint a shard continues: its own, or at first what its parents (or an earlier stream) had applied."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from levada.core import keys
from levada.core.checkpoint import Checkpoint
from levada.core.positions import ShardToken
from levada.ports import Blob, BlobStore, StreamTopology


def load(blobs: BlobStore, stage: str, token: ShardToken) -> tuple[Checkpoint, str] | None:
    """(checkpoint, ETag), or None when the shard has none yet."""
    try:
        body, etag = blobs.get(keys.checkpoint(stage, token))
    except KeyError:
        return None
    return Checkpoint.from_bytes(body), etag


def ancestors(
    blobs: BlobStore, topology: StreamTopology, stage: str, arn: str, token: ShardToken
) -> Iterator[dict[str, Any]]:
    """Checkpoint headers that a shard without one inherits its fences from."""
    return (Checkpoint.peek(body) for _, body in forebears(blobs, topology, stage, arn, token))


def forebears(
    blobs: BlobStore, topology: StreamTopology, stage: str, arn: str, token: ShardToken
) -> Iterator[tuple[ShardToken, bytes]]:
    """(shard, checkpoint object) of those whose place a shard without a checkpoint takes.

    After a reshard: its parents', or the nearest ancestors that have one. A stream's first shards take over from
    every shard of earlier streams of this stage: a producer that sends again what a lost stream may have swallowed
    must not be counted twice.
    """
    waiting = list(topology.parents(arn, token))
    if not waiting:
        yield from _earlier_streams(blobs, stage, token)
        return
    seen: set[ShardToken] = set()
    roots = False
    while waiting:
        parent = waiting.pop()
        if parent in seen:
            continue
        seen.add(parent)
        body = _body(blobs, keys.checkpoint(stage, parent))
        if body is not None:
            yield parent, body
        elif above := topology.parents(arn, parent):
            waiting.extend(above)
        else:
            roots = True
    if roots:
        yield from _earlier_streams(blobs, stage, token)


def tokens(blobs: BlobStore, stage: str) -> list[ShardToken]:
    """Every shard that has a checkpoint in this stage, earlier streams' included."""
    return [token for token, _ in checkpoints(blobs, stage)]


def checkpoints(blobs: BlobStore, stage: str) -> Iterator[tuple[ShardToken, Blob]]:
    """Every shard that has a checkpoint in this stage, and the object as it is listed."""
    for blob in blobs.list(f"checkpoints/{stage}/"):
        yield ShardToken.parse(blob.key.rpartition("/")[2]), blob


def _earlier_streams(blobs: BlobStore, stage: str, token: ShardToken) -> Iterator[tuple[ShardToken, bytes]]:
    for other in tokens(blobs, stage):
        if other.created_s < token.created_s:
            body = _body(blobs, keys.checkpoint(stage, other))
            if body is not None:
                yield other, body


def header(blobs: BlobStore, stage: str, token: ShardToken) -> dict[str, Any] | None:
    """The header of a shard's checkpoint, None when there is none."""
    body = _body(blobs, keys.checkpoint(stage, token))
    return None if body is None else Checkpoint.peek(body)


def _body(blobs: BlobStore, key: str) -> bytes | None:
    try:
        return blobs.get(key)[0]
    except KeyError:
        return None
