"""Which checkpoint a shard continues: its own, or at first what its parents (or an earlier stream) had applied.

Who takes over from a shard first touches its checkpoint, or makes a blank one: an attempt at one of that shard's
batches that is still under way (it was given up, and goes on) cannot commit then. Its rows may come again elsewhere,
and the heir would not know that they were applied.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from levada.core import keys
from levada.core.checkpoint import Checkpoint
from levada.core.errors import ConflictError, UnavailableError
from levada.core.positions import ShardToken
from levada.ports import Blob, BlobStore, StreamTopology

ATTEMPTS = 8
HEIRS, BLANK = "heirs", "blank"
"""In a header: how often somebody has taken over from the shard; that it had no checkpoint then, and this is none."""


def load(blobs: BlobStore, stage: str, token: ShardToken) -> tuple[Checkpoint, str] | None:
    """(checkpoint, ETag), or None when the shard has none yet."""
    try:
        body, etag = blobs.get(keys.checkpoint(stage, token))
    except KeyError:
        return None
    return Checkpoint.from_bytes(body), etag


def is_blank(saved: Checkpoint) -> bool:
    """Was it only made so that nobody else makes the shard's first? The shard still inherits what it would without."""
    return bool(saved.header.get(BLANK))


def ancestors(
    blobs: BlobStore, topology: StreamTopology, stage: str, arn: str, token: ShardToken, blank: Checkpoint
) -> Iterator[dict[str, Any]]:
    """Checkpoint headers that a shard without one inherits its fences from; see ``taken_over``."""
    return (Checkpoint.peek(body) for _, body in taken_over(blobs, topology, stage, arn, token, blank))


def taken_over(
    blobs: BlobStore, topology: StreamTopology, stage: str, arn: str, token: ShardToken, blank: Checkpoint
) -> Iterator[tuple[ShardToken, bytes]]:
    """(shard, checkpoint object) of those whose place a shard without a checkpoint takes.

    After a reshard: its parents', or the nearest ancestors that have one. A stream's first shards take over from
    every shard of earlier streams of this stage: a producer that sends again what a lost stream may have swallowed
    must not be counted twice.

    Args:
        blank: the state of a shard that has applied nothing.

    Raises UnavailableError when a checkpoint changes all the time.
    """
    waiting = list(topology.parents(arn, token))
    if not waiting:
        yield from _earlier_streams(blobs, stage, token, blank)
        return
    seen: set[ShardToken] = set()
    roots = False
    while waiting:
        parent = waiting.pop()
        if parent in seen:
            continue
        seen.add(parent)
        body = _touched(blobs, keys.checkpoint(stage, parent), blank)
        if body is not None:
            yield parent, body
        elif above := topology.parents(arn, parent):
            waiting.extend(above)
        else:
            roots = True
    if roots:
        yield from _earlier_streams(blobs, stage, token, blank)


def tokens(blobs: BlobStore, stage: str) -> list[ShardToken]:
    """Every shard that has a checkpoint in this stage, earlier streams' included."""
    return [token for token, _ in checkpoints(blobs, stage)]


def checkpoints(blobs: BlobStore, stage: str) -> Iterator[tuple[ShardToken, Blob]]:
    """Every shard that has a checkpoint in this stage, and the object as it is listed."""
    for blob in blobs.list(f"checkpoints/{stage}/"):
        yield ShardToken.parse(blob.key.rpartition("/")[2]), blob


def _earlier_streams(
    blobs: BlobStore, stage: str, token: ShardToken, blank: Checkpoint
) -> Iterator[tuple[ShardToken, bytes]]:
    for other in tokens(blobs, stage):
        if other.created_s < token.created_s:
            body = _touched(blobs, keys.checkpoint(stage, other), blank)
            if body is not None:
                yield other, body


def _touched(blobs: BlobStore, key: str, blank: Checkpoint) -> bytes | None:
    """A checkpoint that nobody can replace who has read it before; None when the shard had none."""
    for _ in range(ATTEMPTS):
        try:
            body, etag = blobs.get(key)
        except KeyError:
            body, etag = Checkpoint({**blank.header, BLANK: True}, blank.tables).to_bytes(), None
        head = Checkpoint.peek(body)
        try:
            blobs.put_if(key, Checkpoint.relabelled(body, {HEIRS: head.get(HEIRS, 0) + 1}), etag=etag)
        except ConflictError:
            continue
        return None if head.get(BLANK) else body
    raise UnavailableError(f"{key}: changed {ATTEMPTS} times while it was taken over")


def header(blobs: BlobStore, stage: str, token: ShardToken) -> dict[str, Any] | None:
    """The header of a shard's checkpoint, None when there is none."""
    body = _body(blobs, keys.checkpoint(stage, token))
    return None if body is None else Checkpoint.peek(body)


def _body(blobs: BlobStore, key: str) -> bytes | None:
    try:
        return blobs.get(key)[0]
    except KeyError:
        return None
