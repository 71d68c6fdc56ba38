"""Window partials as bytes, for a state that is written at every batch: numpy columns, each as narrow as it goes.

``<length of the packed part><length of it compressed><LZ4 of one MessagePack array><floats>``, lengths of 4 bytes. What
is equal in all rows is written once, integers as their distance from the lowest in as few bytes as that takes, a text
as its place in a dictionary that is short, or that rows use at least half of. Keys of bins without the gap that lies
between those of negative and of positive values. Floats stay as they are: no codec finds
much in them. A third of what an Arrow stream under zstd costs to write, and half to read. Gold and readers have Arrow.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from levada.core.bins import Bins
from levada.core.errors import ConfigError
from levada.core.groups import Floats
from levada.core.narrow import closed, narrowed, shifted, widened
from levada.core.packed import Column
from levada.core.parts import REAL, TEXTS, WHOLE, Parts
from levada.core.vectors import Coded

VERSION = 3
READABLE = (2, 3)
"""Version 2 wrote the keys of bins as they are."""
FLOAT = np.dtype("<f8")
HEAD = 8
SHORT = 64
"""Dictionaries of so many texts stay as they are."""
SAME: Column = ("", 0, b"")
"""Codes of the only text, in all rows."""
_CODEC = pa.Codec("lz4", compression_level=-8)
"""A tenth to two fifths faster than LZ4 is by itself, and a thirtieth larger. Whoever reads need not know."""
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder().decode

_Texts = tuple[int, Any, Any, bool]
"""(how many texts, where each ends, characters of all, whether they ascend)"""


def to_bytes(parts: Parts) -> bytes:
    """n partials; ``of_bytes`` reads them."""
    numbers = _numbers(parts.real)
    floats = [
        np.ascontiguousarray(row, FLOAT).data for row, one in zip(parts.real, numbers, strict=True) if one is None
    ]
    known: dict[int, _Texts] = {}
    texts = [_text(parts.texts[name], known) for name in TEXTS]
    lists, coded = parts.bins, [codes for codes, _ in texts if codes is not None]
    keys, *gap = closed(lists.keys)
    columns = iter(narrowed([*parts.whole, lists.lengths, keys, lists.counts, *coded]))
    whole, binned = list(islice(columns, len(WHOLE))), [len(keys), gap, *islice(columns, 3)]
    named = [(SAME if codes is None else next(columns), *some) for codes, some in texts]
    sketches = None if parts.sketches.null_count == len(parts) else parts.sketches.to_pylist()
    packed = _encode((VERSION, len(parts), whole, numbers, named, binned, sketches))
    body = _CODEC.compress(packed, asbytes=True)
    return b"".join((len(packed).to_bytes(4, "little"), len(body).to_bytes(4, "little"), body, *floats))


def of_bytes(data: bytes | memoryview) -> Parts:
    """What ``to_bytes`` wrote. Raises ConfigError for what another version wrote."""
    data = memoryview(data)
    size, end = int.from_bytes(data[:4], "little"), HEAD + int.from_bytes(data[4:HEAD], "little")
    version, *rest = _decode(_CODEC.decompress(data[HEAD:end], size))
    if version not in READABLE:
        raise ConfigError(f"partials v={version!r}: this version reads {READABLE}; empty the place or run the old one")
    n, whole, numbers, texts, (m, *binned), sketches = rest
    above, below = binned.pop(0) if version > 2 else (0, 0)
    coded = [codes for codes, count, *_ in texts if count and not _same(codes)]
    columns, lengths = [*whole, *binned, *coded], [n] * len(WHOLE) + [n, m, m] + [n] * len(coded)
    large, small = widened(columns, lengths, len(WHOLE) + len(binned))
    real = np.empty((len(REAL), n), FLOAT)
    for row, number in zip(real, numbers, strict=True):
        row[:] = np.frombuffer(data, FLOAT, n, end) if number is None else number
        end += n * FLOAT.itemsize if number is None else 0
    at = len(WHOLE) * n
    keys = shifted(large[at + n : at + n + m], above, below)
    lists = Bins(large[at : at + n], keys, large[at + n + m :])
    kept = pa.array(sketches, pa.binary()) if sketches else pa.nulls(n, pa.binary())
    return Parts(
        large[:at].reshape(len(WHOLE), n), real, _texts(n, texts, iter(small.reshape(len(coded), n))), lists, kept
    )


def _numbers(real: Floats) -> list[float | None]:
    """Of each column the number that it is in all rows; None where there is no such."""
    if not real.shape[1]:
        return [None] * len(real)
    ends = zip(real, real[:, 0].tolist(), real[:, -1].tolist(), strict=True)
    return [first if first == last and bool((row == first).all()) else None for row, first, last in ends]


def _text(text: Coded, known: dict[int, _Texts]) -> tuple[NDArray[np.int32] | None, _Texts]:
    """(codes, None where all are 0; the texts that they stand for).

    Args:
        known: dictionaries that other columns have too, by their identity.
    """
    codes, texts = text.codes, text.dictionary
    if text.same:
        one = texts[0].as_py().encode()
        return None, (1, np.array([0, len(one)], np.int32).data, one, True)
    if len(texts) > SHORT:
        used = np.zeros(len(texts) + 1, bool)  # the last is that of code -1
        used[codes] = True
        if 2 * np.count_nonzero(used[:-1]) < len(texts):
            codes = np.append(np.cumsum(used[:-1]) - 1, -1)[codes]
            return codes, _characters(texts.take(pa.array(np.flatnonzero(used[:-1]))), text.ascending)
    if id(texts) not in known:
        known[id(texts)] = _characters(texts, text.ascending)
    return codes, known[id(texts)]


def _characters(texts: pa.Array, ascending: bool) -> _Texts:
    if not len(texts):
        return 0, b"", b"", True
    _, places, characters = texts.buffers()
    ends = np.frombuffer(places, np.int32, len(texts) + 1, texts.offset * 4)
    body = memoryview(characters)[int(ends[0]) : int(ends[-1])] if characters else b""
    return len(texts), (ends - ends[0]).data, body, ascending


def _texts(n: int, stored: list[Any], codes: Iterator[NDArray[np.int32]]) -> dict[str, Coded]:
    """Columns of n texts; one that has the same texts as the one before shares its dictionary."""
    found, last, texts = {}, (b"", b""), _array(0, b"", b"")
    for name, (column, count, ends, characters, ascending) in zip(TEXTS, stored, strict=True):
        if (ends, characters) != last:
            last, texts = (ends, characters), _array(count, ends, characters)
        if not count:
            found[name] = Coded(np.full(n, -1, np.int32), texts)
        else:
            found[name] = Coded.constant(n, texts) if _same(column) else Coded(next(codes), texts, ascending=ascending)
    return found


def _array(count: int, ends: bytes, characters: bytes) -> pa.Array:
    if not count:
        return pa.array([], pa.string())
    return pa.StringArray.from_buffers(count, pa.py_buffer(ends), pa.py_buffer(characters))


def _same(codes: Column) -> bool:
    """Are all of them 0?"""
    kind, lowest, _ = codes
    return not kind and not lowest
