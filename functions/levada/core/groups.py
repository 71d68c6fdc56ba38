"""Rows put together by integer codes: stable order, where each group begins, how often each code stands. Pure numpy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from levada.core.records import SERIES
from levada.core.vectors import ranks

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

DIGIT = 16
"""Bits of one pass: numpy sorts 16-bit integers by radix, ten times as fast as wider ones by comparison."""
SPARSE = 8
"""Codes are counted in a table of all possible ones while that has at most so many places per code."""
MAX_BOUND = 1 << 62


def stable_order(codes: Ints, bound: int) -> Ints:
    """Order of n codes in ``[0, bound)``; equal codes keep their order. Radix sort, least significant digit first."""
    order: Ints | None = None
    shift = 0
    while (bound - 1) >> shift > 0 or order is None:
        digits = (codes >> shift).astype(np.uint16)  # the lowest 16 bits are left
        step = np.argsort(digits if order is None else digits[order], kind="stable")
        order = step if order is None else order[step]
        shift += DIGIT
    return order


def heads_of(codes: Ints) -> Ints:
    """Where in n sorted codes another one begins."""
    new = np.ones(len(codes), bool)
    new[1:] = codes[1:] != codes[:-1]
    return np.flatnonzero(new)


def sizes_of(heads: Ints, n: int) -> Ints:
    """Rows of each group that begins at heads, of n in all."""
    return np.diff(heads, append=n)


def tally(codes: Ints, bound: int, weights: Ints | None = None) -> tuple[Ints, Ints]:
    """(distinct codes ascending, how often each stands or the sum of its weights), of n codes in ``[0, bound)``."""
    if weights is None and bound <= SPARSE * len(codes):
        counts = np.bincount(codes, minlength=1)
        there = np.flatnonzero(counts)
        return there, counts[there]
    order = stable_order(codes, bound)
    ordered = codes[order]
    heads = heads_of(ordered)
    if weights is None:
        return ordered[heads], sizes_of(heads, len(codes))
    return ordered[heads], np.add.reduceat(weights[order], heads) if len(codes) else weights


def series_codes(table: pa.Table) -> tuple[Ints, int]:
    """(n codes, their bound): equal for equal series, in the order of their names."""
    code, bound = np.zeros(table.num_rows, np.int64), 1
    for name in SERIES:
        column = table[name]
        if column.num_chunks == 1 and pa.types.is_dictionary(column.type) and len(column.chunk(0).dictionary) == 1:
            continue
        rank = ranks(column)
        size = int(rank.max(initial=0)) + 1
        code, bound = combine(code, bound, rank, size)
    return code, bound


def combine(code: Ints, bound: int, further: NDArray[Any], size: int) -> tuple[Ints, int]:
    """Codes of pairs, ordered by the first and then the second; renumbered when they would not fit into 62 bits."""
    if bound * size > MAX_BOUND:
        found, code = np.unique(code, return_inverse=True)
        bound = len(found)
    if bound * size > MAX_BOUND:
        found, further = np.unique(further, return_inverse=True)
        size = len(found)
    return code * size + further, bound * size
