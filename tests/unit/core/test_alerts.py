"""Alerts: one per series, rule and burst, however the anomalies are spread over commits."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from levada.core import columns
from levada.core.alerts import ALERT, Policy, raise_
from levada.core.anomalies import ANOMALY, SEVERITIES

HOUR_US = 3_600_000_000
POLICY = Policy(severity="error", quiet_us=3 * HOUR_US)
Found = tuple[str, int, str, str]
"""Series, hour, rule, severity."""


def anomalies(found: Sequence[Found]) -> pa.Table:
    n = len(found)
    values: dict[str, Any] = dict.fromkeys(ANOMALY.names, [None] * n)
    values |= {name: [""] * n for name in ("domain", "tenant", "site", "unit", "metric", "detail")}
    values |= {"series": [f[0] for f in found], "time": [f[1] * HOUR_US for f in found], "rule": [f[2] for f in found]}
    values |= {"severity": [f[3] for f in found], "value": [float(f[1]) for f in found]}
    arrays = [
        pa.array(values[f.name], pa.string()).dictionary_encode()
        if pa.types.is_dictionary(f.type)
        else pa.array(values[f.name], f.type)
        for f in ANOMALY
    ]
    return pa.table(arrays, schema=ANOMALY)


Alerts = dict[tuple[str, str, int], tuple[int, int, str]]


def run(commits: Sequence[Sequence[Found]], policy: Policy = POLICY) -> Alerts:
    """(series, rule, opened hour) → (last hour, count, severity), as the emissions leave them in a table."""
    known = columns.empty(ALERT)
    out: Alerts = {}
    for commit in commits:
        changed, known = raise_(anomalies(commit), known, policy)
        assert changed.schema.equals(ALERT)
        assert known.schema.equals(ALERT)
        for row in changed.to_pylist():
            opened, last = (int(row[name].timestamp()) // 3600 for name in ("opened", "last"))
            out[row["series"], row["rule"], opened] = (last, row["count"], row["severity"])
    return out


def by_hand(found: Sequence[Found]) -> Alerts:
    out: Alerts = {}
    at: dict[tuple[str, str], int] = {}
    for series, hour, rule, severity in sorted(found, key=lambda f: f[1]):
        if SEVERITIES.index(severity) < SEVERITIES.index("error"):
            continue
        opened = at.get((series, rule))
        if opened is None or hour - out[series, rule, opened][0] > 3:
            at[series, rule] = hour
            out[series, rule, hour] = (hour, 1, severity)
        else:
            _, count, most = out[series, rule, opened]
            out[series, rule, opened] = (hour, count + 1, max(most, severity, key=SEVERITIES.index))
    return out


FOUND = st.dictionaries(
    st.tuples(st.sampled_from(["a", "b"]), st.integers(0, 30), st.sampled_from(["we1", "zscore"])),
    st.sampled_from(SEVERITIES),
    max_size=40,
)


@given(FOUND, st.lists(st.integers(0, 30)))
def test_any_cut_into_commits_gives_the_same_alerts(found: dict[tuple[str, int, str], str], cuts: list[int]) -> None:
    rows = [(*key, severity) for key, severity in found.items()]
    edges = [0, *sorted(cuts), 31]
    commits = [[r for r in rows if low <= r[1] < high] for low, high in pairwise(edges)]

    assert run(commits) == by_hand(rows)


def test_an_alert_is_told_once_and_only_while_it_is_news() -> None:
    policy = Policy(severity="warning", quiet_us=3 * HOUR_US, publish_after_us=10 * HOUR_US)
    first, known = raise_(
        anomalies([("a", 5, "we1", "error"), ("b", 10, "we1", "error")]), columns.empty(ALERT), policy
    )
    second, _ = raise_(anomalies([("b", 11, "we1", "critical"), ("b", 20, "we1", "error")]), known, policy)

    assert [(r["series"], r["publish"]) for r in first.to_pylist()] == [("a", False), ("b", True)]
    assert [(r["count"], r["severity"], r["publish"]) for r in second.to_pylist()] == [
        (2, "critical", False),
        (1, "error", True),
    ]


def test_what_closes_late_by_declaration_is_news_all_the_same() -> None:
    """Laboratory samples close a day after they were taken."""
    policy = Policy(publish_after_us=30 * HOUR_US, delays_us={"": 25 * HOUR_US})
    changed, _ = raise_(anomalies([("a", 4, "we1", "error"), ("b", 5, "we1", "error")]), columns.empty(ALERT), policy)

    assert [(r["series"], r["publish"]) for r in changed.to_pylist()] == [("a", False), ("b", True)]


def test_open_alerts_are_forgotten_when_nothing_can_join_them() -> None:
    _, known = raise_(anomalies([("a", 0, "we1", "error"), ("b", 9, "we1", "error")]), columns.empty(ALERT), POLICY)

    assert known["series"].to_pylist() == ["b"]


def test_what_is_not_severe_enough_raises_nothing() -> None:
    changed, known = raise_(anomalies([("a", 0, "we4", "info")]), columns.empty(ALERT), POLICY)

    assert (changed.num_rows, known.num_rows) == (0, 0)
