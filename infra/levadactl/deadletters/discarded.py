"""Discarded batches, and those of the raw stream on their way back: under the identity that they would have had."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

import pyarrow as pa
import pyarrow.compute as pc

from levada.clean.reading import Rules
from levada.core import applied, columns, lineage, packs, redrive
from levada.core.errors import BadRecordError
from levada.core.intervals import IntervalSet
from levada.core.kinesis_event import StreamRecord
from levada.core.packs import NDJSON_GZIP, Header
from levada.core.positions import RowFences, ShardToken, pad_sequence
from levada.ports import Entry
from levadactl.deadletters import plain
from levadactl.deadletters.judging import Verdict, judge
from levadactl.deadletters.letters import AGGREGATE, CLEAN
from levadactl.deadletters.messages import Discarded
from levadactl.deadletters.ports import Ports
from levadactl.deadletters.standing import Place

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
    stage: str
    """That gave it up."""
    records: list[StreamRecord] = field(default_factory=list)

    @property
    def lost(self) -> int:
        """Records that the stream no longer has."""
        return max(0, self.batch.size - len(self.records))


def resolve(batch: Discarded, ports: Ports) -> Resolved:
    """Read a batch back from its stream."""
    created_s = ports.streams.created_s(batch.stream)
    stage = CLEAN if batch.stream_name == ports.config.raw_stream else AGGREGATE
    if created_s > batch.last_s + SLACK_S:  # deleted and made again: these positions are others now
        return Resolved(batch, "", stage)
    token = str(ShardToken.of(created_s, batch.shard))
    return Resolved(batch, token, stage, ports.streams.read(batch.stream, batch.shard, batch.first, batch.last))


def fences_of(one: Resolved, ports: Ports) -> RowFences:
    """What the shard that a batch of aggregate stood in has applied."""
    if not one.token:
        return RowFences()
    found = lineage.header(ports.blobs, AGGREGATE, ShardToken.parse(one.token))
    return RowFences.from_bytes(found["fences"]) if found else RowFences()


def with_linked(chosen: Sequence[Resolved], every: Sequence[Resolved]) -> list[Resolved]:
    """These, and those that hold rows of one of them on the other stream: such batches go together or not at all.

    Which rows of clean's batch aggregate will have depends on what it gave up of them.
    """
    known = {id(one) for one in chosen}
    for behind in (one for one in every if one.stage == AGGREGATE):
        held = [one for one in every if one.stage == CLEAN and _holds_rows_of(behind, one)]
        if any(id(one) in known for one in (behind, *held)):
            known.update(map(id, (behind, *held)))
    return [one for one in every if id(one) in known]


def _holds_rows_of(behind: Resolved, raw: Resolved) -> bool:
    first, last = pad_sequence(raw.batch.first), pad_sequence(raw.batch.last)
    for record in behind.records:
        try:
            header, _ = packs.split(record.data)
            (after, _), (until, _) = applied.stretch(header)
        except (BadRecordError, KeyError, TypeError, ValueError):
            continue
        if header.source.partition("#")[0] == raw.token and after <= last and first <= until:
            return True
    return False


def published(found: Sequence[Resolved], behind: Sequence[Resolved], ports: Ports) -> Published:
    """Rows of these batches that an attempt put on the clean stream before it failed, and that aggregate has for it.

    Whatever the raw stream still holds came out later on the clean stream, which keeps it as long. Of all records that
    cover a row's place in its lane, the first one counts: aggregate takes the row from it, or never.

    Args:
        found: batches of the raw stream.
        behind: batches of the clean stream that aggregate gave up: their records do not count where they stood.
    """
    present = [one for one in found if one.records]
    out: Published = defaultdict(lambda: defaultdict(IntervalSet))
    if not present:
        return out
    ranges: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for one in present:
        ranges[one.token].append((pad_sequence(one.batch.first), pad_sequence(one.batch.last)))
    given_up = {(record.sequence, record.partition_key) for one in behind for record in one.records}
    since_s = min(one.batch.first_s for one in present) - SLACK_S
    fences = RowFences()
    for record in ports.streams.since(ports.config.clean_stream, since_s):
        if (record.sequence, record.partition_key) not in given_up:
            _take_published(record, ranges, fences, out)
    return out


def _take_published(
    record: StreamRecord, ranges: dict[str, list[tuple[str, str]]], fences: RowFences, out: Published
) -> None:
    try:
        header, body = packs.split(record.data)
        token, (after, until) = header.source.partition("#")[0], applied.stretch(header)
        wanted = [(a, b) for a, b in ranges.get(token, ()) if a <= until[0] and after[0] <= b]
        if not wanted:
            return
        rows = columns.from_bytes(body).select(["sequence", "row"])
    except (BadRecordError, KeyError, TypeError, ValueError):
        return  # aggregate cannot read it either
    rows = applied.without(rows, fences.seen(header.source, after, until))
    fences.add(header.source, after, until, 0)
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


def places(found: Iterable[Resolved]) -> list[Place]:
    """What these batches hold, for ``standing.survey``."""
    return [(one.stage, one.token, int(one.batch.first), int(one.batch.last)) for one in found]
