"""How far each stage is behind its stream, from checkpoints alone: the same answer at every place (B25)."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from levada.core import lineage
from levada.core.positions import ShardToken
from levadactl.loading import STAGE_OF, Lake, Streams

if TYPE_CHECKING:
    from levadactl.places import Place

MAX_PAGES = 20
"""Pages of unread records that are counted in a shard; a longer queue is reported as ``more``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Behind:
    """One shard, as its reader has left it."""

    function: str
    shard: str
    position: str | None
    """Sequence number of the last record that is committed; None when none is."""
    waiting: int
    """Records behind it (at least, with ``more``)."""
    more: bool
    iterator_age_ms: int
    """Age of the oldest record that waits; 0 when none does."""


def behind(place: Place, *, now_s: float | None = None) -> list[Behind]:
    """Every shard of both streams. Reads the unread part of each, so it costs what is behind."""
    lake, now = Lake.of(place), time.time() if now_s is None else now_s
    streams, found = Streams(place, lake), []
    for stream, stage in STAGE_OF:
        name, created = streams.names[stream], streams.created_s(stream)
        for shard in place.client("kinesis").list_shards(StreamName=name)["Shards"]:
            saved = lineage.load(lake.blobs, stage, ShardToken.of(created, shard["ShardId"]))
            mark = int(saved[0].header["mark"]) if saved else -1
            digits = len(shard["SequenceNumberRange"]["StartingSequenceNumber"])
            position = f"{mark:0{digits}d}" if mark >= 0 else None
            waiting, more, oldest_s = _unread(place, name, shard["ShardId"], position)
            age_ms = 0 if oldest_s is None else max(0, round((now - oldest_s) * 1000))
            found.append(
                Behind(
                    function=stage,
                    shard=shard["ShardId"],
                    position=position,
                    waiting=waiting,
                    more=more,
                    iterator_age_ms=age_ms,
                )
            )
    return found


def _unread(place: Place, stream: str, shard: str, after: str | None) -> tuple[int, bool, float | None]:
    """(records behind ``after``, whether there are more than were counted, arrival of the oldest)."""
    kinesis = place.client("kinesis")
    start: dict[str, Any] = {"ShardIteratorType": "TRIM_HORIZON"}
    if after is not None:  # with as many digits as the stream's own: emulators look for the text
        start = {"ShardIteratorType": "AFTER_SEQUENCE_NUMBER", "StartingSequenceNumber": after}
    iterator = kinesis.get_shard_iterator(StreamName=stream, ShardId=shard, **start).get("ShardIterator")
    waiting, oldest_s = 0, None
    for _ in range(MAX_PAGES):
        if not iterator:
            return waiting, False, oldest_s
        page = kinesis.get_records(ShardIterator=iterator, Limit=1000)
        if page["Records"] and oldest_s is None:
            oldest_s = page["Records"][0]["ApproximateArrivalTimestamp"].timestamp()
        waiting += len(page["Records"])
        if not page.get("MillisBehindLatest"):
            return waiting, False, oldest_s
        iterator = page.get("NextShardIterator")
    return waiting, True, oldest_s
