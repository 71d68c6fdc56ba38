"""The harness: who runs when, what is made of the times, and that its inputs are what they say."""

from __future__ import annotations

import io
from collections.abc import Iterator

import pytest

from bench import data, harness, stage_costs, subjects
from bench.harness import Subject, Target
from levada.core import kinesis_event, packs


def _ticks() -> Iterator[int]:
    now = 0
    while True:
        yield now
        now += 5_000_000


def test_subjects_take_turns_and_are_warmed_up_before_the_first_counts() -> None:
    ran: list[str] = []
    pair = [Subject(name, name, 1, lambda name=name: ran.append(name)) for name in "ab"]  # type: ignore[misc]
    clock = _ticks()

    times = harness.interleave(pair, 3, clock=lambda: next(clock))

    assert ran == ["a"] * harness.WARM_UPS + ["b"] * harness.WARM_UPS + ["a", "b"] * 3
    assert times == {"a": [0.005] * 3, "b": [0.005] * 3}


def test_a_ratio_is_per_event_and_taken_within_each_round() -> None:
    slow, fast = [4.0, 40.0, 4.0], [1.0, 10.0, 2.0]  # the machine was ten times as slow in the second round

    assert harness.ratio(slow, 100, fast, 200) == 8.0


def test_the_summary_holds_medians_per_event_and_compares_with_the_first() -> None:
    chosen = [Subject("a", "A", 1000, list), Subject("b", "B", 2000, list)]

    a, b = harness.summarise(chosen, {"a": [0.003, 0.001, 0.002], "b": [0.002, 0.002, 0.002]})

    assert (a.median_us, a.fastest_us, a.times) == (2.0, 1.0, 1.0)
    assert (b.median_us, b.events_per_s, b.times, b.spread) == (1.0, 1_000_000.0, 2.0, 0.0)


@pytest.mark.parametrize(("b", "reached"), [(0.9, True), (1.1, False)])
def test_a_target_is_judged_by_what_was_measured(b: float, reached: bool) -> None:
    chosen = [Subject("a", "", 1, list), Subject("b", "", 1, list)]
    targets = [Target("faster", "b", "a", at_least=2), Target("not slower", "b", "a", at_most=0.5)]

    verdicts = harness.judge(targets, chosen, {"a": [2.0], "b": [b]})

    assert [v["reached"] for v in verdicts] == [reached, reached]
    assert verdicts[0]["measured"] == pytest.approx(2 / b)
    assert verdicts[1]["measured"] == pytest.approx(b / 2)


def test_the_table_says_what_was_missed() -> None:
    out = io.StringIO()
    chosen = [Subject("a", "the usual", 1, list)]

    verdict = {"target": "four times", "at_least": 4, "measured": 3.5, "reached": False}
    harness.show(harness.summarise(chosen, {"a": [1.0]}), [verdict], out)

    assert "the usual" in out.getvalue()
    assert "MISSED   four times: 3.50, at least 4" in out.getvalue()


@pytest.mark.parametrize("name", subjects.LABELS)
def test_every_subject_finds_the_good_and_the_bad_ones_of_its_input(name: str) -> None:
    assert subjects.subject(name, 1500, 0.02).events == 1500


def test_an_event_of_single_records_fits_into_an_invocation() -> None:
    given = data.single_events(10_000, bad_share=0.01)

    assert 7_000 < given.good + given.bad < 8_000
    assert given.bad == round((given.good + given.bad) * 0.01)
    batch = kinesis_event.parse(given.event)
    assert batch is not None
    assert 160 < sum(map(len, batch.data)) / len(batch) < 200


def test_the_same_seed_gives_the_same_events() -> None:
    assert data.ndjson_packs(600, packs.NDJSON_ZSTD, bad_share=0.1) == data.ndjson_packs(
        600, packs.NDJSON_ZSTD, bad_share=0.1
    )


@pytest.mark.parametrize("form", stage_costs.FORMS)
def test_what_exactly_once_costs_is_measured_beside_the_whole_stage(form: str) -> None:
    share = stage_costs._share(form, 4, 600, 1)

    assert (share["events"], share["sources"]) == (600, 4)
    assert share["lanes"] > 0
    assert 0 < share["own_us"] < share["stage_us"]
