"""Window partials as bytes, for a state that is written at every batch: numpy columns, each as narrow as it goes.

``<length of the packed part><length of it compressed><LZ4 of one MessagePack array><floats>``, lengths of 4 bytes. What
is equal in all rows is written once, integers as their distance from the lowest in as few bytes as that takes, a text
as its place in a dictionary that rows use at least half of. Floats stay as they are: no codec finds much in them.
A third of what an Arrow stream under zstd costs to write, and half to read. Gold and readers have Arrow.
"""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from levada.core.bins import Bins
from levada.core.errors import ConfigError
from levada.core.parts import NUMBERS, TEXTS, Parts
from levada.core.vectors import Coded

VERSION = 1
UNSIGNED = ((0xFF, np.dtype("u1")), (0xFFFF, np.dtype("<u2")), (0xFFFF_FFFF, np.dtype("<u4")))
WIDE = np.dtype("<i8")
FLOAT = np.dtype("<f8")
HEAD = 8
_CODEC = pa.Codec("lz4")
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder().decode

Column = tuple[str, int, Any]
"""(dtype, lowest, bytes) of integers, without a dtype where all are the lowest; ("=", 0, the float) where all are that
one; ("f", 0, nothing) for n floats behind the packed part."""


def to_bytes(parts: Parts) -> bytes:
    """n partials; ``of_bytes`` reads them."""
    floats: list[Any] = []
    numbers = [_column(parts.numbers[name], floats) for name in NUMBERS]
    texts = [_text(parts.texts[name]) for name in TEXTS]
    lists = parts.bins
    binned = [len(lists.keys), *(_integers(values) for values in (lists.lengths, lists.keys, lists.counts))]
    sketches = None if parts.sketches.null_count == len(parts) else parts.sketches.to_pylist()
    packed = _encode((VERSION, len(parts), numbers, texts, binned, sketches))
    body = _CODEC.compress(packed, asbytes=True)
    return b"".join((len(packed).to_bytes(4, "little"), len(body).to_bytes(4, "little"), body, *floats))


def of_bytes(data: bytes | memoryview) -> Parts:
    """What ``to_bytes`` wrote. Raises ConfigError for what a later version wrote."""
    data = memoryview(data)
    size, end = int.from_bytes(data[:4], "little"), HEAD + int.from_bytes(data[4:HEAD], "little")
    version, *rest = _decode(_CODEC.decompress(data[HEAD:end], size))
    if version != VERSION:
        raise ConfigError(f"partials v={version!r}: this version reads {VERSION}; empty the place or run the old one")
    n, numbers, texts, (m, *binned), sketches = rest
    values: dict[str, NDArray[Any]] = {}
    for name, (kind, low, body) in zip(NUMBERS, numbers, strict=True):
        if kind == "f":
            values[name] = np.frombuffer(data, FLOAT, n, end).copy()  # aligned, as Arrow wants it
            end += n * FLOAT.itemsize
        else:
            values[name] = np.full(n, body, FLOAT) if kind == "=" else _whole(n, kind, low, body)
    lists = (_whole(size, *column) for size, column in zip((n, m, m), binned, strict=True))
    coded = {name: _coded(n, *text) for name, text in zip(TEXTS, texts, strict=True)}
    return Parts(values, coded, Bins(*lists), pa.array(sketches or [None] * n, pa.binary()))


def _column(values: NDArray[Any], floats: list[Any]) -> Column:
    if values.dtype.kind != "f":
        return _integers(values)
    if len(values) and values[0] == values[-1] and (values == values[0]).all():
        return ("=", 0, float(values[0]))
    floats.append(np.ascontiguousarray(values, FLOAT).data)
    return ("f", 0, b"")


def _integers(values: NDArray[Any]) -> Column:
    if not len(values):
        return ("", 0, b"")
    low, high = int(values.min()), int(values.max())
    if low == high:
        return ("", low, b"")
    for most, kind in UNSIGNED:
        if high - low <= most:
            return (kind.str, low, np.subtract(values, low, dtype=WIDE).astype(kind).data)
    return (WIDE.str, 0, np.ascontiguousarray(values, WIDE).data)


def _whole(n: int, kind: str, low: int, body: bytes) -> NDArray[Any]:
    """n int64."""
    if not kind:
        return np.full(n, low, WIDE)
    values = np.frombuffer(body, kind, n)
    found = values.astype(WIDE)
    return found + low if low else found


def _text(text: Coded) -> tuple[Column, int, Any, Any]:
    """(codes, how many texts, where each ends, characters of all)"""
    codes, texts = text.codes, text.dictionary
    if len(texts) > 1:
        used = np.zeros(len(texts) + 1, bool)  # the last is that of code -1
        used[codes] = True
        if 2 * np.count_nonzero(used[:-1]) < len(texts):
            codes = np.append(np.cumsum(used[:-1]) - 1, -1)[codes]
            texts = texts.take(pa.array(np.flatnonzero(used[:-1])))
    if not len(texts):
        return _integers(codes), 0, b"", b""
    _, places, characters = texts.buffers()
    ends = np.frombuffer(places, np.int32, len(texts) + 1, texts.offset * 4)
    body = memoryview(characters)[int(ends[0]) : int(ends[-1])] if characters else b""
    return _integers(codes), len(texts), (ends - ends[0]).data, body


def _coded(n: int, codes: Column, size: int, ends: bytes, characters: bytes) -> Coded:
    if not size:
        return Coded(np.full(n, -1, np.int32), pa.array([], pa.string()))
    texts = pa.StringArray.from_buffers(size, pa.py_buffer(ends), pa.py_buffer(characters))
    return Coded(_whole(n, *codes).astype(np.int32), texts)
