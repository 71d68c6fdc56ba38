"""Process capability: how well a series keeps to its specification limits in a period.

Cp and Cpk: NIST/SEMATECH e-Handbook of Statistical Methods, section 6.1.6, "What is Process Capability?". Pp and Ppk
(the same with the overall standard deviation in place of the one within subgroups) and the estimates of sigma within
(pooled variance of subgroups; mean moving range of individuals over d2 = 1.128): D. C. Montgomery, "Introduction to
Statistical Quality Control", chapters on process capability and on control charts for variables.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import pyarrow as pa

from levada.core.limits import Bounds
from levada.core.periods import DAY, MONTH, WEEK
from levada.core.records import SERIES, TEXT, TIME

PERIODS = (DAY, WEEK, MONTH)
D2 = 1.128
"""Mean range of two normal values in units of sigma: what a mean moving range is divided by."""
WINDOWS = "windows"
HOURS = "hours"
MOVING_RANGE = "moving_range"
"""What sigma within was estimated from: base windows that hold several rows; else hours that do; else neighbours."""

KPI = pa.schema(
    [
        *(pa.field(name, TEXT) for name in SERIES),
        pa.field("window_start", TIME),  # of the period, or where a limit began to hold in it
        pa.field("window_end", TIME),
        pa.field("lower", pa.float64()),
        pa.field("target", pa.float64()),
        pa.field("upper", pa.float64()),
        pa.field("n", pa.int64()),
        pa.field("mean", pa.float64()),
        pa.field("stddev", pa.float64()),
        pa.field("stddev_within", pa.float64()),
        pa.field("within", pa.string()),  # WINDOWS, HOURS, MOVING_RANGE, or null
        pa.field("cp", pa.float64()),
        pa.field("cpk", pa.float64()),
        pa.field("pp", pa.float64()),
        pa.field("ppk", pa.float64()),
    ]
)
"""One row per series, period and limit that held in it."""


@dataclass(frozen=True, slots=True)
class Part:
    """What is known of the values in some time: a window, an hour, or a whole period."""

    count: int
    mean: float
    m2: float
    """Sum of squared deviations from the mean."""
    within_m2: float = 0.0
    """Squared deviations inside the base windows, and their degrees of freedom."""
    within_df: int = 0


def merged(parts: Sequence[Part]) -> Part:
    """Chan, Golub, LeVeque 1979, as for windows (core/partials.py)."""
    there = [part for part in parts if part.count]
    count = sum(part.count for part in there)
    if not count:
        return Part(0, math.nan, 0.0)
    mean = math.fsum(part.count * part.mean for part in there) / count
    m2 = math.fsum(part.m2 + part.count * (part.mean - mean) ** 2 for part in there)
    return Part(count, mean, m2, math.fsum(part.within_m2 for part in there), sum(part.within_df for part in there))


def stddev(part: Part) -> float | None:
    """Sample standard deviation; None for fewer than two values."""
    return math.sqrt(part.m2 / (part.count - 1)) if part.count > 1 else None


def sigma_within(whole: Part, hours: Sequence[Part]) -> tuple[float | None, str | None]:
    """(sigma within subgroups, what it was estimated from); None, None where nothing tells.

    Args:
        whole: the period.
        hours: its hours in order of time; they stand in where each base window holds one row only.
    """
    if whole.within_df:
        return math.sqrt(whole.within_m2 / whole.within_df), WINDOWS
    there = [part for part in hours if part.count]
    degrees = sum(part.count - 1 for part in there)
    if degrees:
        return math.sqrt(math.fsum(part.m2 for part in there) / degrees), HOURS
    if len(there) < 2:
        return None, None
    ranges = [abs(b.mean - a.mean) for a, b in pairwise(there)]
    return math.fsum(ranges) / len(ranges) / D2, MOVING_RANGE


def capability(mean: float, sigma: float | None, bounds: Bounds) -> tuple[float | None, float | None]:
    """(Cp, Cpk), or (Pp, Ppk) for an overall sigma.

    Cp = (U - L) / 6 sigma asks for both limits; Cpk is the smaller of (U - mean) / 3 sigma and (mean - L) / 3 sigma, or
    the one of a one-sided limit. None where sigma is zero or not known: a constant has no capability.
    """
    lower, _, upper = bounds
    if not sigma or not math.isfinite(sigma) or not math.isfinite(mean):
        return None, None
    sides = [(upper - mean) / (3 * sigma)] if upper is not None else []
    sides += [(mean - lower) / (3 * sigma)] if lower is not None else []
    both = (upper - lower) / (6 * sigma) if upper is not None and lower is not None else None
    return both, min(sides, default=None)


def row(whole: Part, hours: Sequence[Part], bounds: Bounds) -> dict[str, Any]:
    """The columns of KPI from ``lower`` on."""
    overall = stddev(whole)
    within, method = sigma_within(whole, hours)
    cp, cpk = capability(whole.mean, within, bounds)
    pp, ppk = capability(whole.mean, overall, bounds)
    lower, target, upper = bounds
    found: dict[str, Any] = {"lower": lower, "target": target, "upper": upper}
    found |= {"n": whole.count, "mean": whole.mean if whole.count else None, "stddev": overall}
    return found | {"stddev_within": within, "within": method, "cp": cp, "cpk": cpk, "pp": pp, "ppk": ppk}
