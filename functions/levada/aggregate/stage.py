"""The aggregate stage: canonical rows to event-time windows, each row once, results from committed state only.

Order of effects: a pending outbox is emitted, the batch is merged, the checkpoint is put conditionally, and what it
closed is emitted. A crash after the commit leaves a full outbox, which the next invocation (or the schedule) emits.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc

from levada.aggregate.emit import Emitted, emit
from levada.aggregate.state import STAGE, AggregateState
from levada.core import applied, columns, keys, lineage, packs, parquet, quarantine
from levada.core.errors import BadRecordError
from levada.core.keys import Span
from levada.core.kinesis_event import Batch, StreamRecord
from levada.core.packs import Header
from levada.core.partials import from_rows
from levada.core.positions import RowFences, ShardToken, pad_sequence
from levada.core.quarantine import Quarantined
from levada.core.records import MEASUREMENT
from levada.domains.declaration import Domain
from levada.ports import BlobStore, Clock, ServingStore, StreamTopology


@dataclass(frozen=True, slots=True, kw_only=True)
class AggregateDeps:
    """What the stage needs of the outside."""

    blobs: BlobStore
    serving: ServingStore
    topology: StreamTopology
    clock: Clock
    domains: Mapping[str, Domain]
    fence_horizon_h: int
    emitted: Emitted


@dataclass(slots=True)
class Summary:
    """What one batch did; goes to the log and the metrics."""

    records: int = 0
    rows: int = 0
    duplicate_rows: int = 0
    late: int = 0
    quarantined: int = 0
    closed: int = 0
    open: int = 0


@dataclass(slots=True)
class _Work:
    token: ShardToken
    partials: list[pa.Table] = field(default_factory=list)
    highest_us: dict[tuple[str, str], int] = field(default_factory=dict)
    bad: list[Quarantined] = field(default_factory=list)


def run(batch: Batch, deps: AggregateDeps) -> Summary:
    """Apply what is new in the batch. Raises UnavailableError: nothing counts then, and the batch may come again."""
    token = ShardToken.of(deps.topology.created_s(batch.arn), batch.shard_id)
    state, etag = _load(batch.arn, token, deps)
    emit_outbox(state, token, deps)
    fresh = [batch.record(i) for i in range(batch.first_after(state.mark), len(batch))]
    summary = Summary(records=len(batch))
    if not fresh:
        return summary
    now_s = int(deps.clock.now_s())
    work = _Work(token)
    for record in fresh:
        _take(record, work, state, deps, summary, now_s)
    if work.bad:
        span = Span(token, str(fresh[0].sequence), str(fresh[-1].sequence))
        table = quarantine.to_table(work.bad)
        deps.blobs.put(
            keys.quarantine(STAGE, keys.UNKNOWN_DOMAIN, span), parquet.to_bytes(table, dictionary=["reason"])
        )
    for stream, us in work.highest_us.items():
        state.highest_us[stream] = max(us, state.highest_us.get(stream, us))
    state.add(work.partials)
    state.close(watermarks(state, deps.domains))
    state.mark, state.updated_s = fresh[-1].sequence, now_s
    state.fences.expire(now_s - deps.fence_horizon_h * 3600)
    commit(state, etag, token, deps)
    summary.closed, summary.open, summary.quarantined = state.outbox.num_rows, state.open.num_rows, len(work.bad)
    return summary


def watermarks(state: AggregateState, domains: Mapping[str, Domain]) -> dict[tuple[str, str], int]:
    """Watermark of every (domain, tenant) that the shard has seen and that is enabled, microseconds."""
    found = {}
    for domain, tenant in {*state.highest_us, *state.forced_us}:
        if domain in domains and (until := state.watermark(domains[domain], tenant)) is not None:
            found[domain, tenant] = until
    return found


def commit(state: AggregateState, etag: str | None, token: ShardToken, deps: AggregateDeps) -> str:
    """Put the checkpoint, then emit what it closed. Raises ConflictError when somebody else committed first."""
    etag = deps.blobs.put_if(keys.checkpoint(STAGE, token), state.to_checkpoint().to_bytes(), etag=etag)
    emit_outbox(state, token, deps, fresh=True)
    return etag


def emit_outbox(state: AggregateState, token: ShardToken, deps: AggregateDeps, *, fresh: bool = False) -> None:
    """Emit what the committed state's outbox holds, unless it is known, or seen, to be emitted."""
    emit(
        state.outbox,
        token,
        state.generation,
        blobs=deps.blobs,
        serving=deps.serving,
        done=deps.emitted,
        fresh=fresh,
    )


def _load(arn: str, token: ShardToken, deps: AggregateDeps) -> tuple[AggregateState, str | None]:
    found = lineage.load(deps.blobs, STAGE, token)
    if found is not None:
        return AggregateState.from_checkpoint(found[0]), found[1]
    state = AggregateState()
    for header in lineage.ancestors(deps.blobs, deps.topology, STAGE, arn, token):
        state.fences.inherit(RowFences.from_bytes(header["fences"]))
    return state, None


def _take(
    record: StreamRecord, work: _Work, state: AggregateState, deps: AggregateDeps, summary: Summary, now_s: int
) -> None:
    """Merge one record's rows that are new; what cannot be read is set aside."""
    header: Header | None = None
    try:
        header, rows, (after, until) = _read(record, deps.domains)
    except BadRecordError as err:
        work.bad.append(_quarantined(record, work.token, err))
        return
    fresh = applied.without(rows, state.fences.seen(header.source, after, until))
    summary.duplicate_rows += rows.num_rows - fresh.num_rows
    state.fences.add(header.source, after, until, now_s)
    if not fresh.num_rows:
        return
    domain, stream = deps.domains[header.domain], (header.domain, header.tenant)
    dated = fresh.filter(pc.is_valid(fresh["time"]))
    counter = state.counters.setdefault(header.domain, Counter())
    counter.update(rows=fresh.num_rows, undated=fresh.num_rows - dated.num_rows)
    summary.rows += fresh.num_rows
    if not dated.num_rows:
        return
    partials = from_rows(
        dated,
        width_s=domain.window_s,
        opened=pad_sequence(record.sequence),
        watermark_us=state.watermark(domain, header.tenant),
        quantile_error=domain.quantile_error,
    )
    late = pc.sum(partials["late"]).as_py()
    counter["late"] += late
    summary.late += late
    work.partials.append(partials)
    highest = pc.max(dated["time"].cast(pa.int64())).as_py()
    work.highest_us[stream] = max(highest, work.highest_us.get(stream, highest))


def _read(record: StreamRecord, domains: Mapping[str, Domain]) -> tuple[Header, pa.Table, applied.Stretch]:
    """(header, rows, the stretch of its lane that the record holds all rows of)."""
    if not packs.is_pack(record.data):
        raise BadRecordError("not_a_pack", f"begins with {record.data[:8]!r}: the clean stream carries packs of rows")
    header, body = packs.split(record.data)
    if header.domain not in domains:
        raise BadRecordError("unknown_domain", f"domain={header.domain!r}: enabled are {', '.join(sorted(domains))}")
    rows = columns.from_bytes(body)
    try:
        rows = rows.select(MEASUREMENT.names).cast(MEASUREMENT)
        held = applied.stretch(header)
    except (KeyError, ValueError, TypeError, pa.ArrowInvalid) as err:
        raise BadRecordError("not_canonical_rows", str(err)) from err
    return header, rows, held


def _quarantined(record: StreamRecord, token: ShardToken, err: BadRecordError) -> Quarantined:
    return Quarantined(
        stage=STAGE,
        reason=err.reason,
        detail=err.detail,
        payload=record.data,
        shard=str(token),
        sequence=pad_sequence(record.sequence),
        arrived_us=record.arrived_us,
    )
