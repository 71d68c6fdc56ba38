"""Two tables of windows side by side: a quantile or a deviation that is off is noticed, one within its error is not."""

from __future__ import annotations

import statistics

import pyarrow as pa
import pytest

from levada.core.partials import merge
from levadactl.compare import compare, spread
from levadactl.oracle import KEY, QUANTILES, STATISTICS
from tests.unit.core.test_partials import partials

VALUES = [1.0, 2.0, 3.0, 50.0]


def expected(**changed: float) -> pa.Table:
    row = dict.fromkeys(KEY, "") | {"series": "a", "window_start": 0, "count": 4, "missing": 0}
    row |= {"sum": 56.0, "min": 1.0, "max": 50.0, "mean": 14.0, "first": 1.0, "last": 50.0}
    row |= {"stddev": statistics.stdev(VALUES), "p50": 2.5, "p95": 42.95, "p99": 48.59} | changed
    assert row.keys() == {*KEY, *STATISTICS, *QUANTILES, "stddev"}
    return pa.Table.from_pylist([row])


def test_what_is_within_the_error_is_equal() -> None:
    found = spread(merge(partials([("a", i, v, i) for i, v in enumerate(VALUES)])))

    assert compare(expected(), found).mismatches == 0
    assert compare(expected(), found.drop_columns(["bin_error", "stddev", *QUANTILES])).mismatches == 0


@pytest.mark.parametrize(("name", "value"), [("p50", 2.6), ("p95", 44.5), ("p99", 47.0), ("stddev", 24.1)])
def test_what_is_beyond_it_differs(name: str, value: float) -> None:
    found = spread(merge(partials([("a", i, v, i) for i, v in enumerate(VALUES)])))

    difference = compare(expected(**{name: value}), found)

    assert difference.mismatches == 1
    assert difference.examples[0]["expected"][name] == value
