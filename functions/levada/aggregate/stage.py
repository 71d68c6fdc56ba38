"""The aggregate stage: canonical rows to event-time windows, each row once, results from committed state only.

Order of effects: a pending outbox is emitted, the batch is merged, the checkpoint is put conditionally, and what it
closed is emitted. A crash after the commit leaves a full outbox, which the next invocation (or the schedule) emits.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from levada.aggregate.emit import Emitted, emit
from levada.aggregate.state import STAGE, AggregateState, Windowed
from levada.aggregate.taking import Taken, take
from levada.aggregate.watching import Alerting, control_lines
from levada.aggregate.windowing import windowed
from levada.core import keys, lineage, parquet, quarantine
from levada.core.checkpoint import Checkpoint
from levada.core.keys import Span
from levada.core.kinesis_event import Batch
from levada.core.positions import ShardToken
from levada.core.retention import Expiry, Keep
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
    alerting: Alerting = field(default_factory=Alerting)
    keep: Keep = field(default_factory=Keep)
    """How long what is emitted is kept."""
    memo: dict[str, Any] = field(default_factory=dict)
    """What the process remembers: limits."""


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
    entities: int = 0
    """Entities whose latest state may have changed."""
    anomalies: int = 0
    alerts: int = 0
    """Alerts that were opened, or that went on."""
    problems: list[str] = field(default_factory=list)
    """Settings that could not be read; the rows do not wait for them."""
    unemitted: str = ""
    """Why what is committed could not be emitted yet; empty when it was."""


def run(batch: Batch, deps: AggregateDeps) -> Summary:
    """Apply what is new in the batch. Raises UnavailableError: nothing counts then, and the batch may come again.

    What fails behind the commit is no failure of the batch: its rows are applied, and the next invocation or the
    schedule emits what it closed. (If it raised, the batch would come again until it was given up, and would lie among
    the dead letters though nothing is missing.) As long as an outbox cannot be emitted the next batch fails, unapplied.
    """
    token = ShardToken.of(deps.topology.created_s(batch.arn), batch.shard_id)
    state, etag = _load(batch.arn, token, deps)
    emit_outbox(state, token, deps)
    fresh = [batch.record(i) for i in range(batch.first_after(state.mark), len(batch))]
    summary = Summary(records=len(batch))
    if not fresh:
        return summary
    now_s = int(deps.clock.now_s())
    taken = Taken(token)
    for record in fresh:
        take(record, taken, state, deps.domains, now_s)
    if taken.bad:
        span = Span(token, str(fresh[0].sequence), str(fresh[-1].sequence))
        table = quarantine.to_table(taken.bad)
        deps.blobs.put(
            keys.quarantine(STAGE, keys.UNKNOWN_DOMAIN, span), parquet.to_bytes(table, dictionary=["reason"])
        )
    made = windowed(taken, state, deps.domains, now_s)
    state.clear_outbox()
    state.add(made)
    summary.problems = close(state, deps, now_s)
    state.mark, state.updated_s = fresh[-1].sequence, now_s
    state.fences.expire(now_s - deps.fence_horizon_h * 3600)
    put(state, etag, token, deps)
    _summarise(summary, taken, made, state)
    try:
        emit_outbox(state, token, deps, fresh=True)
    except Exception as err:  # noqa: BLE001  # whatever it is, the rows are applied and the outbox is kept
        summary.unemitted = f"{type(err).__name__}: {err}"
    return summary


def _summarise(summary: Summary, taken: Taken, made: Windowed, state: AggregateState) -> None:
    summary.rows = sum(count["rows"] for count in made.counts.values())
    summary.late = sum(count["late"] for count in made.counts.values())
    summary.duplicate_rows, summary.quarantined = taken.duplicate_rows, len(taken.bad)
    summary.closed, summary.open, summary.entities = state.leaving.rows, state.open_rows, state.latest.num_rows
    summary.anomalies, summary.alerts = state.watched.found.num_rows, state.watched.raised.num_rows


def close(state: AggregateState, deps: AggregateDeps, now_s: int) -> list[str]:
    """Move what has ended to the outbox, and look through it; returns what was wrong with the settings."""
    state.close(watermarks(state, deps.domains))
    if not state.leaving.rows:
        return []
    lines, wrong = control_lines(deps.blobs, deps.memo, state.outbox, deps.domains, now_s)
    state.watched.look(state.outbox, deps.domains, lines, deps.alerting.policy(now_s, deps.domains))
    return wrong


def watermarks(state: AggregateState, domains: Mapping[str, Domain]) -> dict[tuple[str, str], int]:
    """Watermark of every (domain, tenant) that the shard has seen and that is enabled, microseconds."""
    found = {}
    for domain, tenant in {*state.highest_us, *state.forced_us}:
        if domain in domains and (until := state.watermark(domains[domain], tenant)) is not None:
            found[domain, tenant] = until
    return found


def put(state: AggregateState, etag: str | None, token: ShardToken, deps: AggregateDeps) -> str:
    """Put the checkpoint; returns its ETag. Raises ConflictError when somebody else committed first."""
    return deps.blobs.put_if(keys.checkpoint(STAGE, token), state.to_checkpoint().to_bytes(), etag=etag)


def commit(state: AggregateState, etag: str | None, token: ShardToken, deps: AggregateDeps) -> str:
    """Put the checkpoint, then emit what it closed. Raises ConflictError when somebody else committed first."""
    etag = put(state, etag, token, deps)
    emit_outbox(state, token, deps, fresh=True)
    return etag


def emit_outbox(state: AggregateState, token: ShardToken, deps: AggregateDeps, *, fresh: bool = False) -> int:
    """Emit what the committed outbox holds, unless it is known, or seen, to be emitted; returns how many windows."""
    if deps.emitted.knows(token, state.generation):  # before the outbox is decoded
        return 0
    return emit(
        state.outbox,
        token,
        state.generation,
        latest=state.latest,
        watched=state.watched,
        blobs=deps.blobs,
        serving=deps.serving,
        sink=deps.alerting.sink,
        done=deps.emitted,
        fresh=fresh,
        expiry=Expiry(deps.keep, state.updated_s),
    )


def _load(arn: str, token: ShardToken, deps: AggregateDeps) -> tuple[AggregateState, str | None]:
    found = lineage.load(deps.blobs, STAGE, token)
    if found is not None and not lineage.is_blank(found[0]):
        return AggregateState.from_checkpoint(found[0]), found[1]
    state, blank = AggregateState(), AggregateState().to_checkpoint()
    for parent, body in lineage.taken_over(deps.blobs, deps.topology, STAGE, arn, token, blank):
        state.inherit(parent, AggregateState.from_checkpoint(Checkpoint.from_bytes(body)))
    return state, found[1] if found else None
