"""The frames of an Arrow IPC stream, looked at before anything is made of them.

Format: Arrow columnar format, "Encapsulated message format"; Message.fbs and Schema.fbs of Arrow 25 for the tables.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from levada.core.errors import BadRecordError

CONTINUED = 0xFFFFFFFF
SCHEMA, DICTIONARY_BATCH, RECORD_BATCH = 1, 2, 3
"""Message headers. The last two have a body; field 3 of a record batch is how that is compressed."""
ALIGNMENT = 8
_FRAME = struct.Struct("<Ii")
_U16, _I32, _U32, _I64 = struct.Struct("<H"), struct.Struct("<i"), struct.Struct("<I"), struct.Struct("<q")
_FIELDS = 4
"""Of a table: no later one is looked at."""
_OFFSETS = [struct.Struct(f"<{n}H") for n in range(_FIELDS + 1)]
_ABSENT = [(0,) * (_FIELDS - n) for n in range(_FIELDS + 1)]


@dataclass(slots=True)
class Frames:
    """What the messages of one stream say of themselves."""

    schema: int = 0
    """Where the schema's message ends."""
    end: int = 0
    """Where the last message ends; the mark of the stream's end may follow."""
    rows: int = 0
    """Of all record batches."""
    dictionaries: tuple[int, ...] = ()
    """Ids of the dictionaries, in order."""
    compressed: bool = False
    """Does a message compress its own body? A few bytes of such a body may say that they inflate to any size."""
    plain: bool = True
    """One schema, then whole dictionaries, then record batches, all in full and aligned: what stands behind the schema
    means the same behind an equal schema of another stream that has the same dictionaries."""


def frames(raw: bytes) -> Frames:
    """Raises BadRecordError ``body_corrupt`` for what is no stream of messages."""
    try:
        return _frames(raw)
    except (struct.error, IndexError) as err:
        raise BadRecordError("body_corrupt", f"arrow: no stream of messages: {err}") from err


def _frames(raw: bytes) -> Frames:
    out, size = Frames(), len(raw)
    at = last = 0
    while at < size:
        mark, length = _FRAME.unpack_from(raw, at)
        if mark != CONTINUED or length < 0:
            raise BadRecordError("body_corrupt", "arrow: a message does not begin as those of Arrow 0.15 and later do")
        if not length:  # the end of the stream
            break
        _, kind_at, header, body_at = _fields(raw, at + 8)
        kind = raw[kind_at] if kind_at else 0
        if kind in (DICTIONARY_BATCH, RECORD_BATCH) and header:
            _look_at_batch(raw, kind, header, out)
        body = _I64.unpack_from(raw, body_at)[0] if body_at else 0
        if body < 0:
            raise BadRecordError("body_corrupt", f"arrow: a message body of {body} bytes")
        at += 8 + length + body
        in_order = kind in (max(last, DICTIONARY_BATCH), RECORD_BATCH) if last else kind == SCHEMA
        if not in_order or (length | body) % ALIGNMENT:
            out.plain = False
        last, out.schema = kind, out.schema or at
    out.end = at
    out.plain = out.plain and at <= size
    return out


def _look_at_batch(raw: bytes, kind: int, header: int, out: Frames) -> None:
    batch = _fields(raw, header)
    if kind == DICTIONARY_BATCH:
        number, data, delta, _ = batch
        out.dictionaries += (_I64.unpack_from(raw, number)[0] if number else 0,)
        if delta and raw[delta]:
            out.plain = False
        batch = _fields(raw, data) if data else batch
    elif batch[0]:
        out.rows += _I64.unpack_from(raw, batch[0])[0]
    if batch[3]:
        out.compressed = True


def _fields(raw: bytes, at: int) -> tuple[int, int, int, int]:
    """Where the table that the offset at this place leads to has its first fields; 0 for those that it has not."""
    table = at + _U32.unpack_from(raw, at)[0]
    entries = table - _I32.unpack_from(raw, table)[0]
    if entries < 0:
        raise IndexError("a table's entries stand before the stream")
    n = min(_FIELDS, max(0, (_U16.unpack_from(raw, entries)[0] - 4) // 2))
    a, b, c, d = _OFFSETS[n].unpack_from(raw, entries + 4) + _ABSENT[n]
    return a and table + a, b and table + b, c and table + c, d and table + d
