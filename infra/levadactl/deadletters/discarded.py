"""Records of discarded batches of the raw stream on their way back: under the identity that they would have had."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

import pyarrow as pa
import pyarrow.compute as pc

from levada.clean.reading import Rules
from levada.core import columns, packs, redrive
from levada.core.errors import BadRecordError
from levada.core.intervals import IntervalSet
from levada.core.kinesis_event import StreamRecord
from levada.core.packs import NDJSON_GZIP, Header
from levada.core.positions import ShardToken, pad_sequence
from levada.ports import Entry
from levadactl.deadletters import plain
from levadactl.deadletters.judging import Verdict, judge
from levadactl.deadletters.messages import Discarded
from levadactl.deadletters.ports import Ports

SLACK_S = 60.0
"""Clocks of two streams may differ by so much."""

Published = dict[str, dict[str, IntervalSet]]
"""Shard token → padded sequence number → rows."""


@dataclass(slots=True)
class Resolved:
    """A discarded batch and what the stream still has of it."""

    batch: Discarded
    token: str
    """Of the shard; empty when the stream that held the batch is no more."""
    records: list[StreamRecord] = field(default_factory=list)

    @property
    def lost(self) -> int:
        """Records that the stream no longer has."""
        return max(0, self.batch.size - len(self.records))


def resolve(batch: Discarded, ports: Ports) -> Resolved:
    """Read a batch back from its stream."""
    created_s = ports.streams.created_s(batch.stream)
    if created_s > batch.last_s + SLACK_S:  # deleted and made again: these positions are others now
        return Resolved(batch, "")
    token = str(ShardToken.of(created_s, batch.shard))
    return Resolved(batch, token, ports.streams.read(batch.stream, batch.shard, batch.first, batch.last))


def published(found: Sequence[Resolved], ports: Ports) -> Published:
    """Rows of these batches that an attempt put on the clean stream before it failed: aggregate has them.

    Whatever the raw stream still holds came out later on the clean stream, which keeps it as long.
    """
    present = [one for one in found if one.records]
    out: Published = defaultdict(lambda: defaultdict(IntervalSet))
    if not present:
        return out
    ranges: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for one in present:
        ranges[one.token].append((pad_sequence(one.batch.first), pad_sequence(one.batch.last)))
    since_s = min(one.batch.first_s for one in present) - SLACK_S
    for record in ports.streams.since(ports.config.clean_stream, since_s):
        _take_published(record, ranges, out)
    return out


def _take_published(record: StreamRecord, ranges: dict[str, list[tuple[str, str]]], out: Published) -> None:
    try:
        header, body = packs.split(record.data)
        token = header.source.partition("#")[0]
        first, last = (str((header.extra or {})[name][0]) for name in ("first", "last"))
        wanted = [(a, b) for a, b in ranges.get(token, ()) if a <= last and first <= b]
        if not wanted:
            return
        rows = columns.from_bytes(body).select(["sequence", "row"])
    except (BadRecordError, KeyError, TypeError, IndexError):
        return  # aggregate cannot read it either
    rows = rows.set_column(0, "sequence", rows["sequence"].cast(pa.string()))
    for a, b in wanted:
        mine = rows.filter(pc.and_(pc.greater_equal(rows["sequence"], a), pc.less_equal(rows["sequence"], b)))
        for row in mine.group_by(["sequence", "row"]).aggregate([]).to_pylist():
            out[token][row["sequence"]].add(row["row"])


def verdicts(found: Resolved, known: Published, rules: Rules) -> list[Verdict]:
    """What to put back for each record of a batch, and what clean would say of it now."""
    mine = known.get(found.token, {})
    made = [Verdict(_entry(r, found.token, mine.get(pad_sequence(r.sequence)), rules)) for r in found.records]
    judge(made, rules)
    return made


def _entry(record: StreamRecord, token: str, rows: IntervalSet | None, rules: Rules) -> Entry:
    """Its own pack with flags, or a plain record in a pack named by the place where it stood.

    The partition key stays, so that the same shard's fence knows it, whoever sends it again.
    """
    flags: dict[str, object] = {redrive.FLAG: True}
    if rows:
        flags[redrive.PUBLISHED] = rows.spans()
    try:
        header, body = packs.split(record.data) if packs.is_pack(record.data) else (None, b"")
    except BadRecordError:
        header = None
    if header is not None:
        if rows and redrive.is_flagged(header):
            rows.update(redrive.published(header))
            flags[redrive.PUBLISHED] = rows.spans()
        again = replace(header, extra=(header.extra or {}) | flags)
        return Entry(record.partition_key, packs.encode(again, body))
    source = f"{token}/{pad_sequence(record.sequence)}"
    named = Header(domain="", tenant=rules.tenant, source=source, position=0, count=0, codec=NDJSON_GZIP, extra=flags)
    return Entry(record.partition_key, plain.wrap(record.data, named, rules))


def places(found: Iterable[Resolved]) -> list[tuple[str, int, int]]:
    """What these batches hold, for ``standing.survey``."""
    return [(one.token, int(one.batch.first), int(one.batch.last)) for one in found]
