"""Arrow columns as numpy arrays and back, without copies and without pandas (whose import costs 150 ms)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

_DTYPES = {
    pa.int32(): np.int32,
    pa.int64(): np.int64,
    pa.float64(): np.float64,
    pa.uint8(): np.uint8,
}
NO_TIME = np.iinfo(np.int64).min
"""Stands for "no time" in numpy columns of microseconds."""


def to_numpy(column: pa.ChunkedArray | pa.Array) -> NDArray[Any]:
    """n numbers (timestamps as int64); nulls become NaN in floats, NO_TIME in timestamps; others must have none."""
    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    if isinstance(array, pa.ChunkedArray):  # combine_chunks of no chunks
        array = pa.concat_arrays(array.chunks or [pa.array([], array.type)])
    if pa.types.is_timestamp(array.type):
        array = array.cast(pa.int64())
        array = array.fill_null(int(NO_TIME)) if array.null_count else array
    if array.null_count:
        array = array.fill_null(float("nan"))
    dtype = np.dtype(_DTYPES[array.type])
    if not len(array):
        return np.empty(0, dtype)
    return np.frombuffer(array.buffers()[1], dtype)[array.offset : array.offset + len(array)]


def to_arrow(values: NDArray[Any], kind: pa.DataType) -> pa.Array:
    """n numbers; NaN becomes null in floats, NO_TIME becomes null in timestamps."""
    storage = pa.int64() if pa.types.is_timestamp(kind) else kind
    flat = np.ascontiguousarray(values, _DTYPES[storage])
    array = pa.Array.from_buffers(storage, len(flat), [None, pa.py_buffer(flat)])
    if pa.types.is_timestamp(kind):
        missing = pc.equal(array, int(NO_TIME))
        return pc.if_else(missing, pa.scalar(None, storage), array).cast(kind)
    if pa.types.is_floating(kind) and np.isnan(flat).any():
        return pc.if_else(pc.is_nan(array), pa.scalar(None, storage), array)
    return array


def codes(column: pa.ChunkedArray | pa.Array) -> tuple[NDArray[Any], pa.Array]:
    """(n int32 codes, dictionary) of a text column; equal texts have equal codes, null is -1."""
    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    if isinstance(array, pa.ChunkedArray):
        array = pa.concat_arrays(array.chunks or [pa.array([], array.type)])
    if not pa.types.is_dictionary(array.type):
        array = array.dictionary_encode()
    indices = array.indices.fill_null(-1) if array.indices.null_count else array.indices
    unique = array.dictionary.dictionary_encode()  # a dictionary may hold a text twice
    if len(unique.dictionary) == len(array.dictionary):
        return to_numpy(indices), array.dictionary
    index = to_numpy(indices)
    return np.where(index < 0, -1, to_numpy(unique.indices)[index]), unique.dictionary


def ranks(column: pa.ChunkedArray | pa.Array) -> NDArray[Any]:
    """n int32: the place of each text among the distinct texts in ascending order, from 1 on; nulls rank 0."""
    index, dictionary = codes(column)
    order = to_numpy(pc.sort_indices(dictionary).cast(pa.int64()))
    place = np.zeros(len(order) + 1, np.int32)  # the last is that of index -1
    place[order] = np.arange(1, len(order) + 1, dtype=np.int32)
    found: NDArray[Any] = place[index]
    return found
