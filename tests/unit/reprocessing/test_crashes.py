"""A run that is cut short at any write, and run again: nobody reads a mixture, and the end is the same."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pytest

from levada.core import editions, keys, lake
from levada.domains.air_quality import AIR_QUALITY
from levada.query.windows import served_windows
from levadactl.loading import Lake
from levadactl.memory import MemoryBlobStore, MemoryDeps, MemoryServingStore
from levadactl.reprocessing.run import reprocess
from tests.unit.reprocessing.world import (
    EVERYTHING,
    anew,
    load,
    must_be_exact,
    must_be_rolled_up,
    ports,
    quietly,
    shown_gold,
    with_co_up_to,
)

NAME = AIR_QUALITY.name
ROWS = 8
"""Of two days."""
OTHER = with_co_up_to(0.0)


class CutShort(Exception):  # noqa: N818  # the process is gone: nothing handles it
    pass


class Countdown:
    """How many writes are left until the process ends, and whether the last one takes effect."""

    def __init__(self, calls: int, *, after: bool) -> None:
        self.left, self.after = calls, after

    def before(self) -> None:
        self.left -= 1
        if self.left == 0 and not self.after:
            raise CutShort

    def behind(self) -> None:
        if self.left == 0 and self.after:
            raise CutShort


class Blobs(MemoryBlobStore):
    def __init__(self, real: MemoryBlobStore, countdown: Countdown) -> None:
        super().__init__()
        self.objects, self.modified_s, self.now_s = real.objects, real.modified_s, real.now_s
        self.countdown = countdown

    def put(self, key: str, body: bytes) -> None:
        self.countdown.before()
        super().put(key, body)
        self.countdown.behind()

    def delete(self, keys: Iterable[str]) -> None:
        for key in list(keys):  # some may be gone and others not
            self.countdown.before()
            super().delete([key])
            self.countdown.behind()


class Serving(MemoryServingStore):
    def __init__(self, real: MemoryServingStore, countdown: Countdown) -> None:
        super().__init__()
        self.items, self.now_s = real.items, real.now_s
        self.countdown = countdown

    def put(self, items: Sequence[Mapping[str, Any]]) -> None:
        half = len(items) // 2  # some may be written and others not
        super().put(items[:half])
        self.countdown.before()
        super().put(items[half:])
        self.countdown.behind()


def windows(deps: MemoryDeps) -> dict[tuple[Any, ...], tuple[Any, ...]]:
    """What gold gives to its readers."""
    rows = shown_gold(deps.blobs, AIR_QUALITY).select(["metric", "window_start", "count", "missing", "sum"]).to_pylist()
    return {(r["metric"], r["window_start"]): (r["count"], r["missing"], r["sum"]) for r in rows}


def silver(deps: MemoryDeps) -> set[tuple[Any, ...]]:
    found = set()
    for _, date, _ in lake.partitions(deps.blobs.list(f"silver/domain={NAME}/")):
        rows = lake.read_partition(deps.blobs, NAME, date, ["time", "metric", "value"]).to_pylist()
        found |= {(row["time"], row["metric"], row["value"]) for row in rows}
    return found


def served(deps: MemoryDeps) -> list[dict[str, Any]]:
    names = ["metric", "window_start", "count", "missing", "min", "max", "revisions"]
    found: list[dict[str, Any]] = served_windows(deps.serving, NAME, "default").select(names).to_pylist()
    return found


def must_be_one_or_the_other(deps: MemoryDeps, before: Mapping[Any, Any], after: Mapping[Any, Any]) -> None:
    """Day by day: a day is as it was, or as it will be."""
    now = windows(deps)
    for day in {start.date() for _, start in now}:
        mine = {key: value for key, value in now.items() if key[1].date() == day}
        sides = [{key: value for key, value in side.items() if key[1].date() == day} for side in (before, after)]
        assert mine in sides, day


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_cut_short_at_any_write_and_run_again(memory: MemoryDeps, after: bool) -> None:
    load(memory, ROWS)
    objects, items, modified = dict(memory.blobs.objects), dict(memory.serving.items), dict(memory.blobs.modified_s)
    was = windows(memory)
    anew(memory, OTHER)
    must_be_exact(Lake(memory.blobs, memory.serving), OTHER)
    will, rows, shown = windows(memory), silver(memory), served(memory)
    calls = 0
    while True:
        calls += 1
        memory.blobs.objects, memory.serving.items = dict(objects), dict(items)
        memory.blobs.modified_s = dict(modified)
        countdown = Countdown(calls, after=after)
        cut = ports(memory, OTHER, blobs=Blobs(memory.blobs, countdown), serving=Serving(memory.serving, countdown))
        try:
            reprocess(cut, EVERYTHING, quietly, apply=True)
        except CutShort:
            must_be_one_or_the_other(memory, was, will)
        else:
            break

        anew(memory, OTHER)

        assert windows(memory) == will
        assert silver(memory) == rows
        assert served(memory) == shown
        must_be_rolled_up(memory.blobs, OTHER)
        must_be_tidy(memory)
    assert calls > 20


def must_be_tidy(deps: MemoryDeps) -> None:
    """No object is left that nobody reads, but for the marks of last emissions."""
    for layer in editions.LAYERS:
        for _, date, listed in lake.partitions(deps.blobs.list(f"{layer}/domain={NAME}/")):
            edition, _ = editions.load(deps.blobs, NAME, date)
            left = [blob.key for blob in listed if editions.is_made_anew(blob.key) and blob.key not in edition.objects]
            assert left == []


def test_a_day_that_was_committed_and_not_served_is_finished_by_the_next_run(memory: MemoryDeps) -> None:
    found = load(memory, ROWS)
    countdown = Countdown(10**9, after=False)
    cut = ports(memory, OTHER, blobs=Blobs(memory.blobs, countdown), serving=Serving(memory.serving, countdown))

    class Stop(Serving):
        def put(self, items: Sequence[Mapping[str, Any]]) -> None:
            raise CutShort

    with pytest.raises(CutShort):
        reprocess(
            ports(memory, OTHER, blobs=cut.blobs, serving=Stop(memory.serving, countdown)),
            EVERYTHING,
            quietly,
            apply=True,
        )
    (date,) = [d for d in editions.dates(memory.blobs, NAME) if not editions.load(memory.blobs, NAME, d)[0].finished]
    assert keys.edition(NAME, date) in memory.blobs.objects

    report = anew(memory, OTHER)

    assert report.finished == [date]
    assert date not in report.applied
    must_be_exact(found, OTHER)
