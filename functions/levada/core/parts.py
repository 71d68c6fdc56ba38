"""Window partials as numpy columns: what the kernels work on, and how it becomes an Arrow table and is made of one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from levada.core import bins, columns
from levada.core.bins import Bins
from levada.core.groups import Floats, Ints
from levada.core.records import SERIES, TEXT, TIME
from levada.core.vectors import Coded, arrays, coded, flat, joined, taken, to_arrow, to_numpy

PARTIAL = pa.schema(
    [
        *(pa.field(name, TEXT) for name in SERIES),
        pa.field("window_start", TIME),
        pa.field("width_s", pa.int32()),
        pa.field("count", pa.int64()),  # rows with a value
        pa.field("missing", pa.int64()),  # rows without
        pa.field("sum", pa.float64()),
        pa.field("min", pa.float64()),
        pa.field("max", pa.float64()),
        pa.field("mean", pa.float64()),
        pa.field("mean_low", pa.float64()),  # what is left of the mean beyond a float64's digits: see reductions.py
        pa.field("m2", pa.float64()),
        pa.field("first_time", TIME),
        pa.field("first_sequence", TEXT),  # of the raw stream, padded: breaks ties of equal times
        pa.field("first_row", pa.int32()),
        pa.field("first", pa.float64()),
        pa.field("last_time", TIME),
        pa.field("last_sequence", TEXT),
        pa.field("last_row", pa.int32()),
        pa.field("last", pa.float64()),
        pa.field("late", pa.int64()),  # rows that came after the window had closed
        pa.field("opened", TEXT),  # clean stream's sequence number that opened it, padded
        pa.field("bin_error", pa.float64()),  # relative error of the quantiles; 0 where they are not known
        pa.field("bin_keys", bins.KEYS),  # ascending: which bins hold values
        pa.field("bin_counts", bins.COUNTS),  # how many each of them holds
        pa.field("distinct_sketch", pa.binary()),  # HyperLogLog of a rollup's distinct column; null where none
    ]
)
"""One row per window of a series. Half-open ``[window_start, window_start + width_s)``, aligned to the epoch.
Without a value (count 0), min, max, mean, first, last are null and sum, m2 are 0."""

TEXTS = tuple(f.name for f in PARTIAL if f.type == TEXT)
WHOLE = (
    *("count", "missing", "late", "first_time", "first_row", "last_time", "last_row"),
    *("window_start", "width_s"),
)
REAL = ("sum", "min", "max", "mean", "mean_low", "m2", "first", "last", "bin_error")
"""Columns of whole and of real numbers, in the order that the kernels know (native/kernels.h)."""


_TYPES = {f.name: (f.type, np.int32 if f.type == pa.int32() else None) for f in PARTIAL}
"""Of each column its type, and what its numbers must be made before."""


@dataclass(frozen=True, slots=True)
class Parts:
    """n partials. Nulls are NaN in floats, NO_TIME in times, -1 in codes of texts."""

    whole: Ints
    """Columns of WHOLE: [9, n]."""
    real: Floats
    """Columns of REAL: [9, n]."""
    texts: dict[str, Coded]
    """Columns of TEXTS."""
    bins: Bins
    sketches: pa.Array
    """Column ``distinct_sketch``."""

    def __len__(self) -> int:
        return int(self.whole.shape[1])

    def __getitem__(self, name: str) -> NDArray[Any]:
        """A column of WHOLE or REAL."""
        found: NDArray[Any] = self.whole[WHOLE.index(name)] if name in WHOLE else self.real[REAL.index(name)]
        return found

    @classmethod
    def of(cls, table: pa.Table) -> Parts:
        """Of PARTIAL rows; further columns are dropped."""
        table = conform(table)
        whole = np.empty((len(WHOLE), table.num_rows), np.int64)
        real = np.empty((len(REAL), table.num_rows))
        for block, names in ((whole, WHOLE), (real, REAL)):
            for row, name in zip(block, names, strict=True):
                row[:] = to_numpy(table[name])
        return cls(
            whole,
            real,
            {name: coded([table[name]]) for name in TEXTS},
            Bins.of_arrow(table["bin_keys"], table["bin_counts"]),
            flat(table["distinct_sketch"]),
        )

    def table(self) -> pa.Table:
        """PARTIAL rows."""
        found: dict[str, Any] = {**arrays(self.texts), "distinct_sketch": self.sketches}
        found["bin_keys"], found["bin_counts"] = self.bins.to_arrow()
        valued = bool(self.whole[0].all())  # a window with values (count) has a first and a last time
        found |= _numbers(self.whole, WHOLE, [not valued] * len(WHOLE))
        found |= _numbers(self.real, REAL, np.logical_or.reduce(np.isnan(self.real), axis=1).tolist())
        return pa.Table.from_arrays([found[name] for name in _TYPES], schema=PARTIAL)

    def take(self, at: Ints) -> Parts:
        """Those at these places; views where they stand in one piece."""
        n = len(at)
        if n and int(at[-1]) - int(at[0]) + 1 == n and (at[1:] > at[:-1]).all():
            return self._piece(int(at[0]), int(at[-1]) + 1)
        texts, sketches = taken(self.texts, at, n), self.sketches.take(pa.array(at))
        return Parts(self.whole[:, at], self.real[:, at], texts, self.bins.take(at), sketches)

    def _piece(self, start: int, end: int) -> Parts:
        at = slice(start, end)
        texts = taken(self.texts, at, end - start)
        return Parts(self.whole[:, at], self.real[:, at], texts, self.bins.piece(start, end), self.sketches[at])

    def ends_us(self) -> Ints:
        """End of each window, microseconds since 1970."""
        found: Ints = self["window_start"] + self["width_s"] * 1_000_000
        return found


def _numbers(block: NDArray[Any], names: Sequence[str], holes: Sequence[bool]) -> dict[str, pa.Array]:
    """Rows of a block as columns of PARTIAL; holes: where some numbers may stand for null."""
    n = block.shape[1]
    memory = [None, pa.py_buffer(block if block.flags.c_contiguous else np.ascontiguousarray(block))]
    found = {}
    for place, (name, nulls) in enumerate(zip(names, holes, strict=True)):
        kind, dtype = _TYPES[name]
        if nulls:
            found[name] = to_arrow(block[place], kind)
        elif dtype is not None:
            found[name] = to_arrow(block[place].astype(dtype), kind)
        else:
            found[name] = pa.Array.from_buffers(kind, n, memory, 0, place * n)
    return found


def concat(parts: Sequence[Parts]) -> Parts:
    """One below the other; at least one."""
    if len(parts) == 1:
        return parts[0]
    return Parts(
        np.concatenate([one.whole for one in parts], axis=1),
        np.concatenate([one.real for one in parts], axis=1),
        joined([one.texts for one in parts]),
        Bins.concat([one.bins for one in parts]),
        pa.concat_arrays([one.sketches for one in parts]),
    )


def conform(table: pa.Table) -> pa.Table:
    """PARTIAL rows of a table that may have further columns (dropped), or lack those that an older version had not."""
    if table.schema.equals(PARTIAL):
        return table
    n = table.num_rows
    absent: dict[str, Any] = {
        "mean_low": columns.zeros(n, pa.float64()),
        "bin_error": columns.zeros(n, pa.float64()),
        **dict(zip(("bin_keys", "bin_counts"), Bins.empty(n).to_arrow(), strict=True)),
        "distinct_sketch": pa.nulls(n, pa.binary()),
    }
    there = set(table.schema.names)
    given = [table[f.name] if f.name in there or f.name not in absent else absent[f.name] for f in PARTIAL]
    alike = [array if array.type == f.type else _alike(array, f) for array, f in zip(given, PARTIAL, strict=True)]
    return pa.table(alike, schema=PARTIAL)


def _alike(array: pa.ChunkedArray, wanted: pa.Field) -> Any:
    return bins.wide(array) if wanted.name == "bin_counts" else array.cast(wanted.type)
