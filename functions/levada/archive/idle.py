"""Idle windows: a shard that has nothing more to say closes what it still holds open.

Windows close when later rows move the watermark; a source that falls silent (a sensor that is off, a file that has
come to its end) would keep its last ones open for ever. The schedule moves the watermark of such a shard.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from levada.aggregate import layers, stage
from levada.aggregate.stage import AggregateDeps
from levada.aggregate.state import STAGE, AggregateState
from levada.core import keys, lineage
from levada.core.checkpoint import Checkpoint
from levada.core.errors import ConflictError, LevadaError
from levada.core.positions import ShardToken
from levada.domains.declaration import Domain


@dataclass(slots=True)
class Idle:
    """What one run did."""

    shards: int = 0
    """Shards that have a checkpoint."""
    closed: int = 0
    """Partials that this run closed."""
    emitted: int = 0
    """Partials that this run wrote to the serving table and gold: what it closed, and what a crash had left."""
    skipped: int = 0
    """Shards with something open that are not idle: rows came lately, or another invocation committed first."""
    failures: list[str] = field(default_factory=list)
    """One line for each shard that could not be looked after; the others were."""
    problems: list[str] = field(default_factory=list)
    """Settings that could not be read; nothing waits for them."""

    def counts(self) -> dict[str, int]:
        return {"shards": self.shards, "closed": self.closed, "emitted": self.emitted, "skipped": self.skipped}


def close_idle(deps: AggregateDeps, *, idle_after_s: int) -> Idle:
    """Close the windows of every shard that no rows came for in idle_after_s seconds.

    Raises UnavailableError only when the shards cannot be listed; what fails for one shard is in ``failures``.
    """
    done = Idle()
    for token in lineage.tokens(deps.blobs, STAGE):
        done.shards += 1
        try:
            _shard(token, deps, idle_after_s, done)
        except ConflictError:
            done.skipped += 1
        except LevadaError as err:
            done.failures.append(f"shard {token}: {err}")
    return done


def _shard(token: ShardToken, deps: AggregateDeps, idle_after_s: int, done: Idle) -> None:
    try:
        body, etag = deps.blobs.get(keys.checkpoint(STAGE, token))
    except KeyError:  # removed since it was listed
        return
    header = Checkpoint.peek(body)
    if not header["open"] and not header["outbox"] and not header.get("latest"):
        return
    now_s = int(deps.clock.now_s())
    if now_s - int(header["updated_s"]) < idle_after_s:
        done.skipped += 1
        return
    state = AggregateState.from_checkpoint(Checkpoint.from_bytes(body))
    left_over = state.leaving.rows + state.latest.num_rows
    done.emitted += stage.emit_outbox(state, token, deps)
    state.clear_outbox()
    force(state, deps.domains, now_s)
    done.problems += stage.close(state, deps, now_s)
    closed = state.leaving.rows
    if not closed and not left_over:
        return
    etag = stage.commit(state, etag, token, deps)
    done.closed += closed
    done.emitted += closed
    if closed:
        _clear(state, etag, token, deps)


def _clear(state: AggregateState, etag: str, token: ShardToken, deps: AggregateDeps) -> None:
    """Commit that the outbox is emitted, so that the next run has nothing to do."""
    state.clear_outbox()
    try:
        stage.commit(state, etag, token, deps)
    except ConflictError:  # rows have come meanwhile: their commit replaces the outbox
        return


def force(state: AggregateState, domains: Mapping[str, Domain], now_s: int) -> None:
    """Push each stream's watermark to now less its lateness, but never beyond the end of its last open window.

    So a live sensor's window closes at its end plus the lateness, a replay of old data closes entirely, and when the
    replay goes on its rows are not late.
    """
    for stream, end_us in layers.last_ends(state.layers).items():
        if (domain := domains.get(stream[0])) is not None:
            until = min((now_s - domain.lateness_s) * 1_000_000, end_us)
            state.forced_us[stream] = max(until, state.forced_us.get(stream, until))
