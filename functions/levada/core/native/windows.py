"""Rows and partials of windows by the compiled kernels: addresses of numpy columns in, numpy columns out."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from levada.core import bins, groups
from levada.core.bins import Bins
from levada.core.groups import Ints
from levada.core.parts import REAL, WHOLE
from levada.core.partstats import Merged, Partials
from levada.core.rowstats import Asked, Rows, Statistics
from levada.core.vectors import NO_TIME

WORD = 8
PICKS = 5
ROOM_OF_WINDOW = 15
_POINTER, _WHOLE = ctypes.c_void_p, ctypes.c_int64
_INT64, _INT32, _FLOAT64, _BOOL = (np.dtype(kind) for kind in ("int64", "int32", "float64", "bool"))
_Column = tuple[NDArray[Any] | None, Any]
"""Numbers, and the type that the kernels read."""


class _Asked(ctypes.Structure):
    _fields_ = (
        ("width_us", _WHOLE),
        ("watermark_us", _WHOLE),
        ("error", ctypes.c_double),
        ("inverse", ctypes.c_double),
        ("offset", _WHOLE),
        ("most", _WHOLE),
    )


def windows(library: ctypes.CDLL, times: Ints, width_us: int, series: Ints, bound: int) -> tuple[Ints, int] | None:
    """As ``rowstats.windows``; None where a table of all possible windows would be too large."""
    n = len(times)
    places = max(groups.SMALL, groups.SPARSE * n)
    group, table = np.empty(n, _INT64), np.empty(places, _INT32)
    given = [_ready(times, _INT64), _ready(series, _INT64)]
    kernel = library.levada_groups
    kernel.restype = _WHOLE
    found = kernel(
        *(_WHOLE(n), _address(given[0]), _WHOLE(width_us), _address(given[1]), _WHOLE(bound)),
        *(_WHOLE(places), _address(group), _address(table)),
    )
    return None if found < 0 else (group, found)


def statistics(library: ctypes.CDLL, rows: Rows, n: int, asked: Asked) -> Statistics:
    """As ``rowstats.statistics``."""
    m = len(rows.group)
    room = np.empty((PICKS + ROOM_OF_WINDOW) * n + 4 * m, _INT64)
    whole, real = np.empty((len(WHOLE), n), _INT64), np.empty((len(REAL), n))
    keys_at = PICKS * n
    room_at = keys_at + 2 * m
    logs = bins.logarithms(rows.values) if asked.error > 0 else None
    scale = bins.scale_of(asked.error) if asked.error > 0 else (0.0, 0)
    watermark = NO_TIME if asked.watermark_us is None else asked.watermark_us
    columns: list[_Column] = [
        (rows.group, _INT64),
        (rows.values, _FLOAT64),
        (logs, _FLOAT64),
        (rows.times, _INT64),
    ]
    columns += [(rows.rank, _INT32), (rows.row, _INT32), (rows.opened, _INT32)]
    given = [_ready(*one) for one in columns]
    kernel = library.levada_rows
    kernel.restype = _WHOLE
    found = kernel(
        *(_WHOLE(m), _WHOLE(n)),
        *map(_address, given),
        ctypes.byref(_Asked(asked.width_us, watermark, asked.error, *scale, bins.MAX_BINS)),
        *_places(room, 0),
        *map(_address, (whole, real)),
        *_places(room, keys_at, keys_at + m, room_at),
    )
    one, first, last, opened, lengths = room[:keys_at].reshape(PICKS, n)
    lists = Bins(lengths, room[keys_at : keys_at + found], room[keys_at + m : keys_at + m + found])
    return Statistics(whole, real, one, first, last, None if rows.opened is None else opened, lists)


def merged(library: ctypes.CDLL, parts: Partials, n: int) -> Merged:
    """As ``partstats.merged``."""
    m, size = len(parts.group), len(parts.bins.keys)
    keys_at = PICKS * n
    room_at = keys_at + 2 * size
    room = np.empty(room_at + 2 * m + 1 + n + 4 * size, _INT64)
    whole, real = np.empty((len(WHOLE), n), _INT64), np.empty((len(REAL), n))
    lists = parts.bins
    columns: list[_Column] = [
        (parts.group, _INT64),
        (parts.whole, _INT64),
        (parts.real, _FLOAT64),
        (parts.ranks, _INT32),
    ]
    columns += [(lists.lengths, _INT64), (lists.keys, _INT64), (lists.counts, _INT64)]
    columns.append((parts.known, _BOOL))
    given = [_ready(*one) for one in columns]
    kernel = library.levada_merge
    kernel.restype = _WHOLE
    found = kernel(
        *(_WHOLE(m), _WHOLE(n)),
        *map(_address, given),
        *(_WHOLE(size), _WHOLE(bins.MAX_BINS)),
        *_places(room, 0),
        *map(_address, (whole, real)),
        *_places(room, keys_at, keys_at + size, room_at),
    )
    one, first, last, opener, lengths = room[:keys_at].reshape(PICKS, n)
    left = Bins(lengths, room[keys_at : keys_at + found], room[keys_at + size : keys_at + size + found])
    return Merged(whole, real, one, first, last, opener, left)


def _ready(values: NDArray[Any] | None, dtype: np.dtype[Any]) -> NDArray[Any] | None:
    """As the kernels read them: of this type, in one piece, aligned."""
    if values is None or (values.dtype == dtype and values.flags.c_contiguous and values.flags.aligned):
        return values
    return np.require(values, dtype, ("C", "A"))


def _address(values: NDArray[Any] | None) -> Any:
    """Arrow finds it three times as fast as ``values.ctypes``."""
    return None if values is None else _POINTER(pa.py_buffer(values).address)


def _places(room: NDArray[Any], *at: int) -> list[Any]:
    """Addresses in one piece of memory, 8 bytes a place."""
    base = pa.py_buffer(room).address
    return [_POINTER(base + one * WORD) for one in at]
