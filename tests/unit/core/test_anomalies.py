"""Anomalies of closed windows: the same for any cut into batches, each (series, time, rule) once (D14, D35)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from levada.core import columns
from levada.core.anomalies import ANOMALY, FORGET_US, MEMORY, ControlLines, detect, no_lines
from levada.core.errors import ConfigError
from levada.core.partials import PARTIAL
from levada.core.western_electric import Lines
from levada.domains.air_quality import AIR_QUALITY
from levada.domains.declaration import Domain, Watch
from levada.domains.shop import SHOP
from tests.rules_by_hand import by_hand

HOUR_US = 3_600_000_000
WATCH = Watch(zscore=3.0, weight=0.2, warmup=4, estimate=5)
Window = tuple[str, int, float | None]
"""Series, number of the window, mean (None for a window without a value)."""


def domain(*watch: Watch) -> dict[str, Domain]:
    return {"air_quality": replace(AIR_QUALITY, watch=watch or (WATCH,))}


def partials(windows: Sequence[Window], *, metric: str = "co", late: int = 0) -> pa.Table:
    n = len(windows)
    values: dict[str, Any] = dict.fromkeys(PARTIAL.names, [None] * n)
    values |= {"domain": ["air_quality"] * n, "tenant": ["default"] * n, "site": [""] * n, "unit": [""] * n}
    values |= {"series": [w[0] for w in windows], "metric": [metric] * n}
    values |= {"window_start": [w[1] * HOUR_US for w in windows], "width_s": [3600] * n}
    values |= {"count": [int(w[2] is not None) for w in windows], "mean": [w[2] for w in windows], "late": [late] * n}
    arrays = [
        pa.array(values[f.name], f.type.value_type).dictionary_encode()
        if pa.types.is_dictionary(f.type)
        else pa.array(values[f.name], f.type)
        for f in PARTIAL
    ]
    return pa.table(arrays, schema=PARTIAL)


def run(
    batches: Sequence[pa.Table], domains: dict[str, Domain] | None = None, lines: ControlLines = no_lines
) -> tuple[pa.Table, pa.Table]:
    """(all anomalies, memory at the end) when windows close in these batches."""
    memory, found = columns.empty(MEMORY), []
    for batch in batches:
        more, memory = detect(batch, memory, domains or domain(), lines)
        assert more.schema.equals(ANOMALY)
        assert memory.schema.equals(MEMORY)
        found.append(more)
    return pa.concat_tables(found).unify_dictionaries(), memory


def named(found: pa.Table) -> list[tuple[str, int, str]]:
    rows = found.to_pylist()
    return sorted((r["series"], int(r["time"].timestamp()) // 3600, r["rule"]) for r in rows)


VALUES = st.sampled_from([0.0, 1.0, 1.25, 1.5, 2.0, 3.0, 7.0, -4.0, 40.0])
HISTORY = st.dictionaries(st.sampled_from(["a", "b", "ü"]), st.lists(VALUES | st.none(), max_size=40), min_size=1)


def cut(windows: Sequence[Window], cuts: Sequence[int]) -> list[list[Window]]:
    """Windows in batches, each series' in order: what closes at a time depends on how the stream was batched."""
    edges = sorted({0, 10_000, *cuts})
    return [[w for w in windows if low <= w[1] < high] for low, high in pairwise(edges)]


@given(HISTORY, st.lists(st.integers(0, 40)), st.randoms(use_true_random=False))
def test_any_cut_into_batches_finds_what_the_rules_say_window_by_window(
    history: dict[str, list[float | None]], cuts: list[int], rng: Any
) -> None:
    windows = [(name, i, value) for name, values in history.items() for i, value in enumerate(values)]
    rng.shuffle(windows)
    once, memory_once = run([partials(windows)])
    found, memory = run([partials(some) for some in cut(windows, cuts)])
    expected = [
        (name, at, rule)
        for name, values in history.items()
        for at, rule in by_hand([(i, v) for i, v in enumerate(values) if v is not None], WATCH)
    ]

    assert named(found) == sorted(expected)
    by = [(name, "ascending") for name in ("series", "time", "rule")]
    assert texts(found).sort_by(by).equals(texts(once).sort_by(by))
    assert texts(memory).equals(texts(memory_once))  # to the last bit


def texts(table: pa.Table) -> pa.Table:
    """Dictionaries as plain texts, so that tables compare by what they hold."""
    for i, f in enumerate(table.schema):
        if pa.types.is_dictionary(f.type):
            table = table.set_column(i, f.name, table[f.name].cast(pa.string()))
    return table.combine_chunks()


USUAL: list[float | None] = [1.0, 1.25, 1.0, 0.75, 1.0, 1.25, 1.0, 0.75, 1.0]


def series(values: Sequence[float | None], start: int = 0, name: str = "a") -> list[Window]:
    return [(name, start + i, v) for i, v in enumerate(values)]


def test_an_anomaly_says_what_it_was_judged_by() -> None:
    found, _ = run([partials(series([*USUAL, 40.0]))])
    by_rule = {row["rule"]: row for row in found.to_pylist()}

    assert set(by_rule) == {"we1", "zscore"}
    row = by_rule["we1"]
    assert (row["series"], row["metric"], row["width_s"], row["value"], row["count"]) == ("a", "co", 3600, 40.0, 1)
    assert row["lower"] < 1.0 < row["upper"] < 40.0
    assert row["center"] == pytest.approx(1.0)
    assert row["z"] == pytest.approx((40 - row["center"]) / ((row["upper"] - row["center"]) / 3))
    assert row["severity"] == "error"
    assert row["detail"] == "beyond the control limit, above the centre line; limits estimated"
    assert by_rule["zscore"]["severity"] == "critical"
    assert by_rule["zscore"]["upper"] - by_rule["zscore"]["center"] == pytest.approx(
        by_rule["zscore"]["center"] - by_rule["zscore"]["lower"]
    )


def test_limits_that_are_set_go_before_those_estimated() -> None:
    def lines(rows: pa.Table) -> Lines:
        n = rows.num_rows
        return Lines(np.full(n, -100.0), np.full(n, np.nan), np.full(n, 100.0))

    found, _ = run([partials(series([*USUAL, 40.0, 101.0]))], domain(replace(WATCH, zscore=0, rules=(1,))), lines)

    assert [(r["rule"], r["value"], r["lower"], r["center"], r["upper"], r["detail"]) for r in found.to_pylist()] == [
        ("we1", 101.0, -100.0, 0.0, 100.0, "beyond the control limit, above the centre line; limits set")
    ]


def test_a_late_partial_of_a_closed_window_is_not_judged_and_leaves_no_trace() -> None:
    before = [partials(series(USUAL))]
    late = partials([("a", 3, 500.0)], late=1)

    found, memory = run([*before, late])
    alone, memory_alone = run(before)

    assert found.num_rows == alone.num_rows == 0
    assert memory.equals(memory_alone)


def test_a_series_behind_its_stream_is_watched_like_any_other() -> None:
    """A device that sends its backlog: all its windows have long closed for the others (C19, D14)."""
    others = partials(series([1.0, 1.0], start=500, name="b"))
    backlog = series([*USUAL, 40.0])

    found, _ = run([others, partials(backlog[:6], late=1), partials(backlog[6:], late=2)])

    assert named(found) == [("a", 9, "we1"), ("a", 9, "zscore")]


@given(st.lists(st.tuples(st.integers(0, 60), VALUES), min_size=1, max_size=40), st.data())
def test_no_window_is_judged_twice_or_out_of_order_however_late_it_comes(
    rows: list[tuple[int, float]], data: st.DataObject
) -> None:
    judged = [(at, value) for i, (at, value) in enumerate(rows) if at > max((b for b, _ in rows[:i]), default=-1)]
    late = [data.draw(st.integers(0, 1)) for _ in rows]

    found, memory = run([partials([("a", *row)], late=one) for row, one in zip(rows, late, strict=True)])

    assert named(found) == sorted(("a", at, rule) for at, rule in by_hand(judged, WATCH))
    assert [row["n"] for row in memory.to_pylist()] == [len(judged)]


def test_late_windows_from_before_what_is_remembered_are_not_judged() -> None:
    """Their series may have been forgotten since: it would be judged a second time."""
    now = FORGET_US // HOUR_US + len(USUAL)
    others, old = partials(series([1.0], start=now, name="b")), series([*USUAL, 40.0])

    assert named(run([partials(old), others, partials(old, late=1)])[0]) == named(run([partials(old)])[0])
    assert run([others, partials(old[:9], late=1)])[1]["series"].to_pylist() == ["b"]
    assert named(run([others, partials(series([*USUAL, 40.0], start=len(USUAL)), late=1)])[0]) == [
        ("a", 2 * len(USUAL), "we1"),
        ("a", 2 * len(USUAL), "zscore"),
    ]


def test_a_window_that_comes_again_is_not_judged_again() -> None:
    window = partials(series([*USUAL, 40.0]))

    assert named(run([window, window])[0]) == named(run([window])[0])


def test_windows_of_event_rollups_are_not_watched() -> None:
    """They may be spread over shards: no shard sees the whole window."""
    shop = replace(SHOP, name="air_quality", watch=(WATCH,))
    found, memory = run([partials(series([*USUAL, 40.0]), metric=shop.rollups[0].metric)], {shop.name: shop})

    assert (found.num_rows, memory.num_rows) == (0, 0)


def test_metrics_that_no_domain_lists_are_watched() -> None:
    """Domains may take any metric, and derive some."""
    assert len(named(run([partials(series([*USUAL, 40.0]), metric="pm10")])[0])) == 2


def test_the_first_watch_that_names_a_metric_counts() -> None:
    off, all_others = Watch(metrics=("co",), zscore=0), replace(WATCH, rules=())
    windows = series([*USUAL, 40.0])

    assert run([partials(windows)], domain(off, all_others))[0].num_rows == 0
    assert named(run([partials(windows, metric="nox")], domain(off, all_others))[0]) == [("a", 9, "zscore")]


def test_a_series_that_was_silent_for_a_month_begins_anew() -> None:
    month = FORGET_US // HOUR_US
    again = series([41.0, 40.0, 42.0], start=len(USUAL) + month + 1)
    kept = series([40.0], start=len(USUAL) + month - 2)

    assert named(run([partials(series(USUAL) + again)])[0]) == []
    assert named(run([partials(series(USUAL)), partials(again)])[0]) == []
    assert named(run([partials(series(USUAL)), partials(kept)])[0]) == [
        ("a", kept[0][1], "we1"),
        ("a", kept[0][1], "zscore"),
    ]


def test_memory_forgets_series_that_would_begin_anew_anyhow() -> None:
    far = len(USUAL) + FORGET_US // HOUR_US + 1
    _, memory = run([partials(series(USUAL)), partials(series([1.0], start=far, name="b"))])

    assert memory["series"].to_pylist() == ["b"]


def test_the_built_in_watch_is_quiet_on_noise_and_loud_on_a_spike() -> None:
    rng = np.random.default_rng(1)
    values: list[float | None] = [float(v) for v in rng.normal(20, 2, 5_000)]
    values[4_000] = 60.0
    found, _ = run([partials(series(values))], domain(Watch()))

    assert named(found) == [("a", 4_000, "zscore")]


@pytest.mark.parametrize(
    "wrong", [{"zscore": -1.0}, {"weight": 0.0}, {"weight": 1.1}, {"warmup": 1}, {"rules": (5,)}, {"estimate": 1}]
)
def test_a_watch_refuses_what_makes_no_sense(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        Watch(**wrong)


def test_memory_has_one_row_per_series() -> None:
    _, memory = run([partials(series([1.0, 2.0]) + series([3.0], name="b"))])

    assert sorted((row["series"], row["n"]) for row in memory.to_pylist()) == [("a", 2), ("b", 1)]
