"""Western Electric rules and baselines against worked examples of the literature, which the tests name (D14, D35)."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from levada.core import western_electric as we
from levada.core.baseline import Baselines, Judged, Settings, follow
from levada.core.western_electric import Lines

FLOW_RATE = [49.6, 47.6, 49.9, 51.3, 47.8, 51.2, 52.6, 52.4, 53.6, 52.1]
"""NIST/SEMATECH e-Handbook 6.3.2.2, individuals and moving range."""
EWMA_DATA = [52.0, 47.0, 53.0, 49.3, 50.1, 47.0, 51.0, 50.1, 51.2, 50.5]
EWMA_DATA += [49.6, 47.6, 49.9, 51.3, 47.8, 51.2, 52.6, 52.4, 53.6, 52.1]
EWMA = [50.60, 49.52, 50.56, 50.18, 50.16, 49.21, 49.75, 49.85, 50.26, 50.33]
EWMA += [50.11, 49.36, 49.52, 50.05, 49.38, 49.92, 50.73, 51.23, 51.94, 51.99]
"""NIST/SEMATECH e-Handbook 6.3.2.4: weight 0.3, begun at 50."""
PISTON_RINGS = [74.0112, 74.0126, 74.0040, 74.0166, 74.0196, 74.0234, 74.0128]
"""D. C. Montgomery, Introduction to Statistical Quality Control: means of samples 34 to 40, of five rings each."""
PISTON_LIMITS = (73.98805, 74.00118, 74.0143)
SHIFTED = [9.45, 7.99, 9.29, 11.66, 12.16, 10.18, 8.04, 11.46, 9.20, 10.34, 9.03, 11.47, 10.51, 9.40, 10.08]
SHIFTED += [9.37, 10.62, 10.31, 8.52, 10.84, 10.90, 9.33, 12.29, 11.50, 10.60, 11.08, 10.38, 11.62, 11.31, 10.52]
"""Montgomery's data of a mean that moves from 10 to 11 after observation 20, sigma 1: no point leaves the limits."""
GAP_MEANS = [270, 258, 248, 260, 273, 260, 259, 248, 260, 255, 268, 253, 273, 275, 257, 269, 249, 264, 258, 248, 248]
GAP_RANGES = [35, 25, 24, 39, 29, 21, 37, 37, 28, 19, 36, 36, 29, 22, 24, 41, 36, 31, 25, 36, 30]
"""SAS/QC, SHEWHART procedure, "Applying Tests for Special Causes": gap widths, samples of five."""


def lines(n: int, lower: float, center: float, upper: float) -> Lines:
    return Lines(*(np.full(n, v) for v in (lower, center, upper)))


def signals(values: list[float], lower: float, center: float, upper: float) -> dict[int, list[int]]:
    """Rule → signed number of each point (from 1) that it marks, negative below the centre line."""
    x = np.array(values, float)
    zone = we.zones(x, lines(len(x), lower, center, upper))
    history = we.unpack(np.full(len(x), we.NO_HISTORY))
    earlier = we.before(zone, np.arange(len(x)), history)
    found = {rule: we.violated(rule, zone, earlier) for rule in we.PATTERNS}
    return {rule: [int(side[i] * (i + 1)) for i in np.flatnonzero(side)] for rule, side in found.items()}


def followed(
    values: list[float], *, zscore: float = 0.0, weight: float = 0.1, warmup: int = 2, estimate: int = 0
) -> tuple[Judged, Baselines]:
    n, state = len(values), Baselines.empty(1)
    settings = Settings(np.array([zscore]), np.array([weight]), np.array([warmup]), np.array([estimate]))
    none = np.zeros(n, bool)
    return follow(np.array(values, float), np.zeros(n, np.int64), np.arange(n), none, state, settings), state


def test_limits_are_estimated_as_in_the_nist_handbook() -> None:
    """Flow rates of NIST/SEMATECH 6.3.2.2: centre 50.81, limits 45.8159 and 55.8041, in control."""
    found, _ = followed([*FLOW_RATE, 50.0], estimate=len(FLOW_RATE))
    estimated = found.estimated

    assert np.isnan(estimated.center[:-1]).all()
    assert estimated.center[-1] == pytest.approx(50.81)
    assert estimated.lower[-1] == pytest.approx(45.8159, abs=1e-3)
    assert estimated.upper[-1] == pytest.approx(55.8041, abs=1e-3)
    assert signals(FLOW_RATE, 45.8159, 50.81, 55.8041)[1] == []


def test_the_weighted_mean_is_that_of_the_nist_handbook() -> None:
    """NIST/SEMATECH 6.3.2.4, to the two digits printed there."""
    state = Baselines.empty(1)
    state.n[:], state.mean[:] = 1_000, 50.0
    settings = Settings(np.array([0.0]), np.array([0.3]), np.array([2]), np.array([0]))
    means = []
    for value in EWMA_DATA:
        zero = np.zeros(1, np.int64)
        follow(np.array([value]), zero, zero, np.zeros(1, bool), state, settings)
        means.append(float(state.mean[0]))

    assert means == pytest.approx(EWMA, abs=0.0051)


def test_until_the_weight_is_reached_mean_and_variance_are_the_plain_ones() -> None:
    """Welford (1962): with n at most 1 / weight all windows weigh the same."""
    _, state = followed(SHIFTED, weight=1 / len(SHIFTED))

    assert state.mean[0] == pytest.approx(np.mean(SHIFTED), rel=1e-12)
    assert state.variance[0] == pytest.approx(np.var(SHIFTED), rel=1e-12)


def test_montgomerys_piston_rings_leave_the_limits_at_samples_37_to_39() -> None:
    found = signals(PISTON_RINGS, *PISTON_LIMITS)

    assert [33 + n for n in found[1]] == [37, 38, 39]


def test_a_small_shift_shows_in_the_run_and_not_beyond_the_limits() -> None:
    """Montgomery's example for EWMA charts: rule 1 is silent, the eighth point above the centre line is no. 30."""
    found = signals(SHIFTED, 7.0, 10.0, 13.0)

    assert found[1] == []
    assert found[4] == [30]


def test_the_gap_widths_of_sas_qc_signal_two_of_three_at_sample_14() -> None:
    """SAS/QC: of its tests 1 to 5 only test 5, which is rule 2, is positive, at sample 14."""
    center, reach = float(np.mean(GAP_MEANS)), 0.577 * float(np.mean(GAP_RANGES))  # A2 of samples of five
    found = signals([float(v) for v in GAP_MEANS], center - reach, center, center + reach)

    assert found[1] == []
    assert found[2] == [14]
    assert found[4] == []


@pytest.mark.parametrize(
    ("rule", "values", "expected"),
    [
        (1, [3.0, 3.01, -3.0, -3.01], [2, -4]),  # a point on the limit is not beyond it
        (2, [2.1, 0.0, 2.1], [3]),
        (2, [2.1, 2.1, 0.0], [2]),  # the point that completes the pattern is marked, not the next
        (2, [2.1, -2.1, 0.5, 2.1], []),  # both sides do not add up
        (2, [2.1, 0.0, 0.0, 2.1], []),
        (3, [1.1, 1.1, 0.5, 1.1, 1.1], [5]),
        (3, [-1.1, -1.1, 0.5, -1.1, -1.1], [-5]),
        (3, [1.1, 1.1, 0.5, 0.5, 1.1, 1.1], []),
        (4, [0.1] * 8, [8]),
        (4, [0.1] * 7 + [0.0] + [0.1] * 7, []),  # the centre line is on neither side
        (4, [-0.1] * 9, [-8, -9]),
    ],
)
def test_each_rule_by_hand(rule: int, values: list[float], expected: list[int]) -> None:
    assert signals(values, -3.0, 0.0, 3.0)[rule] == expected


def test_a_limit_on_one_side_only_judges_what_is_beyond_it() -> None:
    nan = float("nan")

    assert signals([9.0, 10.5, 12.0] * 4, nan, nan, 11.0) == {1: [3, 6, 9, 12], 2: [], 3: [], 4: []}
    assert signals([1.0] * 8, nan, nan, nan) == {1: [], 2: [], 3: [], 4: []}


@given(st.lists(st.lists(st.integers(-4, 4), min_size=7, max_size=7), min_size=1, max_size=5))
def test_a_history_survives_packing(rows: list[list[int]]) -> None:
    history = np.array(rows, np.int64)

    assert (we.unpack(we.pack(history)) == history).all()


def by_hand(values: list[float], sides: int, need: int, of: int, least: float) -> list[int]:
    beyond = [v * sides > least for v in values]
    return [i for i in range(len(values)) if beyond[i] and sum(beyond[max(0, i - of + 1) : i + 1]) >= need]


@given(st.lists(st.sampled_from([-3.5, -2.5, -1.5, -0.5, 0.0, 0.5, 1.5, 2.5, 3.5]), max_size=40))
def test_the_rules_equal_counting_by_hand(values: list[float]) -> None:
    found = signals(values, -3.0, 0.0, 3.0)

    for rule, (need, of, zone) in we.PATTERNS.items():
        up, down = (by_hand(values, side, need, of, zone - 1) for side in (1, -1))
        assert sorted(found[rule], key=abs) == sorted([i + 1 for i in up] + [-(i + 1) for i in down], key=abs)


def test_one_spike_does_not_hide_the_next() -> None:
    """A value that stands out counts as one at the threshold, so the scale stays that of the others."""
    usual = [10.0, 10.1, 9.9, 10.05, 9.95] * 10
    found, _ = followed([*usual, 1_000.0, 10.0, 1_000.0], zscore=6.0, warmup=24)

    assert list(np.flatnonzero(np.abs(found.z) > 6)) == [len(usual), len(usual) + 2]


def test_a_changed_level_becomes_the_usual_one() -> None:
    usual = [10.0, 10.1, 9.9, 10.05, 9.95] * 10
    found, state = followed([*usual, *(v + 5 for v in usual * 4)], zscore=6.0, warmup=24)

    assert abs(found.z[len(usual)]) > 6
    assert not (np.abs(found.z[-50:]) > 6).any()
    assert state.mean[0] == pytest.approx(15, abs=0.1)


def test_a_constant_series_has_no_scale_to_judge_by() -> None:
    found, _ = followed([0.1] * 100 + [0.2], zscore=6.0, warmup=24)

    assert np.isnan(found.z).all()


def test_values_beyond_what_squares_can_hold_do_no_harm() -> None:
    found, state = followed([1e308, -1e308, 1e308, 1.0, 2.0, 1.0], zscore=6.0, weight=0.5)

    assert np.isfinite(state.mean).all()
    assert np.isfinite(state.variance).all()
    assert len(found.z) == 6
