"""Idle windows: what nobody continues closes, what somebody may continue is not made late (D13)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from levada.aggregate import stage
from levada.aggregate.emit import Emitted
from levada.aggregate.stage import AggregateDeps
from levada.aggregate.state import AggregateState
from levada.archive.idle import Idle, close_idle
from levada.clean import stage as clean
from levada.clean.handler import stage_deps as clean_deps
from levada.core import lineage, parquet
from levada.core.checkpoint import Checkpoint
from levada.core.errors import ConflictError
from levada.core.positions import ShardToken
from levada.domains.declaration import Domain
from levada.domains.registry import enabled
from levada.ports import Entry
from levadactl.memory import MemoryBlobStore, MemoryDeps
from tests.builders import CLEAN_ARN, START, batch, pack, source_row

METRICS = 13
LATENESS_S = 3600
START_S = int(START.timestamp())


def deps(memory: MemoryDeps, domains: dict[str, Domain] | None = None) -> AggregateDeps:
    return AggregateDeps(
        blobs=memory.blobs,
        serving=memory.serving,
        topology=memory.topology,
        clock=memory.clock,
        domains=enabled("*") if domains is None else domains,
        fence_horizon_h=48,
        emitted=Emitted(),
    )


def published(hours: Iterable[int], *, n: int = 0, tenant: str = "default") -> list[Entry]:
    """What clean publishes for these hours of a station."""
    memory = MemoryDeps()
    rows = [source_row(h) for h in hours]
    clean.run(batch([pack(rows, n=n, tenant=tenant)], first=n + 1), clean_deps(memory))
    return memory.clean.entries


def aggregate(memory: MemoryDeps, entries: Iterable[Entry], *, first: int = 1, shard: int = 0) -> None:
    stage.run(batch([e.data for e in entries], first=first, shard=shard, arn=CLEAN_ARN), deps(memory))


def run(memory: MemoryDeps, idle_after_s: int = 60, **options: Any) -> Idle:
    return close_idle(deps(memory, **options), idle_after_s=idle_after_s)


def state(memory: MemoryDeps, shard: int = 0) -> AggregateState:
    body = memory.blobs.objects[f"checkpoints/aggregate/{ShardToken(memory.topology.created, shard)}"]
    return AggregateState.from_checkpoint(Checkpoint.from_bytes(body))


def gold(memory: MemoryDeps) -> list[dict[str, Any]]:
    return [r for b in memory.blobs.list("gold/") for r in parquet.from_bytes(memory.blobs.objects[b.key]).to_pylist()]


def hours(memory: MemoryDeps) -> list[int]:
    return sorted({round(r["window_start"].timestamp() - START_S) // 3600 for r in gold(memory)})


def test_a_replay_of_old_data_closes_entirely() -> None:
    memory = MemoryDeps()
    aggregate(memory, published([0, 1, 2, 3]))
    assert hours(memory) == [0, 1]
    memory.clock.time_s += 60

    done = run(memory)

    assert done.counts() == {"shards": 1, "closed": 2 * METRICS, "emitted": 2 * METRICS, "skipped": 0}
    assert hours(memory) == [0, 1, 2, 3]
    assert len(gold(memory)) == 4 * METRICS
    assert state(memory).open.num_rows == 0


def test_a_second_run_has_nothing_to_do_and_writes_nothing() -> None:
    memory = MemoryDeps()
    aggregate(memory, published([0, 1]))
    run(memory, idle_after_s=0)
    memory.blobs.puts = 0

    done = run(memory, idle_after_s=0)

    assert done.counts() == {"shards": 1, "closed": 0, "emitted": 0, "skipped": 0}
    assert memory.blobs.puts == 0


def test_a_shard_that_rows_came_for_lately_is_left_alone() -> None:
    memory = MemoryDeps()
    aggregate(memory, published([0, 1]))
    before = dict(memory.blobs.objects)
    memory.clock.time_s += 59

    assert run(memory, idle_after_s=60).skipped == 1
    assert memory.blobs.objects == before


def test_a_live_window_closes_when_its_end_and_the_lateness_have_passed() -> None:
    memory = MemoryDeps()
    end_s = START_S + 3600
    memory.clock.time_s = START_S + 120.0
    aggregate(memory, published([0]))
    memory.clock.time_s = end_s + LATENESS_S - 1.0
    memory.blobs.puts = 0

    assert run(memory).closed == 0
    assert memory.blobs.puts == 0  # a sensor that speaks once an hour costs no write a minute
    memory.clock.time_s += 1
    assert run(memory).closed == METRICS


def test_a_replay_that_goes_on_later_is_not_late() -> None:
    memory = MemoryDeps()
    aggregate(memory, published([0, 1]))
    run(memory, idle_after_s=0)

    aggregate(memory, published([2, 3], n=1), first=100)
    run(memory, idle_after_s=0)

    assert hours(memory) == [0, 1, 2, 3]
    assert sum(r["late"] for r in gold(memory)) == 0


def test_rows_of_a_window_that_was_closed_open_a_revision() -> None:
    memory = MemoryDeps()
    aggregate(memory, published([0, 1]))
    run(memory, idle_after_s=0)

    aggregate(memory, published([1], n=1), first=100)
    run(memory, idle_after_s=0)

    last = [r for r in gold(memory) if r["metric"] == "co" and r["window_start"].hour == START.hour + 1]
    assert [(r["count"], r["late"]) for r in last] == [(1, 0), (1, 1)]


def test_each_tenant_s_windows_close_at_their_own_time() -> None:
    memory = MemoryDeps()
    memory.clock.time_s = START_S + 3600.0 + LATENESS_S
    aggregate(memory, [*published([0], tenant="early"), *published([1], tenant="late", n=1)])

    run(memory, idle_after_s=0)

    assert {r["tenant"] for r in gold(memory)} == {"early"}


def test_an_outbox_that_a_crash_left_is_emitted_and_cleared() -> None:
    memory = MemoryDeps()
    memory.serving.down = True
    aggregate(memory, published([0, 1, 2, 3]))
    memory.serving.down = False
    assert not gold(memory)

    done = run(memory, idle_after_s=0, domains={})

    assert done.counts() == {"shards": 1, "closed": 0, "emitted": 2 * METRICS, "skipped": 0}
    assert hours(memory) == [0, 1]
    assert state(memory).outbox.num_rows == 0
    assert state(memory).open.num_rows == 2 * METRICS  # of a domain that is not enabled: its lateness is not known


def test_an_emission_that_fails_is_repeated_by_the_next_run() -> None:
    memory = MemoryDeps()
    aggregate(memory, published([0]))
    memory.serving.down = True

    failed = run(memory, idle_after_s=0)

    assert ["memory table is down" in line for line in failed.failures] == [True]
    memory.serving.down = False
    assert run(memory, idle_after_s=0).emitted == METRICS
    assert hours(memory) == [0]


class ContestedBlobs(MemoryBlobStore):
    """Somebody else commits just before the first conditional put of one shard."""

    def __init__(self, contested: str) -> None:
        super().__init__()
        self.contested = contested
        self.conflicts = 0

    def put_if(self, key: str, body: bytes, *, etag: str | None) -> str:
        if self.conflicts and key.endswith(self.contested):
            self.conflicts -= 1
            raise ConflictError(f"put {key}")
        return super().put_if(key, body, etag=etag)


def test_a_shard_that_somebody_else_commits_is_not_idle() -> None:
    blobs = ContestedBlobs("-000000000000")
    memory = MemoryDeps(blobs=blobs)
    aggregate(memory, published([0]))
    aggregate(memory, published([1], n=1), shard=1)
    blobs.conflicts = 1

    done = run(memory, idle_after_s=0)

    assert (done.shards, done.skipped, done.closed, done.failures) == (2, 1, METRICS, [])
    assert hours(memory) == [1]


def test_one_shard_s_failure_does_not_keep_the_others_open() -> None:
    memory = MemoryDeps()
    aggregate(memory, published([0]))
    aggregate(memory, published([1], n=1), shard=1)
    first = min(lineage.tokens(memory.blobs, "aggregate"))
    memory.blobs.objects[f"checkpoints/aggregate/{first}"] = b"not a checkpoint"

    done = run(memory, idle_after_s=0)

    assert hours(memory) == [1]
    assert [line.startswith(f"shard {first}: not a checkpoint") for line in done.failures] == [True]
