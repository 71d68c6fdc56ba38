"""Window partials as bytes, for a state that is written at every batch: numpy columns, each as narrow as it goes.

``<length of the packed part><length of it compressed><LZ4 of one MessagePack array><floats>``, lengths of 4 bytes. What
is equal in all rows is written once, integers as their distance from the lowest in as few bytes as that takes, a text
as its place in a dictionary that is short, or that rows use at least half of. Floats stay as they are: no codec finds
much in them. A third of what an Arrow stream under zstd costs to write, and half to read. Gold and readers have Arrow.
"""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from levada.core.bins import Bins
from levada.core.errors import ConfigError
from levada.core.parts import REAL, TEXTS, WHOLE, Parts
from levada.core.vectors import Coded

VERSION = 2
UNSIGNED = ((0xFF, np.dtype("u1")), (0xFFFF, np.dtype("<u2")), (0xFFFF_FFFF, np.dtype("<u4")))
WIDE = np.dtype("<i8")
FLOAT = np.dtype("<f8")
HEAD = 8
SHORT = 64
"""Dictionaries of so many texts stay as they are."""
_CODEC = pa.Codec("lz4")
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder().decode

Column = tuple[str, int, Any]
"""(dtype, lowest, bytes) of integers, without a dtype where all are the lowest."""


def to_bytes(parts: Parts) -> bytes:
    """n partials; ``of_bytes`` reads them."""
    same = (parts.real == parts.real[:, :1]).all(axis=1).tolist() if len(parts) else [False] * len(REAL)
    floats = [np.ascontiguousarray(row, FLOAT).data for row, one in zip(parts.real, same, strict=True) if not one]
    numbers = [float(row[0]) if one else None for row, one in zip(parts.real, same, strict=True)]
    texts = [_text(parts.texts[name]) for name in TEXTS]
    lists = parts.bins
    binned = [len(lists.keys), *(_integers(values) for values in (lists.lengths, lists.keys, lists.counts))]
    sketches = None if parts.sketches.null_count == len(parts) else parts.sketches.to_pylist()
    packed = _encode((VERSION, len(parts), _block(parts.whole), numbers, texts, binned, sketches))
    body = _CODEC.compress(packed, asbytes=True)
    return b"".join((len(packed).to_bytes(4, "little"), len(body).to_bytes(4, "little"), body, *floats))


def of_bytes(data: bytes | memoryview) -> Parts:
    """What ``to_bytes`` wrote. Raises ConfigError for what another version wrote."""
    data = memoryview(data)
    size, end = int.from_bytes(data[:4], "little"), HEAD + int.from_bytes(data[4:HEAD], "little")
    version, *rest = _decode(_CODEC.decompress(data[HEAD:end], size))
    if version != VERSION:
        raise ConfigError(f"partials v={version!r}: this version reads {VERSION}; empty the place or run the old one")
    n, columns, numbers, texts, (m, *binned), sketches = rest
    whole, real = np.empty((len(WHOLE), n), WIDE), np.empty((len(REAL), n), FLOAT)
    for row, column in zip(whole, columns, strict=True):
        _fill(row, *column)
    for row, number in zip(real, numbers, strict=True):
        row[:] = np.frombuffer(data, FLOAT, n, end) if number is None else number
        end += n * FLOAT.itemsize if number is None else 0
    lists = [_fill(np.empty(size, WIDE), *column) for size, column in zip((n, m, m), binned, strict=True)]
    coded = {name: _coded(n, *text) for name, text in zip(TEXTS, texts, strict=True)}
    kept = pa.array(sketches, pa.binary()) if sketches else pa.nulls(n, pa.binary())
    return Parts(whole, real, coded, Bins(*lists), kept)


def _block(block: NDArray[Any]) -> list[Column]:
    """Rows of integers."""
    if not block.shape[1]:
        return [_integers(row) for row in block]
    lows, highs = block.min(axis=1), block.max(axis=1)
    known = zip(block, lows.tolist(), highs.tolist(), strict=True)
    return [_narrow(row, low, high) for row, low, high in known]


def _integers(values: NDArray[Any]) -> Column:
    return _narrow(values, int(values.min()), int(values.max())) if len(values) else ("", 0, b"")


def _narrow(values: NDArray[Any], low: int, high: int) -> Column:
    if low == high:
        return ("", low, b"")
    for most, kind in UNSIGNED:
        if high - low <= most:
            return (kind.str, low, np.subtract(values, low, dtype=WIDE).astype(kind).data)
    return (WIDE.str, 0, np.ascontiguousarray(values, WIDE).data)


def _fill(out: NDArray[Any], kind: str, low: int, body: bytes) -> NDArray[Any]:
    """Integers as ``_narrow`` wrote them."""
    if not kind:
        out[:] = low
        return out
    np.add(np.frombuffer(body, kind), low, out=out, dtype=out.dtype)
    return out


def _text(text: Coded) -> tuple[Column, int, Any, Any, bool]:
    """(codes, how many texts, where each ends, characters of all, whether they ascend)"""
    codes, texts = text.codes, text.dictionary
    if text.same:
        one = texts[0].as_py().encode()
        return ("", 0, b""), 1, np.array([0, len(one)], np.int32).data, one, True
    if len(texts) > SHORT:
        used = np.zeros(len(texts) + 1, bool)  # the last is that of code -1
        used[codes] = True
        if 2 * np.count_nonzero(used[:-1]) < len(texts):
            codes = np.append(np.cumsum(used[:-1]) - 1, -1)[codes]
            texts = texts.take(pa.array(np.flatnonzero(used[:-1])))
    if not len(texts):
        return _integers(codes), 0, b"", b"", True
    _, places, characters = texts.buffers()
    ends = np.frombuffer(places, np.int32, len(texts) + 1, texts.offset * 4)
    body = memoryview(characters)[int(ends[0]) : int(ends[-1])] if characters else b""
    return _integers(codes), len(texts), (ends - ends[0]).data, body, text.ascending


def _coded(n: int, codes: Column, size: int, ends: bytes, characters: bytes, ascending: bool) -> Coded:
    if not size:
        return Coded(np.full(n, -1, np.int32), pa.array([], pa.string()))
    texts = pa.StringArray.from_buffers(size, pa.py_buffer(ends), pa.py_buffer(characters))
    kind, low, _ = codes
    if not kind and not low:
        return Coded.constant(n, texts)
    return Coded(_fill(np.empty(n, np.int32), *codes), texts, ascending=ascending)
