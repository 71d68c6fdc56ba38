"""Open windows on read: what a shard has applied is seen exactly once, wherever its windows stand (D13, D19)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from levada.aggregate import stage
from levada.aggregate.handler import stage_deps
from levada.archive import idle
from levada.core.partials import PARTIAL
from levada.ports import Entry
from levada.query import open_windows, windows
from levada.query.windows import Selection
from levadactl.memory import MemoryBlobStore, MemoryDeps
from tests.builders import START, clean_batch
from tests.unit.aggregate.test_watching import published

ALL = Selection(domain="air_quality", tenant="default", metric="co")
START_US = int(START.timestamp()) * 1_000_000
HOUR_US = 3_600_000_000


def rows(memory: MemoryDeps, selection: Selection = ALL) -> list[dict[str, Any]]:
    """Windows with the open ones, and whether they are."""
    read = open_windows.shards(memory.blobs, memory.memo)
    page = windows.page(open_windows.WithOpen(memory.serving, read), selection, 1_000)
    marks = open_windows.provisional(page.rows, read)
    return [row | {"provisional": mark} for row, mark in zip(page.rows.to_pylist(), marks, strict=True)]


def shown(memory: MemoryDeps, selection: Selection = ALL) -> list[tuple[int, int, bool]]:
    """(hour since the start, count, provisional)."""
    return [
        ((int(r["window_start"].timestamp()) * 1_000_000 - START_US) // HOUR_US, r["count"], r["provisional"])
        for r in rows(memory, selection)
    ]


def apply(memory: MemoryDeps, entries: Sequence[Entry], first: int = 1) -> stage.Summary:
    return stage.run(clean_batch(entries, first=first), stage_deps(memory))


def test_open_windows_stand_beside_the_closed_ones_and_say_so() -> None:
    memory = MemoryDeps()
    apply(memory, published(["1,5"] * 4))

    assert shown(memory) == [(0, 1, False), (1, 1, False), (2, 1, True), (3, 1, True)]


def test_a_series_is_listed_from_its_first_row_on() -> None:
    memory = MemoryDeps()
    apply(memory, published(["1,5"]))

    assert not memory.serving.items
    assert shown(memory) == [(0, 1, True)]


def test_what_is_closed_and_not_emitted_yet_counts_once_and_is_not_provisional() -> None:
    memory, entries = MemoryDeps(), published(["1,5"] * 5)
    memory.serving.down = True
    assert apply(memory, entries[:4]).unemitted
    memory.serving.down = False

    assert shown(memory) == [(0, 1, False), (1, 1, False), (2, 1, True), (3, 1, True)]
    memory.memo.clear()
    apply(memory, entries[4:], first=5)
    assert shown(memory) == [(0, 1, False), (1, 1, False), (2, 1, False), (3, 1, True), (4, 1, True)]


def test_a_late_row_is_seen_at_once_in_the_window_that_has_closed() -> None:
    memory = MemoryDeps()
    apply(memory, published(["1,5"] * 4))
    apply(memory, published(["1,5"], first_hour=0), first=5)  # the same row: it is applied already
    assert shown(memory)[0] == (0, 1, False)


def test_a_wide_window_is_provisional_while_a_part_of_it_is_open() -> None:
    memory = MemoryDeps()
    apply(memory, published(["1,5"] * 6))
    wide = Selection(domain="air_quality", tenant="default", metric="co", width_s=7200)

    assert shown(memory, wide) == [(0, 2, False), (2, 2, False), (4, 2, True)]


def test_everything_is_closed_once_the_schedule_has_closed_it() -> None:
    memory = MemoryDeps()
    apply(memory, published(["1,5"] * 4))
    memory.clock.time_s += 86_400
    idle.close_idle(stage_deps(memory), idle_after_s=0)

    assert shown(memory) == [(hour, 1, False) for hour in range(4)]


class Between:
    """The serving table, where something happens between the reading of the checkpoints and that of the items."""

    def __init__(self, memory: MemoryDeps, happens: Any) -> None:
        self._memory, self._happens = memory, happens

    def query(self, pk: str, **asked: Any) -> Iterator[dict[str, Any]]:
        if pk.startswith(("windows#", "hours#")) and self._happens:
            happens, self._happens = self._happens, None
            happens()
        return self._memory.serving.query(pk, **asked)


@given(st.integers(1, 8), st.integers(1, 8), st.booleans(), st.booleans())
def test_windows_that_move_while_they_are_read_count_once(before: int, more: int, stuck: bool, ticks: bool) -> None:
    memory, entries = MemoryDeps(), published(["1,5"] * (before + more))
    memory.serving.down = stuck
    apply(memory, entries[:before])
    memory.serving.down = False

    def happens() -> None:
        apply(memory, entries[before:], first=before + 1)
        if ticks:
            memory.clock.time_s += 86_400
            idle.close_idle(stage_deps(memory), idle_after_s=0)

    read = open_windows.shards(memory.blobs, memory.memo)
    page = windows.page(open_windows.WithOpen(Between(memory, happens), read), ALL, 1_000)

    assert page.rows["count"].to_pylist() == [1] * before  # as of the reading of the checkpoints
    assert [count for _, count, _ in shown(memory)] == [1] * (before + more)


class Counting(MemoryBlobStore):
    def __init__(self) -> None:
        super().__init__()
        self.gets = 0

    def get(self, key: str) -> tuple[bytes, str]:
        self.gets += 1
        return super().get(key)


def test_a_checkpoint_that_has_not_changed_is_read_once() -> None:
    blobs = Counting()
    memory = MemoryDeps(blobs=blobs)
    entries = published(["1,5"] * 3)
    apply(memory, entries[:2])
    begun = blobs.gets
    shown(memory)
    shown(memory)
    assert blobs.gets == begun + 1
    apply(memory, entries[2:], first=3)
    begun = blobs.gets
    assert len(shown(memory)) == 3
    assert blobs.gets == begun + 1


def test_no_shard_at_all_is_the_serving_table_as_it_is() -> None:
    memory = MemoryDeps()

    assert shown(memory) == []


@pytest.mark.parametrize("n", [0, 1, 3])
def test_pages_of_open_windows_follow_each_other(n: int) -> None:
    memory = MemoryDeps()
    apply(memory, published(["1,5"] * n) if n else [])
    read = open_windows.shards(memory.blobs, memory.memo)
    store = open_windows.WithOpen(memory.serving, read)
    whole = windows.page(store, Selection(domain="air_quality", tenant="default"), 1_000).rows
    first = windows.page(store, Selection(domain="air_quality", tenant="default"), 10)

    assert first.rows.equals(whole.slice(0, 10))
    assert whole.num_rows == 13 * n


def test_an_index_finds_the_partials_of_each_series() -> None:
    assert open_windows.BySeries(PARTIAL.empty_table()).of("windows#").num_rows == 0
    assert isinstance(open_windows.BySeries(pa.Table.from_batches([], PARTIAL)).names, dict)
