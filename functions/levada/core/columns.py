"""Arrow tables as bytes: one IPC stream under one outer zstd frame (inner compression reads 7 to 14 times slower)."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from itertools import accumulate, groupby
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from levada.core import arrowstream, packs
from levada.core.arrowstream import Frames
from levada.core.errors import BadRecordError
from levada.core.packs import ARROW_ZSTD


def to_bytes(table: pa.Table, *, level: int = packs.ZSTD_LEVEL) -> bytes:
    """n rows, any schema; dictionary columns stay dictionaries. level: of zstd."""
    if not table.num_rows:
        return _no_rows(table.schema)
    return packs.zstd(_ipc(table.combine_chunks()), level)


@cache
def _no_rows(schema: pa.Schema) -> bytes:
    return packs.zstd(_ipc(empty(schema)), packs.ZSTD_LEVEL)


def _ipc(table: pa.Table) -> pa.Buffer:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue()


def from_bytes(body: bytes, *, limit: int = packs.MAX_BODY_BYTES, full: bool = False) -> pa.Table:
    """A table that its sender wrote with ``to_bytes``.

    Args:
        limit: what the body may inflate to, bytes.
        full: look at every offset, dictionary code and character too; for senders that are not our own code, since a
            kernel that meets a wrong one reads memory that is not its own. And refuse what would take far more memory
            than the inflated body: a compressed body within, or long texts that many rows share.

    Raises:
        BadRecordError: ``body_too_large`` or ``body_corrupt``.
    """
    raw = packs.inflate(body, ARROW_ZSTD, limit=limit)
    if full:
        _frames(raw)
    table = _read(raw, full=full)
    return _unshared(table, len(raw), limit) if full else table


def from_all(bodies: Sequence[bytes], *, limit: int = packs.MAX_BODY_BYTES) -> list[pa.Table | BadRecordError]:
    """``from_bytes`` of each, in full, or what it raises. Small ones of one schema are read as one stream.

    To open a stream costs as much as to read some hundred rows, and a batch holds many streams of one producer.
    """
    out: list[pa.Table | BadRecordError] = [_NOT_READ] * len(bodies)
    groups: dict[object, list[_Stream]] = {}
    for at, body in enumerate(bodies):
        try:
            raw = packs.inflate(body, ARROW_ZSTD, limit=limit)
            one = _Stream(at, raw, _frames(raw))
        except BadRecordError as err:
            out[at] = err
            continue
        small = one.frames.plain and len(raw) <= MAX_JOINED_BYTES // 2
        groups.setdefault((raw[: one.frames.schema], one.frames.dictionaries) if small else at, []).append(one)
    for group in groups.values():
        for some in _within(group, MAX_JOINED_BYTES):
            for one, table in zip(some, _read_together(some, limit), strict=True):
                out[one.at] = table
    return out


MAX_JOINED_BYTES = 1 << 23
"""Of streams that are read as one: what they hold stands in memory twice meanwhile."""
_NOT_READ = BadRecordError("body_corrupt", "not read")


class _Stream(NamedTuple):
    at: int
    raw: bytes
    frames: Frames


def _frames(raw: bytes) -> Frames:
    found = arrowstream.frames(raw)
    if found.compressed:
        raise BadRecordError("body_corrupt", "arrow: compressed within; one zstd frame around the stream is enough")
    return found


def _read(raw: bytes, *, full: bool) -> pa.Table:
    try:
        with pa.ipc.open_stream(raw) as reader:
            table = reader.read_all()
            table.validate(full=full)
    except (pa.ArrowException, OSError, ValueError) as err:
        raise BadRecordError("body_corrupt", f"arrow: {err}") from err
    return table


def _within(group: Sequence[_Stream], limit: int) -> Iterator[list[_Stream]]:
    """In runs of so many bytes at most, or of one stream."""
    run: list[_Stream] = []
    size = 0
    for one in group:
        if run and size + len(one.raw) > limit:
            yield run
            run, size = [], 0
        run.append(one)
        size += len(one.raw)
    yield run


def _read_together(group: Sequence[_Stream], limit: int) -> list[pa.Table | BadRecordError]:
    """Streams with equal schemas and dictionaries of the same ids; each by itself when one of them is corrupt."""
    if len(group) == 1:
        return [_read_alone(group[0], limit)]
    first, *others = group
    parts = [memoryview(one.raw)[one.frames.schema : one.frames.end] for one in others]
    try:
        table = _read(b"".join((memoryview(first.raw)[: first.frames.end], *parts)), full=True)
        starts = list(accumulate((one.frames.rows for one in group), initial=0))
        if table.num_rows != starts[-1]:
            raise BadRecordError("body_corrupt", f"arrow: {table.num_rows} rows, not {starts[-1]}")
    except BadRecordError:
        return [_read_alone(one, limit) for one in group]
    found: list[pa.Table | BadRecordError] = []
    for one, start in zip(group, starts, strict=False):
        try:
            found.append(_unshared(table.slice(start, one.frames.rows), len(one.raw), limit))
        except BadRecordError as err:
            found.append(err)
    return found


def _read_alone(one: _Stream, limit: int) -> pa.Table | BadRecordError:
    try:
        return _unshared(_read(one.raw, full=True), len(one.raw), limit)
    except BadRecordError as err:
        return err


def _unshared(table: pa.Table, size: int, limit: int) -> pa.Table:
    """The table of a body of this size. Raises BadRecordError where its texts stand in it many times."""
    if size * table.num_rows > limit:
        _check_shared(table, limit)
    return table


def _check_shared(table: pa.Table, limit: int) -> None:
    """A dictionary holds a text once, but whoever decodes it once per row."""
    for name, column in zip(table.column_names, table.columns, strict=True):
        for chunk in column.chunks if pa.types.is_dictionary(column.type) else ():
            if pa.types.is_string(chunk.type.value_type) or pa.types.is_large_string(chunk.type.value_type):
                size = pc.sum(pc.binary_length(chunk.dictionary).cast(pa.int64()).take(chunk.indices)).as_py() or 0
                if size > limit:
                    raise BadRecordError("body_too_large", f"arrow: {name} decodes to {size} bytes: at most {limit}")


def empty(schema: pa.Schema) -> pa.Table:
    """A table of the schema without rows (``schema.empty_table`` has no chunk, which IPC dislikes)."""
    return pa.Table.from_batches([], schema=schema)


def constant(value: str | None, n: int) -> pa.DictionaryArray:
    """n times the same text, as a dictionary column."""
    indices = pa.nulls(n, pa.int32()) if value is None else zeros(n, pa.int32())
    return pa.DictionaryArray.from_arrays(indices, pa.array([] if value is None else [value], pa.string()))


def zeros(n: int, kind: pa.DataType) -> pa.Array:
    """n times zero, or false: made from empty bytes, ten times as fast as repeating a scalar."""
    return pa.Array.from_buffers(kind, n, [None, pa.py_buffer(bytes((n * kind.bit_width + 7) // 8))])


def empty_texts(texts: pa.Array) -> pa.Array:
    """n booleans: texts without a character; null where there is no text."""
    lengths = pc.binary_length(texts)
    return pc.equal(lengths, zeros(1, lengths.type)[0])  # of another type, it would cost a cast of all the lengths


def count_up(n: int) -> pa.Array:
    """0, 1, … n - 1 as int32."""
    return _counted(1 << max(10, n - 1).bit_length())[:n] if n <= MAX_COUNTED else _counted.__wrapped__(n)


MAX_COUNTED = 1 << 20


@cache
def _counted(n: int) -> pa.Array:
    return pc.cumulative_sum(pa.repeat(pa.scalar(1, pa.int32()), n), start=pa.scalar(-1, pa.int32()))


def all_but(n: int, gone: Iterable[int]) -> pa.Array:
    """n booleans: false at these places, true everywhere else."""
    flags = bytearray(b"\xff") * ((n + 7) // 8)
    for at in gone:
        flags[at >> 3] &= ~(1 << (at & 7))
    return pa.Array.from_buffers(pa.bool_(), n, [None, pa.py_buffer(flags)])


def to_ints(values: pa.Array) -> list[int]:
    """Of int32 without nulls: what ``to_pylist`` says, which makes an object of Arrow's for each."""
    found: memoryview[int] = memoryview(values.buffers()[1]).cast("B").cast("i")
    return found[values.offset : values.offset + len(values)].tolist()


def repeat_each(values: Sequence[int], counts: Sequence[int]) -> pa.Array:
    """values[0] counts[0] times, then values[1] counts[1] times, … as int32."""
    out = array("i")
    for value, n in zip(values, counts, strict=True):
        out.extend(array("i", (value,)) * n)
    return pa.Array.from_buffers(pa.int32(), len(out), [None, pa.py_buffer(out)])


def count_up_each(counts: Sequence[int]) -> pa.Array:
    """0, 1, … counts[0] - 1, then 0, 1, … counts[1] - 1, … as int32."""
    return pa.concat_arrays([_tiled(n, len(list(same))) for n, same in groupby(counts)] or [count_up(0)])


def _tiled(n: int, times: int) -> pa.Array:
    """``count_up(n)`` so many times: packs of one producer hold the same number of rows."""
    if times == 1:
        return count_up(n)
    one = memoryview(count_up(n).buffers()[1])[: 4 * n]
    return pa.Array.from_buffers(pa.int32(), n * times, [None, pa.py_buffer(bytes(one) * times)])


def coded(texts: pa.Array) -> pa.DictionaryArray:
    """Texts as int32 codes of distinct ones; null as the empty text.

    Args:
        texts: strings, or a dictionary of strings.
    """
    if pa.types.is_dictionary(texts.type):
        known = texts.dictionary
        plain = pa.types.is_string(known.type) and not texts.null_count and not known.null_count
        if plain and len(known.unique()) == len(known):
            return pa.DictionaryArray.from_arrays(texts.indices.cast(pa.int32()), known)
    plain = texts if pa.types.is_string(texts.type) else texts.cast(pa.string())
    return (pc.fill_null(plain, "") if plain.null_count else plain).dictionary_encode()


def compact(table: pa.Table) -> pa.Table:
    """Without dictionary entries that no row uses: filters and merges leave them behind, and they would add up."""
    for i, spec in enumerate(table.schema):
        if pa.types.is_dictionary(spec.type):
            column = table.column(i)
            chunks = column.chunks if column.num_chunks == 1 else column.unify_dictionaries().combine_chunks().chunks
            if len(chunks) == 1 and len(chunks[0].dictionary) > 1:
                indices, dictionary = chunks[0].indices, chunks[0].dictionary
                used = pc.unique(indices).drop_null()
                if len(used) < len(dictionary):
                    places = pc.index_in(indices, value_set=used.cast(indices.type))
                    found = pa.DictionaryArray.from_arrays(places, dictionary.take(used), safe=False)
                    table = table.set_column(i, spec.name, found)
    return table
