"""A text stream cut into blocks of whole lines: the same cuts on every attempt, in constant memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

MAX_LINE_BYTES = 256 * 1024
"""A longer line is no reading: it is refused with its beginning. So a row always fits into a pack."""


class Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...


@dataclass(frozen=True, slots=True)
class Block:
    """Bytes ``[start, end)`` of the stream: whole lines, or the beginning of one line that is too long."""

    start: int
    end: int
    data: bytes
    too_long: bool = False
    """One line of more than MAX_LINE_BYTES; ``data`` is its beginning."""


def blocks(stream: Readable, *, start: int, block_bytes: int) -> Iterator[Block]:
    """Cut what the stream still holds.

    Args:
        stream: stands at offset ``start`` of the whole, which is the beginning of a line.
        block_bytes: a block ends at the last line end within so many bytes, or at the first one behind them. Where it
            ends depends on nothing else, so that every attempt makes the same blocks.
    """
    source = _Source(stream)
    while source.fill(block_bytes):
        cut = source.buffer.rfind(b"\n", 0, block_bytes) + 1
        if not cut:
            source.fill(max(block_bytes, MAX_LINE_BYTES + 1))
            cut = source.buffer.find(b"\n", 0, MAX_LINE_BYTES + 1) + 1
        if not cut and len(source.buffer) <= MAX_LINE_BYTES:
            cut = len(source.buffer)  # the last line, without a line end
        cut = _before_long_line(source.buffer, cut)
        if cut:
            data, too_long, size = source.take(cut), False, cut
        else:
            data, too_long, size = source.buffer[:MAX_LINE_BYTES], True, source.skip_line()
        yield Block(start, start + size, data, too_long)
        start += size


def _before_long_line(data: bytes, end: int) -> int:
    """Where in ``data[:end]`` the first line that is too long begins; end when there is none."""
    at = 0
    while end - at > MAX_LINE_BYTES:
        after = data.rfind(b"\n", at, at + MAX_LINE_BYTES + 1) + 1
        if not after:
            return at
        at = after
    return end


class _Source:
    """A stream and what has been read of it ahead of the cuts."""

    def __init__(self, stream: Readable) -> None:
        self._stream = stream
        self._ended = False
        self.buffer = b""

    def fill(self, size: int) -> bool:
        """Read until the buffer holds size bytes or the stream ends; False when nothing is left."""
        pieces, have = [self.buffer], len(self.buffer)
        while have < size and not self._ended:
            piece = self._stream.read(size - have)
            self._ended = not piece
            pieces.append(piece)
            have += len(piece)
        if len(pieces) > 1:
            self.buffer = b"".join(pieces)
        return bool(self.buffer)

    def take(self, size: int) -> bytes:
        data, self.buffer = self.buffer[:size], self.buffer[size:]
        return data

    def skip_line(self) -> int:
        """Drop bytes up to and with the next line end; returns how many."""
        skipped = 0
        while True:
            end = self.buffer.find(b"\n") + 1
            if end:
                return skipped + len(self.take(end))
            skipped += len(self.buffer)
            self.buffer = b""
            if not self.fill(MAX_LINE_BYTES):
                return skipped
