"""Western Electric rules 1 to 4 over many series at once.

Western Electric Co., "Statistical Quality Control Handbook" (1956), part B: the band between the centre line and each
control limit is cut into three zones of one sigma. The point that completes a pattern is the one that is marked, so it
lies in the pattern's zone itself. Each side of the centre line is judged apart.

1. one point beyond three sigma
2. two of three successive points beyond two sigma, on one side
3. four of five successive points beyond one sigma, on one side
4. eight successive points on one side of the centre line
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

PATTERNS = {1: (1, 1, 4), 2: (2, 3, 3), 3: (4, 5, 2), 4: (8, 8, 1)}
"""Rule → (how many, of how many successive points, in which zone or a farther one)."""
HISTORY = 7
"""Points before the one that is judged which any rule looks at."""
D2 = 1.128
"""Mean range of two values of a normal distribution, in standard deviations: sigma = mean moving range / D2."""
_BITS, _OFFSET = 4, 4
NO_HISTORY = sum(_OFFSET << (_BITS * i) for i in range(HISTORY))
"""The packed history of a series without any: every zone 0."""


@dataclass(frozen=True, slots=True)
class Lines:
    """Centre line and control limits of n points; NaN where there is none."""

    lower: Floats
    center: Floats
    upper: Floats

    @property
    def known(self) -> Bools:
        """Where at least one limit is given."""
        return ~(np.isnan(self.lower) & np.isnan(self.upper))

    def completed(self) -> Lines:
        """With the centre line in the middle of the limits where both are given and it is not."""
        middle = self.lower + (self.upper - self.lower) / 2
        return Lines(self.lower, np.where(np.isnan(self.center), middle, self.center), self.upper)

    def sigma(self, above: Bools) -> Floats:
        """One sigma on the side where a point lies: a third of the way from the centre line to that limit."""
        return np.where(above, self.upper - self.center, self.center - self.lower) / 3


def zones(values: Floats, lines: Lines) -> Ints:
    """Zone of each of n points, -4 to 4: 1 up to one sigma from the centre line, 4 beyond the limit, negative below.

    0 on the centre line and where no line is known. A limit without a centre line has no zone but 4; a side without a
    limit none but 1. A point on a line is not beyond it.
    """
    lines = lines.completed()
    above = values > lines.center
    with np.errstate(invalid="ignore"):
        sigma = lines.sigma(above)
        distance = np.abs(values - lines.center)
        zone = (distance > 0).astype(np.int64) + (distance > sigma) + (distance > 2 * sigma)
        low, high = values < lines.lower, values > lines.upper
    zone = np.where(above, zone, -zone)
    zone = np.clip(zone, -3, 3)
    return np.where(high, 4, np.where(low, -4, zone))


def unpack(packed: Ints) -> Ints:
    """(n, HISTORY) zones of the points before, the latest first, from their packed form."""
    shifts = np.arange(HISTORY) * _BITS
    return ((packed[:, None] >> shifts) & 0xF) - _OFFSET


def pack(history: Ints) -> Ints:
    """The inverse of ``unpack``."""
    packed: Ints = ((history + _OFFSET) << (np.arange(HISTORY) * _BITS)).sum(axis=1, dtype=np.int64)
    return packed


def before(zone: Ints, index: Ints, history: Ints) -> Ints:
    """(n, HISTORY) zones of the points before each of n points, the latest first.

    Args:
        zone: of the points, those of one series together and in order of time.
        index: 0, 1, 2 … within each series.
        history: (n, HISTORY) zones of what was before index 0, repeated for each point of the series.
    """
    n = len(zone)
    out = np.empty((n, HISTORY), np.int64)
    at = np.arange(n)
    for j in range(1, HISTORY + 1):
        inside = index >= j
        earlier = history[at, np.clip(j - 1 - index, 0, HISTORY - 1)]
        out[:, j - 1] = np.where(inside, zone[np.maximum(at - j, 0)], earlier)
    return out


def violated(rule: int, zone: Ints, earlier: Ints) -> Ints:
    """1 where a rule signals above the centre line, -1 below it, else 0.

    Args:
        zone: of n points.
        earlier: (n, HISTORY) zones before each of them, see ``before``.
    """
    need, of, least = PATTERNS[rule]
    out = np.zeros(len(zone), np.int64)
    for side in (1, -1):
        mine = zone * side >= least
        others = (earlier[:, : of - 1] * side >= least).sum(axis=1)
        out[mine & (others >= need - 1)] = side
    return out
