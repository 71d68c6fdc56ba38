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
from levada.core.vectors import Coded, coded, flat, joined, to_arrow, to_numpy

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
        arrays: dict[str, Any] = {name: text.array() for name, text in self.texts.items()}
        arrays |= dict(zip(("bin_keys", "bin_counts"), self.bins.to_arrow(), strict=True))
        arrays["distinct_sketch"] = self.sketches
        valued = bool(self["count"].all())  # then every window has a first and a last time
        holes = [not valued] * len(WHOLE) + np.logical_or.reduce(np.isnan(self.real), axis=1).tolist()
        rows = zip((*WHOLE, *REAL), (*self.whole, *self.real), holes, strict=True)
        for name, row, nulls in rows:
            kind, dtype = _TYPES[name]
            arrays[name] = to_arrow(row, kind) if nulls else _plain(row, kind, dtype)
        return pa.Table.from_arrays([arrays[name] for name in _TYPES], schema=PARTIAL)

    def take(self, at: Ints) -> Parts:
        """Those at these places; views where they stand in one piece."""
        if len(at) and int(at[-1]) - int(at[0]) + 1 == len(at) and (at[1:] > at[:-1]).all():
            return self._piece(int(at[0]), int(at[-1]) + 1)
        return Parts(
            self.whole[:, at],
            self.real[:, at],
            {name: text.take(at) for name, text in self.texts.items()},
            self.bins.take(at),
            self.sketches.take(pa.array(at)),
        )

    def _piece(self, start: int, end: int) -> Parts:
        return Parts(
            self.whole[:, start:end],
            self.real[:, start:end],
            {name: text.piece(start, end) for name, text in self.texts.items()},
            self.bins.piece(start, end),
            self.sketches[start:end],
        )

    def ends_us(self) -> Ints:
        """End of each window, microseconds since 1970."""
        found: Ints = self["window_start"] + self["width_s"] * 1_000_000
        return found


def _plain(values: NDArray[Any], kind: pa.DataType, dtype: Any) -> pa.Array:
    """Numbers of which none stands for null."""
    return pa.Array.from_buffers(kind, len(values), [None, pa.py_buffer(np.ascontiguousarray(values, dtype))])


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
    arrays = [table[f.name] if f.name in there or f.name not in absent else absent[f.name] for f in PARTIAL]
    alike = [array if array.type == f.type else _alike(array, f) for array, f in zip(arrays, PARTIAL, strict=True)]
    return pa.table(alike, schema=PARTIAL)


def _alike(array: pa.ChunkedArray, wanted: pa.Field) -> Any:
    return bins.wide(array) if wanted.name == "bin_counts" else array.cast(wanted.type)
