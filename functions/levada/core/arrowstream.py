"""The frames of an Arrow IPC stream, looked at before anything is made of them.

Format: Arrow columnar format, "Encapsulated message format"; Message.fbs and Schema.fbs of Arrow 25 for the tables.
"""

from __future__ import annotations

import struct

from levada.core.errors import BadRecordError

CONTINUED = 0xFFFFFFFF
DICTIONARY_BATCH, RECORD_BATCH = 2, 3
"""Message headers that have a body; field 3 of a record batch is how that is compressed."""
_FRAME = struct.Struct("<Ii")
_U16, _I32, _U32, _I64 = struct.Struct("<H"), struct.Struct("<i"), struct.Struct("<I"), struct.Struct("<q")


def is_compressed(raw: bytes) -> bool:
    """Does a message compress its own body? A few bytes of such a body may say that they inflate to any size.

    Raises BadRecordError ``body_corrupt`` for what is no stream of messages.
    """
    try:
        return _any_compressed(raw)
    except (struct.error, IndexError) as err:
        raise BadRecordError("body_corrupt", f"arrow: no stream of messages: {err}") from err


def _any_compressed(raw: bytes) -> bool:
    at, end = 0, len(raw)
    while at < end:
        mark, size = _FRAME.unpack_from(raw, at)
        if mark != CONTINUED or size < 0:
            raise BadRecordError("body_corrupt", "arrow: a message does not begin as those of Arrow 0.15 and later do")
        if not size:  # the end of the stream
            return False
        message = _table(raw, at + 8)
        kind = raw[_field(raw, message, 1)] if _field(raw, message, 1) else 0
        header = _field(raw, message, 2)
        if kind in (DICTIONARY_BATCH, RECORD_BATCH) and header:
            batch = _table(raw, header)
            if kind == DICTIONARY_BATCH:
                data = _field(raw, batch, 1)
                batch = _table(raw, data) if data else batch
            if _field(raw, batch, 3):
                return True
        length = _field(raw, message, 3)
        body = _I64.unpack_from(raw, length)[0] if length else 0
        if body < 0:
            raise BadRecordError("body_corrupt", f"arrow: a message body of {body} bytes")
        at += 8 + size + body
    return False


def _table(raw: bytes, at: int) -> int:
    """Where the table begins that stands at this offset."""
    return at + int(_U32.unpack_from(raw, at)[0])


def _field(raw: bytes, table: int, number: int) -> int:
    """Where the table has its field of that number; 0 where it has none."""
    entries = table - int(_I32.unpack_from(raw, table)[0])
    if entries < 0:
        raise IndexError("a table's entries stand before the stream")
    place = 4 + 2 * number
    if place >= _U16.unpack_from(raw, entries)[0]:
        return 0
    offset = int(_U16.unpack_from(raw, entries + place)[0])
    return table + offset if offset else 0
