"""Capability (D15, D16): NIST's worked example, one-sided limits, and the three ways to sigma within."""

from __future__ import annotations

import math
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from levada.core.kpi import HOURS, MOVING_RANGE, WINDOWS, Part, capability, merged, row, sigma_within, stddev


def part(values: list[float], *, windows: list[list[float]] | None = None) -> Part:
    """The values of some time, in base windows of so many; without, each in one of its own."""
    mean = statistics.fmean(values) if values else math.nan
    inside = [w for w in windows or [] if len(w) > 1]
    within = math.fsum((v - statistics.fmean(w)) ** 2 for w in inside for v in w)
    return Part(len(values), mean, math.fsum((v - mean) ** 2 for v in values), within, sum(len(w) - 1 for w in inside))


def test_the_worked_example_of_the_nist_handbook() -> None:
    """NIST/SEMATECH e-Handbook, 6.1.6: limits 8 and 20, mean 16, s = 2. Cp 1.0, Cpu 0.6667, Cpl 1.3333, Cpk 0.6667."""
    cp, cpk = capability(16.0, 2.0, (8.0, None, 20.0))

    assert cp == pytest.approx(1.0)
    assert cpk == pytest.approx(0.6667, abs=5e-5)
    for bounds, one_sided in (((None, None, 20.0), 0.6667), ((8.0, None, None), 1.3333)):
        cp, cpk = capability(16.0, 2.0, bounds)
        assert cp is None
        assert cpk == pytest.approx(one_sided, abs=5e-5)


def test_the_example_comes_out_of_values_too() -> None:
    """Values with mean 16 and s = 2 in one window: sigma within and overall agree, and so do Cp and Pp."""
    values = [16 + 2 * math.sqrt(3 / 4) * sign for sign in (-1, 1, -1, 1)]
    found = row(part(values, windows=[values]), [], (8.0, 14.0, 20.0))

    assert found["n"] == 4
    assert found["stddev"] == found["stddev_within"] == pytest.approx(2.0)
    assert (found["cp"], found["pp"]) == (pytest.approx(1.0), pytest.approx(1.0))
    assert (found["cpk"], found["ppk"]) == (pytest.approx(2 / 3), pytest.approx(2 / 3))


def test_drift_between_windows_lowers_pp_but_not_cp() -> None:
    windows = [[9.0, 11.0], [19.0, 21.0]]
    found = row(part([v for w in windows for v in w], windows=windows), [], (0.0, None, 30.0))

    assert found["stddev_within"] == pytest.approx(math.sqrt(2))
    assert found["stddev"] == pytest.approx(statistics.stdev([9, 11, 19, 21]))
    assert found["within"] == WINDOWS
    assert found["cp"] > found["pp"]


def test_sigma_within_comes_from_windows_else_hours_else_neighbours() -> None:
    hours = [part([1.0, 3.0]), part([]), part([10.0, 14.0])]
    assert sigma_within(part([1.0, 3.0, 10.0, 14.0], windows=[[1.0, 3.0]]), hours) == (math.sqrt(2.0), WINDOWS)
    assert sigma_within(part([1.0, 3.0, 10.0, 14.0]), hours) == (math.sqrt((2 + 8) / 2), HOURS)
    alone = [part([v]) for v in (10.0, 12.0, 11.0, 14.0)]
    found, method = sigma_within(part([10.0, 12.0, 11.0, 14.0]), alone)
    assert found == pytest.approx((2 + 1 + 3) / 3 / 1.128)
    assert method == MOVING_RANGE
    assert sigma_within(part([10.0]), alone[:1]) == (None, None)


def test_a_constant_and_a_single_value_have_no_capability() -> None:
    constant = row(part([5.0, 5.0], windows=[[5.0, 5.0]]), [], (0.0, None, 9.0))
    single = row(part([5.0]), [part([5.0])], (0.0, None, 9.0))
    empty = row(part([]), [], (0.0, None, 9.0))

    assert (constant["stddev"], constant["cp"], constant["ppk"]) == (0.0, None, None)
    assert (single["n"], single["stddev"], single["cpk"]) == (1, None, None)
    assert (empty["n"], empty["mean"], empty["pp"]) == (0, None, None)


@given(st.lists(st.lists(st.floats(-1e6, 1e6), max_size=5), max_size=6))
def test_merged_parts_are_the_part_of_all_values(groups: list[list[float]]) -> None:
    values = [v for group in groups for v in group]
    found = merged([part(group) for group in groups])

    assert found.count == len(values)
    if values:
        assert found.mean == pytest.approx(statistics.fmean(values), rel=1e-9, abs=1e-6)
    if len(values) > 1:
        assert stddev(found) == pytest.approx(statistics.stdev(values), rel=1e-6, abs=1e-6)
