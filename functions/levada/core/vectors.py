"""Arrow columns as numpy arrays and back, without copies and without pandas (whose import costs 150 ms)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import accumulate, pairwise
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from levada.core.native import texts as kernels

_DTYPES: dict[pa.DataType, Any] = {
    pa.int8(): np.int8,
    pa.uint8(): np.uint8,
    pa.int16(): np.int16,
    pa.int32(): np.int32,
    pa.int64(): np.int64,
    pa.float64(): np.float64,
}
NO_TIME = np.iinfo(np.int64).min
"""Stands for "no time" in numpy columns of microseconds."""


def flat(column: pa.ChunkedArray | pa.Array) -> Any:
    """The column as one array; without a copy where it is one already."""
    if isinstance(column, pa.Array):
        return column
    if column.num_chunks == 1:
        return column.chunk(0)
    return pa.concat_arrays(column.unify_dictionaries().chunks) if column.num_chunks else pa.array([], column.type)


def to_numpy(column: pa.ChunkedArray | pa.Array) -> NDArray[Any]:
    """n numbers (timestamps as int64); nulls become NaN in floats, NO_TIME in timestamps; others must have none."""
    array = flat(column)
    kind = array.type
    if pa.types.is_timestamp(kind):
        if array.null_count:
            array = array.cast(pa.int64()).fill_null(int(NO_TIME))
        kind = pa.int64()
    elif array.null_count:
        array = array.fill_null(float("nan"))
    dtype = np.dtype(_DTYPES[kind])
    if not len(array):
        return np.empty(0, dtype)
    return np.frombuffer(array.buffers()[1], dtype, len(array), array.offset * dtype.itemsize)


def to_arrow(values: NDArray[Any], kind: pa.DataType) -> pa.Array:
    """n numbers; NaN becomes null in floats, NO_TIME becomes null in timestamps."""
    storage = pa.int64() if pa.types.is_timestamp(kind) else kind
    plain = np.ascontiguousarray(values, _DTYPES[storage])
    missing = None
    if storage is not kind:
        missing = plain == NO_TIME
    elif pa.types.is_floating(kind):
        missing = np.isnan(plain)
    if missing is None or not missing.any():
        return pa.Array.from_buffers(kind, len(plain), [None, pa.py_buffer(plain)])
    valid = np.packbits(~missing, bitorder="little")
    return pa.Array.from_buffers(kind, len(plain), [pa.py_buffer(valid), pa.py_buffer(plain)])


FEW = 512
"""So many texts are put together sooner by Python than by Arrow's kernels."""
SHORT = 64
"""And so many compared, for a kernel's call costs as much."""


class Coded(NamedTuple):
    """A text column: n codes (-1 for null) and what they stand for, each text once. (Made some hundred times a batch:
    a tuple is made in a third of a frozen dataclass' time.)"""

    codes: NDArray[np.int32]
    dictionary: pa.Array
    same: bool = False
    """All codes are 0, and nobody writes to them: most parts of most series' names are the same in all rows."""
    ascending: bool = False
    """The dictionary is known to be in ascending order."""

    @classmethod
    def constant(cls, n: int, dictionary: pa.Array) -> Coded:
        """n times the only text."""
        return cls(_zeros(n), dictionary, True, True)

    def take(self, at: NDArray[Any]) -> Coded:
        """The texts at these places."""
        if self.same:
            return self.constant(len(at), self.dictionary)
        return Coded(self.codes[at], self.dictionary, ascending=self.ascending)

    def array(self) -> pa.DictionaryArray:
        """As Arrow has them."""
        return arrays({"": self})[""]


def taken(columns: Mapping[str, Coded], at: NDArray[Any] | slice, n: int) -> dict[str, Coded]:
    """Of each column the texts at these n places."""
    zeros = _zeros(n)
    return {
        name: Coded(zeros, one.dictionary, True, True)
        if one.same
        else Coded(one.codes[at], one.dictionary, False, one.ascending)
        for name, one in columns.items()
    }


def arrays(columns: Mapping[str, Coded]) -> dict[str, pa.DictionaryArray]:
    """Columns of equally many texts as Arrow has them."""
    found, zeros = {}, None
    for name, one in columns.items():
        if not one.same:
            indices = _indices(one.codes)
        elif zeros is None:
            indices = zeros = _indices(one.codes, valid=True)
        else:
            indices = zeros
        found[name] = pa.DictionaryArray.from_arrays(indices, one.dictionary, safe=False)
    return found


def _indices(codes: NDArray[np.int32], *, valid: bool = False) -> pa.Array:
    """Of codes, -1 for null; valid: there is none of these."""
    codes, mask = np.ascontiguousarray(codes, np.int32), None
    if not valid and (absent := codes < 0).any():
        codes = np.where(absent, np.int32(0), codes)
        mask = pa.py_buffer(np.packbits(~absent, bitorder="little"))
    return pa.Array.from_buffers(_INDEX, len(codes), [mask, pa.py_buffer(codes)])


_INDEX = pa.int32()
_shared = [np.zeros(0, np.int32)]


def _zeros(n: int) -> NDArray[np.int32]:
    """n zeros that all columns share."""
    if len(_shared[0]) < n:
        _shared[0] = np.zeros(max(n, 1 << 14), np.int32)
        _shared[0].flags.writeable = False
    return _shared[0][:n]


def joined(columns: Sequence[Mapping[str, Coded]]) -> dict[str, Coded]:
    """The same text columns of several (at least one), one below the other; equal texts have equal codes."""
    known: dict[tuple[int, ...], _Union | None] = {}  # columns of one table often share a dictionary
    out = {}
    for name in columns[0]:
        texts = [one[name] for one in columns]
        which = tuple(id(one.dictionary) for one in texts)
        if which not in known:
            known[which] = _union(texts)
        found = known[which]
        out[name] = coded([one.array() for one in texts]) if found is None else found.below(texts)
    return out


class _Union(NamedTuple):
    """Texts of several dictionaries."""

    dictionary: pa.Array
    ascending: bool
    places: Sequence[NDArray[np.int32]] | None
    """Of each dictionary what its codes become, and last that of code -1; None where all are the same already."""

    def below(self, texts: Sequence[Coded]) -> Coded:
        """Columns of these dictionaries, one below the other."""
        codes = [one.codes for one in texts]
        if self.places is None:
            if all(one.same for one in texts):
                return Coded.constant(sum(map(len, codes)), self.dictionary)
            return Coded(np.concatenate(codes), self.dictionary, ascending=self.ascending)
        found = [place[some] for place, some in zip(self.places, codes, strict=True)]
        return Coded(np.concatenate(found), self.dictionary, ascending=self.ascending)


def _union(texts: Sequence[Coded]) -> _Union | None:
    """None where there are too many texts for Python."""
    first, ascending = texts[0].dictionary, all(one.ascending for one in texts)
    some = [one.dictionary for one in texts]
    if all(one is first or one.equals(first) for one in some[1:]):
        return _Union(first, texts[0].ascending, None)
    if sum(map(len, some)) > FEW:
        return None
    if ascending and all(map(len, some)) and all(a[-1].as_py() < b[0].as_py() for a, b in pairwise(some)):
        ends = accumulate(map(len, some), initial=0)
        return _Union(pa.concat_arrays(some), True, [_counted(start, end) for start, end in pairwise(ends)])
    places: dict[str, int] = {}
    found = [[places.setdefault(text, len(places)) for text in one.to_pylist()] for one in some]
    known = list(places)
    ascending = all(a < b for a, b in pairwise(known))
    return _Union(pa.array(known, pa.string()), ascending, [np.array([*place, -1], np.int32) for place in found])


def _counted(start: int, end: int) -> NDArray[np.int32]:
    """From start to end - 1, and -1."""
    found = np.arange(start, end + 1, dtype=np.int32)
    found[-1] = -1
    return found


def coded(columns: Sequence[pa.ChunkedArray | pa.Array]) -> Coded:
    """Text columns, one below the other, with codes that are equal for equal texts."""
    if len(columns) == 1 and (only := _constant(columns[0])) is not None:
        return only
    chunks = [chunk for column in columns for chunk in ([column] if isinstance(column, pa.Array) else column.chunks)]
    chunks = [_encoded(chunk) for chunk in chunks]
    if not chunks:
        return Coded(np.empty(0, np.int32), pa.array([], pa.string()))
    first = chunks[0].dictionary
    if any(chunk.dictionary is not first and not chunk.dictionary.equals(first) for chunk in chunks[1:]):
        chunks = pa.chunked_array(chunks).unify_dictionaries().chunks
        first = chunks[0].dictionary
    if len(first) == 1 and not any(chunk.null_count for chunk in chunks):
        return Coded.constant(sum(len(chunk) for chunk in chunks), first)
    found = [_codes(chunk.indices) for chunk in chunks]
    codes = found[0] if len(found) == 1 else np.concatenate(found)
    if is_ascending(first):
        return Coded(codes, first, ascending=True)
    encoded = first.dictionary_encode()
    if len(encoded.dictionary) < len(first):  # a text stands twice
        places = to_numpy(encoded.indices)
        return Coded(np.where(codes < 0, -1, places[codes]).astype(np.int32), encoded.dictionary)
    return Coded(codes, first)


def _constant(column: pa.ChunkedArray | pa.Array) -> Coded | None:
    """A column that has one text in all rows, as most have; None for any other."""
    if isinstance(column, pa.ChunkedArray):
        if column.num_chunks != 1:
            return None
        column = column.chunk(0)
    if not isinstance(column, pa.DictionaryArray) or column.null_count:
        return None
    texts = column.dictionary
    return Coded.constant(len(column), texts) if len(texts) == 1 and not texts.null_count else None


def is_ascending(texts: pa.Array) -> bool:
    """Is each more than the one before? Without nulls."""
    n = len(texts)
    if n <= SHORT:
        return all(a < b for a, b in pairwise(texts.to_pylist()))
    if (found := kernels.ascending(texts)) is not None:
        return found
    return bool(pc.all(pc.less(texts.slice(0, n - 1), texts.slice(1))).as_py())


def _encoded(chunk: pa.Array) -> pa.DictionaryArray:
    """With nulls among the codes only: Arrow allows them in a dictionary too."""
    if not isinstance(chunk, pa.DictionaryArray):
        return chunk.dictionary_encode()
    return chunk.cast(pa.string()).dictionary_encode() if chunk.dictionary.null_count else chunk


def _codes(indices: pa.Array) -> NDArray[np.int32]:
    if indices.null_count:
        indices = indices.fill_null(-1)
    return to_numpy(indices).astype(np.int32, copy=False)


def ranks_of(texts: Coded) -> NDArray[Any]:
    """n int32: the place of each text among the distinct texts in ascending order, from 1 on; nulls rank 0."""
    if texts.ascending or is_ascending(texts.dictionary):
        return texts.codes + 1
    n = len(texts.dictionary)
    order = to_numpy(pc.sort_indices(texts.dictionary).cast(pa.int64()))
    place = np.zeros(n + 1, np.int32)  # the last is that of code -1
    place[order] = np.arange(1, n + 1, dtype=np.int32)
    found: NDArray[Any] = place[texts.codes]
    return found


def codes(column: pa.ChunkedArray | pa.Array) -> tuple[NDArray[Any], pa.Array]:
    """(n int32 codes, dictionary) of a text column; equal texts have equal codes, null is -1."""
    found = coded([column])
    return found.codes, found.dictionary


def ranks(column: pa.ChunkedArray | pa.Array) -> NDArray[Any]:
    """As ``ranks_of``, of a column."""
    return ranks_of(coded([column]))
