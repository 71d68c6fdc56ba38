"""The clean stage: one batch of the raw stream to bronze, silver, quarantine and the clean stream, exactly once.

Order of effects: lake objects, then the clean stream, then the checkpoint. Everything before the checkpoint is named
by position and may happen twice; the checkpoint's conditional put decides which attempt counts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from levada.clean import lake, outgoing, oversized, redriven
from levada.clean.normalise import Origin, Refused
from levada.clean.reading import Reading, Rules, read
from levada.clean.state import STAGE, CleanState
from levada.core import keys, lineage
from levada.core.keys import Span
from levada.core.kinesis_event import Batch
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


def run(batch: Batch, deps: CleanDeps) -> Summary:
    """Apply what is new in the batch. Raises UnavailableError: nothing counts then, and the batch may come again."""
    token = ShardToken.of(deps.topology.created_s(batch.arn), batch.shard_id)
    state, etag = _load(batch.arn, token, deps)
    now_s = int(deps.clock.now_s())
    first = batch.first_after(state.mark)
    summary = Summary(records=len(batch), duplicates=first)
    if first == len(batch):
        return summary
    rules = Rules(
        domains=deps.domains,
        tenant=deps.tenant,
        latest_us=(now_s + deps.max_skew_s) * 1_000_000,
        now_us=now_s * 1_000_000,
    )
    found = read(batch, first, rules, lambda h: state.fences.apply(h.source, h.position, now_s))
    origin = _origin(batch, found, token, deps.tenant)
    chain = outgoing.Chain(state.lanes, now_s)
    entries = oversized.entries(batch, found, rules, token, origin, chain)
    chain.keep()
    _count(found, state)
    _write_lake(batch, found, Span(token, batch.sequences[first], batch.sequences[-1]), origin, deps)
    summary.published = publish(deps.sink, entries, deps.clock).records
    state.mark, state.updated_s = int(batch.sequences[-1]), now_s
    state.fences.expire(now_s - deps.fence_horizon_h * 3600)
    state.lanes.expire(now_s - deps.fence_horizon_h * 3600)
    deps.blobs.put_if(keys.checkpoint(STAGE, token), state.to_checkpoint().to_bytes(), etag=etag)
    summary.duplicates += len(found.duplicates)
    summary.applied = len(batch) - summary.duplicates
    summary.rows, summary.quarantined = sum(n.rows.num_rows for n in found.good), found.quarantined
    return summary


def _load(arn: str, token: ShardToken, deps: CleanDeps) -> tuple[CleanState, str | None]:
    found = lineage.load(deps.blobs, STAGE, token)
    if found is not None and not lineage.is_blank(found[0]):
        return CleanState.from_header(found[0].header), found[1]
    state, blank = CleanState(), CleanState().to_checkpoint()
    for header in lineage.ancestors(deps.blobs, deps.topology, STAGE, arn, token, blank):
        state.fences.inherit(CleanState.from_header(header).fences)
    return state, found[1] if found else None


def _origin(batch: Batch, found: Reading, token: ShardToken, tenant: str) -> Origin:
    """Identity of every record: its pack's own, or for a plain record the place where it stands."""
    sequences = [pad_sequence(s) for s in batch.sequences]
    sources = [f"{token}/{s}" for s in sequences]
    positions, tenants = [0] * len(batch), [tenant] * len(batch)
    for i, header in found.headers.items():
        sources[i], positions[i], tenants[i] = header.source, header.position, header.tenant
    return Origin(str(token), sequences, sources, positions, tenants)


def _count(found: Reading, state: CleanState) -> None:
    for header in found.duplicates:
        state.count(header.domain)["duplicates"] += 1
    for normal in found.good:
        if normal.rows.num_rows:
            state.count(normal.domain.name).update(rows=normal.rows.num_rows, undated=normal.rows["time"].null_count)
    for part in found.tables:
        state.count(part.domain.name).update(part.counts())
    for bad, domain in found.bad:
        state.count(domain).update({"quarantined": 1, f"quarantined:{bad.reason}": 1})


def _write_lake(batch: Batch, found: Reading, span: Span, origin: Origin, deps: CleanDeps) -> None:
    objects: list[tuple[str, bytes]] = []
    for domain, records in found.records.items():
        objects.append(lake.bronze_object(domain, span, batch, sorted(records), origin))
    again = redriven.domains(found)
    for part in found.tables:
        if part.rows.num_rows:
            name, rows = part.domain.name, part.canonical(part.rows, origin)
            write = lake.event_objects if part.is_event else lake.silver_objects
            objects.extend(write(name, span, rows, redrive=name in again))
    refused = [_quarantined(bad, domain, batch, found, origin) for bad, domain in found.bad]
    objects.extend(lake.quarantine_objects(STAGE, span, refused))
    deps.blobs.put_all(objects)


def _quarantined(bad: Refused, domain: str, batch: Batch, found: Reading, origin: Origin) -> Quarantined:
    i, header = bad.record, found.headers.get(bad.record)
    return Quarantined(
        stage=STAGE,
        reason=bad.reason,
        detail=bad.detail,
        payload=bad.payload,
        shard=origin.shard,
        sequence=origin.sequences[i],
        arrived_us=batch.arrived_us(i),
        domain=domain,
        tenant=origin.tenants[i],
        source=origin.sources[i],
        position=origin.positions[i],
        row=bad.row,
        line=bad.line,
        trace=header.trace if header else "",
    )
