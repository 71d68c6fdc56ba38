"""History judged anew: the same findings where nothing has changed, and what a change would make of them (D22, D35)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from levada.aggregate import stage
from levada.archive import idle
from levada.clean import stage as clean
from levada.clean.handler import stage_deps as clean_deps
from levada.core import keys, limits
from levada.core.limits import CONTROL, Limit
from levada.domains.declaration import Domain, Watch
from levadactl import rejudging
from levadactl.loading import Lake
from levadactl.memory import MemoryDeps
from levadactl.rejudging import ANEW, CHANGED, SAME, TOLD, Range, Verdict
from tests.builders import START, batch, clean_batch, pack, source_row
from tests.unit.aggregate import test_watching
from tests.unit.aggregate.test_watching import USUAL, WATCH, memory_deps, published

NOW_S = START.timestamp() + 90 * 86_400
VALUES = [*USUAL, "40", *USUAL * 4, "39", "1,5"]
"""Two days of hours with one that stands out in each."""


def declared(*watch: Watch) -> Domain:
    (domain,) = test_watching.deps(MemoryDeps(), *watch).domains.values()
    return domain


def applied(values: Sequence[str], cuts: Sequence[int] = (), *watch: Watch) -> MemoryDeps:
    """Aggregate has had these hours, in batches that end at the cuts, and the schedule has closed all windows."""
    memory, entries = memory_deps(), published(values)
    memory.clock.time_s = NOW_S
    deps, ends = test_watching.deps(memory, *watch), sorted({*cuts, len(entries)} - {0})
    for first, end in zip([0, *ends], ends, strict=False):
        stage.run(clean_batch(entries[first:end], first=first + 1), deps)
    idle.close_idle(deps, idle_after_s=0)
    return memory


def judged(memory: MemoryDeps, domain: Domain | None = None, wanted: Range = Range(), **options: Any) -> Verdict:  # noqa: B008 - frozen
    lake, domain = Lake(memory.blobs, memory.serving), domain or declared()
    return rejudging.judge(lake, domain, wanted, rejudging.gold_of(lake, domain, wanted), now_s=NOW_S, **options)


def counts(verdict: Verdict) -> dict[str, int]:
    return {kind: n for kind, n in verdict.counts().items() if n}


HOURS = st.lists(st.integers(0, 80).map(lambda n: f"{n // 10},{n % 10}"), min_size=1, max_size=60)


@settings(max_examples=15)
@given(HOURS, st.lists(st.integers(1, 59), max_size=4), st.sampled_from([0, 8]))
def test_rows_on_time_are_judged_as_they_were(values: list[str], cuts: list[int], estimate: int) -> None:
    watch = Watch(zscore=2, warmup=4, rules=(1, 2, 3, 4), estimate=estimate)
    memory = applied(values, [cut for cut in cuts if cut < len(values)], watch)
    before = dict(memory.blobs.objects), dict(memory.serving.items)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rejudging, "SAYS", rejudging.JUDGED_BY)
        verdict = judged(memory, declared(watch))

    assert set(counts(verdict)) <= {SAME}
    assert verdict.differing == []
    assert sum(verdict.counts().values()) == len(test_watching.items(memory, "anomalies"))
    assert (dict(memory.blobs.objects), dict(memory.serving.items)) == before, "it has written"


def test_a_higher_threshold_finds_less_and_a_lower_one_more() -> None:
    memory = applied(VALUES)
    assert counts(judged(memory)) == {SAME: 2}

    none = judged(memory, declared(replace(WATCH, zscore=10_000)))
    more = judged(memory, declared(replace(WATCH, zscore=1)))

    assert counts(none) == {TOLD: 2}
    assert [(one["is"], one["metric"], one["value"]) for one in none.differing] == [(TOLD, "co", 40), (TOLD, "co", 39)]
    assert more.counts()[SAME] == 2
    assert more.counts()[ANEW] > 0
    assert {one["is"] for one in more.differing} == {ANEW}


def test_limits_that_were_set_since_are_judged_by() -> None:
    memory = applied(VALUES)
    register = limits.load(memory.blobs, "air_quality", "default")
    next_day_us = int(START.timestamp() + 86_400) * 1_000_000
    register.add(Limit(kind=CONTROL, metric="co", lower=0.0, upper=3.0, from_us=next_day_us))
    limits.store(memory.blobs, "air_quality", "default", register)

    verdict = judged(memory)

    assert counts(verdict) == {SAME: 2, ANEW: 1}
    assert [(one["rule"], one["time"][:10], one["upper"]) for one in verdict.differing] == [("we1", "2004-03-12", 3.0)]


def test_limits_that_cannot_be_read_are_told() -> None:
    memory = applied(VALUES)
    memory.blobs.put(keys.limits("air_quality", "default"), b"{")

    verdict = judged(memory)

    assert counts(verdict) == {SAME: 2}
    assert ["limits of air_quality/default" in problem for problem in verdict.problems] == [True]


def test_a_late_row_that_changes_a_window_changes_what_is_found_of_it() -> None:
    memory = applied(VALUES)
    deps = test_watching.deps(memory)
    other = MemoryDeps()  # the same hour as the 40, in another record
    clean.run(batch([pack([source_row(6, **{"CO(GT)": "1,5"})], n=900)], first=900), clean_deps(other))
    stage.run(clean_batch(other.clean.entries, first=900), deps)
    idle.close_idle(deps, idle_after_s=0)

    verdict = judged(memory)

    assert verdict.counts()[CHANGED] == 1
    (one,) = (one for one in verdict.differing if one["is"] == CHANGED)
    assert (one["told"]["value"], one["value"]) == (40.0, 20.75)


def test_a_range_is_compared_and_all_before_it_is_gone_through() -> None:
    memory = applied(VALUES)
    day_us = int(START.timestamp()) // 86_400 * 86_400_000_000 + 86_400_000_000

    first, second = judged(memory, wanted=Range(until_us=day_us)), judged(memory, wanted=Range(since_us=day_us))
    other = judged(memory, wanted=Range(equal={"metric": "nox"}))

    assert (counts(first), counts(second), counts(other)) == ({}, {SAME: 2}, {})
    assert first.windows < second.windows
    assert list(second.days) == ["2004-03-11", "2004-03-12"]


def test_no_more_findings_are_kept_than_wanted_and_all_are_counted() -> None:
    verdict = judged(applied(VALUES), declared(replace(WATCH, zscore=1)), most=1)

    assert len(verdict.differing) == 1
    assert verdict.counts()[ANEW] > 1
