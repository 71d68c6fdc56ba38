"""Rows put together by integer codes: which rows are one group, how often each code stands. Pure numpy, no sort where
a table of all possible codes does."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from levada.core.records import SERIES
from levada.core.vectors import Coded, coded, ranks_of

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

DIGIT = 16
"""Bits of one pass: numpy sorts 16-bit integers by radix, ten times as fast as wider ones by comparison."""
SPARSE = 24
"""A table of all possible codes is used while it has at most so many places per row."""
DENSE = 8
"""Counting needs another pass over the table, so that it pays while there are at most so many places per row."""
SMALL = 4096
"""And always up to so many places."""
MAX_BOUND = 1 << 62


def stable_order(codes: Ints, bound: int) -> Ints:
    """Order of n codes in ``[0, bound)``; equal codes keep their order. Radix sort, least significant digit first."""
    order: Ints | None = None
    shift = 0
    while (bound - 1) >> shift > 0 or order is None:
        digits = (codes >> shift if shift else codes).astype(np.uint16)  # the lowest 16 bits are left
        step = np.argsort(digits if order is None else digits[order], kind="stable")
        order = step if order is None else order[step]
        shift += DIGIT
    return order


def heads_of(codes: Ints) -> Ints:
    """Where in n sorted codes another one begins."""
    new = np.ones(len(codes), bool)
    new[1:] = codes[1:] != codes[:-1]
    return np.flatnonzero(new)


def dense(codes: Ints, bound: int) -> tuple[Ints, int]:
    """(group of each of n codes in ``[0, bound)``, how many groups); groups are numbered in order of their codes."""
    if bound <= max(SMALL, SPARSE * len(codes)):
        there = np.zeros(bound, bool)
        there[codes] = True
        number = np.cumsum(there) - 1
        return number[codes], int(number[-1]) + 1 if bound else 0
    order = stable_order(codes, bound)
    ordered = codes[order]
    number = np.zeros(len(codes), np.int64)
    number[1:] = np.cumsum(ordered[1:] != ordered[:-1])
    group = np.empty(len(codes), np.int64)
    group[order] = number
    return group, int(number[-1]) + 1 if len(codes) else 0


def tally(codes: Ints, bound: int, weights: Ints | None = None) -> tuple[Ints, Ints]:
    """(distinct codes ascending, how often each stands or the sum of its weights), of n codes in ``[0, bound)``."""
    if bound <= DENSE * len(codes):
        if weights is None:
            counts = np.bincount(codes, minlength=1)
        else:
            counts = np.zeros(bound, np.int64)
            np.add.at(counts, codes, weights)
        there = np.flatnonzero(counts)
        return there, counts[there]
    order = stable_order(codes, bound)
    ordered = codes[order]
    heads = heads_of(ordered)
    if weights is None:
        return ordered[heads], np.diff(heads, append=len(codes))
    return ordered[heads], np.add.reduceat(weights[order], heads) if len(codes) else weights


def series_codes(table: pa.Table) -> tuple[Ints, int]:
    """(n codes, their bound): equal for equal series, in the order of their names."""
    return codes_of_series(text_columns([table], SERIES), table.num_rows)


def codes_of_series(texts: dict[str, Coded], n: int) -> tuple[Ints, int]:
    """(n codes, their bound): equal for equal series, in the order of their names.

    Args:
        texts: the columns of SERIES.
    """
    several = [texts[name] for name in SERIES if len(texts[name].dictionary) > 1]
    if not several:
        return np.zeros(n, np.int64), 1
    code, bound = ranks_of(several[0]).astype(np.int64), len(several[0].dictionary) + 1
    for text in several[1:]:
        code, bound = combine(code, bound, ranks_of(text), len(text.dictionary) + 1)
    return code, bound


def combine(code: Ints, bound: int, further: NDArray[Any], size: int) -> tuple[Ints, int]:
    """Codes of pairs, ordered by the first and then the second; renumbered when they would not fit into 62 bits."""
    if bound * size > MAX_BOUND:
        found, code = np.unique(code, return_inverse=True)
        bound = len(found)
    if bound * size > MAX_BOUND:
        found, further = np.unique(further, return_inverse=True)
        size = len(found)
    if bound == 1:
        return further.astype(np.int64), size
    return code * size + further, bound * size


def text_columns(tables: list[pa.Table], names: tuple[str, ...]) -> dict[str, Coded]:
    """These text columns of all tables, one below the other."""
    return {name: coded([table[name] for table in tables]) for name in names}
