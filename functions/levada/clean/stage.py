"""The clean stage: one batch of the raw stream to bronze, silver, quarantine and the clean stream, exactly once.

Order of effects: lake objects, then the clean stream, then the checkpoint. Everything before the checkpoint is named
by position and may happen twice; the checkpoint's conditional put decides which attempt counts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from levada.clean import lake, outgoing
from levada.clean.decode import Decoded, decode
from levada.clean.normalise import Origin, Refused, Wide, melt, normalise
from levada.clean.state import STAGE, CleanState
from levada.core import keys, lineage, packs
from levada.core.errors import BadRecordError
from levada.core.keys import Span
from levada.core.kinesis_event import Batch, StreamRecord
from levada.core.packs import Header
from levada.core.positions import ShardToken, pad_sequence
from levada.core.publishing import publish
from levada.core.quarantine import Quarantined
from levada.domains.declaration import Domain
from levada.ports import BlobStore, Clock, RecordSink, StreamTopology


@dataclass(frozen=True, slots=True, kw_only=True)
class CleanDeps:
    """What the stage needs of the outside."""

    blobs: BlobStore
    sink: RecordSink
    """The clean stream."""
    topology: StreamTopology
    clock: Clock
    domains: Mapping[str, Domain]
    tenant: str
    max_skew_s: int
    fence_horizon_h: int


@dataclass(slots=True)
class Summary:
    """What one batch did; goes to the log and the metrics."""

    records: int = 0
    applied: int = 0
    duplicates: int = 0
    rows: int = 0
    quarantined: int = 0
    published: int = 0


@dataclass(slots=True)
class _Work:
    """One batch on its way: records that are new, and what became of them."""

    token: ShardToken
    records: list[StreamRecord] = field(default_factory=list)
    headers: list[Header | None] = field(default_factory=list)
    """Index by index beside records."""
    decoded: dict[str, list[tuple[int, Decoded]]] = field(default_factory=dict)
    bad: list[Quarantined] = field(default_factory=list)
    duplicates: int = 0


def run(batch: Batch, deps: CleanDeps) -> Summary:
    """Apply what is new in the batch. Raises UnavailableError: nothing counts then, and the batch may come again."""
    token = ShardToken.of(deps.topology.created_s(batch.arn), batch.shard_id)
    state, etag = _load(batch.arn, token, deps)
    now_s = int(deps.clock.now_s())
    fresh = [r for r in batch.records if r.sequence > state.mark]
    summary = Summary(records=len(batch.records), duplicates=len(batch.records) - len(fresh))
    if not fresh:
        return summary
    work = _Work(token)
    for record in fresh:
        _take(record, work, state, deps, now_s)
    span = Span(token, str(fresh[0].sequence), str(fresh[-1].sequence))
    latest_us = (now_s + deps.max_skew_s) * 1_000_000
    tables = [_clean(domain, decoded, work, deps, latest_us) for domain, decoded in work.decoded.items()]
    _count(work, tables, state)
    _write_lake(work, tables, span, deps)
    summary.published = _publish(work, tables, deps)
    state.mark = fresh[-1].sequence
    state.updated_s = now_s
    state.fences.expire(now_s - deps.fence_horizon_h * 3600)
    deps.blobs.put_if(keys.checkpoint(STAGE, token), state.to_checkpoint().to_bytes(), etag=etag)
    summary.applied, summary.duplicates = len(work.records), summary.duplicates + work.duplicates
    summary.rows, summary.quarantined = sum(w.rows.num_rows for w in tables), len(work.bad)
    return summary


def _load(arn: str, token: ShardToken, deps: CleanDeps) -> tuple[CleanState, str | None]:
    found = lineage.load(deps.blobs, STAGE, token)
    if found is not None:
        return CleanState.from_header(found[0].header), found[1]
    state = CleanState()
    for header in lineage.ancestors(deps.blobs, deps.topology, STAGE, arn, token):
        state.fences.inherit(CleanState.from_header(header).fences)
    return state, None


def _take(record: StreamRecord, work: _Work, state: CleanState, deps: CleanDeps, now_s: int) -> None:
    """Read one record, unless its pack has been applied before; what cannot be read is set aside."""
    header: Header | None = None
    try:
        header = packs.split(record.data)[0] if packs.is_pack(record.data) else None
        if header and not state.fences.apply(header.source, header.position, now_s):
            work.duplicates += 1
            state.count(header.domain)["duplicates"] += 1
            return
        one = decode(record, header, deps.domains, deps.tenant)
    except BadRecordError as err:
        work.records.append(record)
        work.headers.append(header)
        known = header.domain if header and header.domain in deps.domains else keys.UNKNOWN_DOMAIN
        refused = Refused(len(work.records) - 1, 0, None, record.data, err.reason, err.detail)
        work.bad.append(_quarantined(refused, known, work, header.tenant if header else deps.tenant))
        return
    work.records.append(record)
    work.headers.append(header)
    index = len(work.records) - 1
    work.decoded.setdefault(one.domain, []).append((index, one))
    for bad in one.bad:
        refused = Refused(index, bad.row, None, bad.payload, bad.reason, bad.detail)
        work.bad.append(_quarantined(refused, one.domain, work, one.tenant))


def _clean(domain: str, decoded: Sequence[tuple[int, Decoded]], work: _Work, deps: CleanDeps, latest_us: int) -> Wide:
    wide, refused = normalise(deps.domains[domain], decoded, latest_us=latest_us)
    by_index = dict(decoded)
    for bad in refused:
        one = by_index[bad.record]
        asis = replace(bad, payload=one.lines[bad.row]) if one.lines else bad
        work.bad.append(_quarantined(asis, domain, work, one.tenant))
    return wide


def _quarantined(bad: Refused, domain: str, work: _Work, tenant: str) -> Quarantined:
    record, header = work.records[bad.record], work.headers[bad.record]
    source, position = _identity(work, bad.record)
    return Quarantined(
        stage=STAGE,
        reason=bad.reason,
        detail=bad.detail,
        payload=bad.payload,
        shard=str(work.token),
        sequence=pad_sequence(record.sequence),
        arrived_us=record.arrived_us,
        domain=domain,
        tenant=tenant,
        source=source,
        position=position,
        row=bad.row,
        line=bad.line,
        trace=header.trace if header else "",
    )


def _identity(work: _Work, index: int) -> tuple[str, int]:
    """(source, position) of a record: its pack's own, or for a plain record the place where it stands."""
    header, record = work.headers[index], work.records[index]
    return (header.source, header.position) if header else (f"{work.token}/{pad_sequence(record.sequence)}", 0)


def _origin(work: _Work, deps: CleanDeps) -> Origin:
    identities = [_identity(work, i) for i in range(len(work.records))]
    return Origin(
        shard=str(work.token),
        sequences=[pad_sequence(r.sequence) for r in work.records],
        sources=[source for source, _ in identities],
        positions=[position for _, position in identities],
        tenants=[h.tenant if h else deps.tenant for h in work.headers],
    )


def _count(work: _Work, tables: Sequence[Wide], state: CleanState) -> None:
    for wide in tables:
        state.count(wide.domain.name).update(wide.counts())
    for bad in work.bad:
        counter = state.count(bad.domain)
        counter["quarantined"] += 1
        counter[f"quarantined:{bad.reason}"] += 1


def _write_lake(work: _Work, tables: Sequence[Wide], span: Span, deps: CleanDeps) -> None:
    if not work.records:
        return
    date = lake.arrival_date(work.records[0])
    origin = _origin(work, deps)
    objects: list[tuple[str, bytes]] = []
    for domain, decoded in work.decoded.items():
        objects.append(lake.bronze_object(domain, span, date, [(one.record, one.tenant) for _, one in decoded]))
    for wide in tables:
        if wide.rows.num_rows:
            objects.extend(lake.silver_objects(wide.domain.name, span, melt(wide, wide.rows, origin)))
    objects.extend(lake.quarantine_objects(STAGE, span, work.bad))
    deps.blobs.put_all(objects)


def _publish(work: _Work, tables: Sequence[Wide], deps: CleanDeps) -> int:
    origin = _origin(work, deps)
    entries = [entry for wide in tables for entry in outgoing.entries(wide, work.token, origin)]
    return publish(deps.sink, entries, deps.clock).records
