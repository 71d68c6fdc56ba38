"""Columns of whole numbers to few bytes and back by the compiled kernels: all columns in one call."""

from __future__ import annotations

import ctypes
from array import array
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from levada.core.native.addresses import INT32, INT64, address, kernel, ready
from levada.core.packed import SIZES, Column, Widened

_KINDS = {size: kind for kind, size in SIZES.items()}
_GIVEN, _PACKED = 3, 3
"""Numbers that the kernels have of a column: given_t, packed_t."""


def narrowed(library: ctypes.CDLL, columns: Sequence[NDArray[Any]]) -> list[Column]:
    """As ``narrow.narrowed``."""
    k = len(columns)
    given = array("q")
    columns = [ready(values, INT32 if values.itemsize == INT32.itemsize else INT64) for values in columns]
    for values in columns:
        given.extend((address(values), len(values), values.itemsize))
    found = array("q", bytes(8 * _PACKED * k))
    out = np.empty(sum(values.nbytes for values in columns), np.uint8)
    kernel(library, "levada_narrow", "nppp")(k, given.buffer_info()[0], found.buffer_info()[0], address(out))
    view = out.data
    packed = zip(found[::_PACKED], found[1::_PACKED], found[2::_PACKED], given[1::_GIVEN], strict=True)
    return [(_KINDS[size], low, view[start : start + size * n]) for low, size, start, n in packed]


def widened(library: ctypes.CDLL, columns: Sequence[Column], lengths: Sequence[int], wide: int) -> Widened:
    """As ``narrow.widened``."""
    k = len(columns)
    bodies = (ctypes.c_char_p * k)(*[body for _, _, body in columns])
    about = array("q")
    for (kind, low, body), n in zip(columns, lengths, strict=True):
        about.extend((n, len(body), low, SIZES[kind]))
    large, small = np.empty(sum(lengths[:wide]), INT64), np.empty(sum(lengths[wide:]), INT32)
    given = (k, wide, bodies, about.buffer_info()[0], address(large), address(small))
    if wrong := kernel(library, "levada_widen", "nnpppp")(*given):
        kind, _, body = columns[wrong - 1]
        raise ValueError(f"column {kind!r}: {len(body)} bytes are not {lengths[wrong - 1]} numbers")
    return large, small


def gap(library: ctypes.CDLL, keys: NDArray[np.int64]) -> tuple[int, int]:
    """As ``narrow.gap_in_numpy``."""
    keys, found = ready(keys, INT64), array("q", (0, 0))
    kernel(library, "levada_gap", "npp")(len(keys), address(keys), found.buffer_info()[0])
    return found[0], found[1]


def shifted(library: ctypes.CDLL, keys: NDArray[np.int64], above: int, below: int) -> NDArray[np.int64]:
    """As ``narrow.shifted``."""
    keys, out = ready(keys, INT64), np.empty(len(keys), INT64)
    kernel(library, "levada_shift", "npnnp")(len(keys), address(keys), above, below, address(out))
    return out
