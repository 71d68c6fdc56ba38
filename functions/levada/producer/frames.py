"""Frames of a segment: magic, length, checksum, then one message. Half a frame at the end is a write that was cut off.

``LVS1 <length: u32> <crc32 of the message: u32> <message: MessagePack>``, big-endian.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from typing import Any

import msgspec

from levada.producer.errors import SpoolDamagedError

MAGIC = b"LVS1"
_HEAD = struct.Struct(">4sII")
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder().decode


def frame(message: dict[str, Any]) -> bytes:
    body = _encode(message)
    return _HEAD.pack(MAGIC, len(body), zlib.crc32(body)) + body


def message_of(data: bytes) -> dict[str, Any]:
    """The message of one whole frame."""
    found: dict[str, Any] = _decode(data[_HEAD.size :])
    return found


def scan(name: str, data: bytes) -> Iterator[tuple[int, int, dict[str, Any]]]:
    """(offset, size, message) of each frame of a segment, up to its end or to half a frame at its end.

    Raises SpoolDamagedError when a whole frame stands behind one that is broken: then bytes were changed, not cut off.
    """
    at = 0
    while size := _whole(data, at):
        yield at, size, message_of(data[at : at + size])
        at += size
    behind = data.find(MAGIC, at + 1)
    while behind >= 0:
        if _whole(data, behind):
            raise SpoolDamagedError(
                f"{name}: bytes {at} to {behind} are not what was written; move the whole spool folder away to begin "
                "with an empty one (never a part of it: positions must not be given out twice)"
            )
        behind = data.find(MAGIC, behind + 1)


def _whole(data: bytes, at: int) -> int:
    """Size of the whole and sound frame at this place; 0 when there is none."""
    if len(data) < at + _HEAD.size:
        return 0
    magic, length, check = _HEAD.unpack_from(data, at)
    end = at + _HEAD.size + length
    if magic != MAGIC or len(data) < end or zlib.crc32(memoryview(data)[at + _HEAD.size : end]) != check:
        return 0
    return _HEAD.size + int(length)
