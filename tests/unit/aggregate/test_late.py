"""Who is late, by how much, and that one clock cannot make everybody so (issue 4, figure 2)."""

from __future__ import annotations

from typing import Any

import pytest

from levada.aggregate import late, stage
from levada.archive.idle import close_idle
from levadactl.memory import MemoryDeps
from tests.builders import clean_batch
from tests.unit.aggregate.events import ORDERS, entry, events
from tests.unit.aggregate.test_stage import _deps, _state

T0 = 1_767_225_600


def deps(memory: MemoryDeps) -> stage.AggregateDeps:
    made = _deps(memory)
    object.__setattr__(made, "domains", {"orders": ORDERS})
    return made


def run(memory: MemoryDeps, times_s: list[int], *, first: int) -> stage.Summary:
    memory.clock.time_s = max(memory.clock.time_s, *times_s)
    rows = [{"time_s": t, "n": first * 100 + i} for i, t in enumerate(times_s)]
    return stage.run(clean_batch([entry(events(rows))], first=first), deps(memory))


def noted(memory: MemoryDeps) -> dict[str, Any]:
    (row,) = [r for r in _state(memory).late.to_pylist() if r["metric"] == "events"]
    return dict(row)


def test_rows_beyond_the_lateness_are_counted_with_their_delay_and_still_merged() -> None:
    memory = MemoryDeps()
    run(memory, [T0, T0 + 600], first=1)
    assert _state(memory).late.num_rows == 0

    memory.clock.time_s = T0 + 700
    summary = run(memory, [T0 + 10, T0 + 599, T0 + 20], first=2)
    memory.clock.time_s = T0 + 900
    run(memory, [T0 + 30], first=3)

    found = noted(memory)
    assert summary.late == 2 * 2, "two rows, in the windows of two rollups"
    assert (found["within"], found["beyond"], found["largest_us"]) == (0, 3, 590_000_000)
    assert (found["since_s"], found["last_s"], found["last_time"].timestamp()) == (T0 + 700, T0 + 900, T0 + 30)
    assert _state(memory).counters["orders"]["late"] == 6


def test_rows_within_the_lateness_of_an_idle_shard_open_a_revision_and_are_told_apart() -> None:
    memory = MemoryDeps()
    memory.clock.time_s = T0 + 30
    run(memory, [T0 + 1, T0 + 2], first=1)
    memory.clock.time_s = T0 + 120  # the window's end and the lateness: idle, so it closes
    assert close_idle(deps(memory), idle_after_s=60).closed == 2

    run(memory, [T0 + 3, T0 + 61], first=2)

    found = noted(memory)
    assert (found["within"], found["beyond"]) == (1, 0)
    assert found["largest_us"] == 0, "it is not even behind the highest time seen"


def test_of_too_many_series_the_latest_are_kept() -> None:
    memory = MemoryDeps()
    memory.clock.time_s = T0 + 600
    rows = [{"time_s": T0 + 600, "n": 1, "event_type": "x"}]
    stage.run(clean_batch([entry(events(rows))]), deps(memory))
    rows = [{"time_s": T0, "n": 10 + i, "event_type": f"k{i % 300:03d}"} for i in range(301)]

    stage.run(clean_batch([entry(events(rows))], first=2), deps(memory))

    found = _state(memory).late.to_pylist()
    assert len(found) == late.MAX_SERIES
    assert (found[0]["series"], found[0]["beyond"]) == ("k000", 2)
    assert _state(memory).counters["orders"]["late"] == 301


@pytest.mark.parametrize("start_s", [T0, 1_079_000_000])
def test_a_replay_of_old_data_closes_its_windows_and_nothing_of_it_is_late(start_s: int) -> None:
    memory = MemoryDeps()

    late_rows = [run(memory, [start_s + 60 * i for i in range(j, j + 10)], first=1 + j).late for j in range(0, 50, 10)]
    memory.clock.time_s = T0 + 7200
    done = close_idle(deps(memory), idle_after_s=60)

    assert late_rows == [0] * 5
    assert done.closed > 0
    assert _state(memory).open.num_rows == 0
