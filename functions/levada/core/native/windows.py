"""Rows and partials of windows by the compiled kernels: addresses of numpy columns in, numpy columns out."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np
from numpy.typing import NDArray

from levada.core import bins, groups
from levada.core.bins import Bins
from levada.core.groups import Ints
from levada.core.native.addresses import BOOL, FLOAT64, INT32, INT64, address, kernel, places, ready
from levada.core.parts import REAL, WHOLE
from levada.core.statistics import Asked, Merged, Partials, Rows, Statistics
from levada.core.vectors import NO_TIME

PICKS = 5
FEW = 16
_Column = tuple[NDArray[Any] | None, Any]
"""Numbers, and the type that the kernels read."""


class _Asked(ctypes.Structure):
    _fields_ = (
        ("width_us", ctypes.c_int64),
        ("watermark_us", ctypes.c_int64),
        ("error", ctypes.c_double),
        ("inverse", ctypes.c_double),
        ("offset", ctypes.c_int64),
        ("most", ctypes.c_int64),
    )


def windows(library: ctypes.CDLL, times: Ints, width_us: int, series: Ints, bound: int) -> tuple[Ints, int] | None:
    """As ``rowstats.windows``; None where a table of all possible windows would be too large."""
    n = len(times)
    possible = max(groups.SMALL, groups.SPARSE * n)
    group, table = np.empty(n, INT64), np.empty(possible, INT32)
    given = [ready(times, INT64), ready(series, INT64)]
    found = kernel(library, "levada_groups", "npnpnnpp")(
        *(n, address(given[0]), width_us, address(given[1]), bound), *(possible, address(group), address(table))
    )
    return None if found < 0 else (group, found)


def statistics(library: ctypes.CDLL, rows: Rows, n: int, asked: Asked) -> Statistics:
    """As ``rowstats.statistics``."""
    m = len(rows.group)
    whole, real = np.empty((len(WHOLE), n), INT64), np.empty((len(REAL), n))
    keys_at = PICKS * n
    room_at = keys_at + 2 * m
    room = np.empty(room_at + n + 3 * m + FEW // 2, INT64)
    logs = bins.logarithms(rows.values) if asked.error > 0 else None
    scale = bins.scale_of(asked.error) if asked.error > 0 else (0.0, 0)
    watermark = NO_TIME if asked.watermark_us is None else asked.watermark_us
    columns: list[_Column] = [
        (rows.group, INT64),
        (rows.values, FLOAT64),
        (logs, FLOAT64),
        (rows.times, INT64),
    ]
    columns += [(rows.rank, INT32), (rows.row, INT32), (rows.opened, INT32)]
    given = [None if values is None else ready(values, dtype) for values, dtype in columns]
    found = kernel(library, "levada_rows", "nn" + 14 * "p")(
        *(m, n),
        *map(address, given),
        ctypes.byref(_Asked(asked.width_us, watermark, asked.error, *scale, bins.MAX_BINS)),
        *places(room, 0),
        *map(address, (whole, real)),
        *places(room, keys_at, keys_at + m, room_at),
    )
    one, first, last, opened, lengths = room[:keys_at].reshape(PICKS, n)
    lists = Bins(lengths, room[keys_at : keys_at + found], room[keys_at + m : keys_at + m + found])
    return Statistics(whole, real, one, first, last, None if rows.opened is None else opened, lists)


def merged(library: ctypes.CDLL, parts: Partials, n: int) -> Merged:
    """As ``partstats.merged``."""
    m, size = len(parts.group), len(parts.bins.keys)
    keys_at = PICKS * n
    room_at = keys_at + 2 * size
    room = np.empty(room_at + 4 * size + n + m + 1 + (m + 1) // 2, INT64)
    whole, real = np.empty((len(WHOLE), n), INT64), np.empty((len(REAL), n))
    lists = parts.bins
    columns: list[_Column] = [
        (parts.group, INT64),
        (parts.whole, INT64),
        (parts.real, FLOAT64),
        (parts.ranks, INT32),
    ]
    columns += [(lists.lengths, INT64), (lists.keys, INT64), (lists.counts, INT64)]
    columns.append((parts.known, BOOL))
    given = [None if values is None else ready(values, dtype) for values, dtype in columns]
    found = kernel(library, "levada_merge", "nn" + 8 * "p" + "nn" + 6 * "p")(
        *(m, n),
        *map(address, given),
        *(size, bins.MAX_BINS),
        *places(room, 0),
        *map(address, (whole, real)),
        *places(room, keys_at, keys_at + size, room_at),
    )
    one, first, last, opener, lengths = room[:keys_at].reshape(PICKS, n)
    left = Bins(lengths, room[keys_at : keys_at + found], room[keys_at + size : keys_at + size + found])
    return Merged(whole, real, one, first, last, opener, left)
