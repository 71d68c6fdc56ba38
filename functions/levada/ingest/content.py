"""What a landed object is: its identity (a hash of its bytes) and its compression."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from levada.core.errors import BadRecordError
from levada.ingest.blocks import Readable

CSV, NDJSON, PARQUET = "csv", "ndjson", "parquet"
GZIP, ZSTD, PLAIN = "gzip", "zstd", ""
MAGICS = {b"\x1f\x8b": GZIP, b"\x28\xb5\x2f\xfd": ZSTD}
PARQUET_MAGIC = b"PAR1"

HEAD_BYTES = 64 * 1024
"""How much of the inflated beginning decides the format."""
READ_BYTES = 1024 * 1024
STEP_BYTES = 1024
"""Compressed bytes inflated at once: whatever they hold, they make no more than some 32 MiB."""


@dataclass(frozen=True, slots=True)
class Content:
    """One object's bytes, as a first pass over them found."""

    sha256: str
    """Hex, of the bytes as stored; where times are moved, of that and by how much (``shifted.identity``)."""
    size: int
    """Bytes as stored."""
    compression: str
    head: bytes
    """The first HEAD_BYTES, inflated."""


class Sink(Protocol):
    def write(self, data: bytes, /) -> object: ...


def survey(stream: Readable, copy: Sink | None = None) -> Content:
    """Read the whole object once, before any row of it is sent.

    Args:
        stream: the stored bytes from the first one on.
        copy: gets every byte of an object that begins as Parquet does, since that is not read front to back.

    Raises:
        BadRecordError: ``corrupt_compression`` when it does not inflate to its end.
    """
    first = stream.read(READ_BYTES)
    compression = compression_of(first)
    hashing = _Hashing(stream, first, copy if first.startswith(PARQUET_MAGIC) else None)
    inflated = inflating(hashing, compression)
    head = read_up_to(inflated, HEAD_BYTES)
    while inflated.read(READ_BYTES):
        pass
    return Content(hashing.digest.hexdigest(), hashing.size, compression, head)


class _Hashing:
    def __init__(self, stream: Readable, first: bytes, copy: Sink | None) -> None:
        self._stream, self._first, self._copy = stream, first, copy
        self.digest, self.size = hashlib.sha256(), 0

    def read(self, size: int, /) -> bytes:
        if self._first:
            data, self._first = self._first[:size], self._first[size:]
        else:
            data = self._stream.read(size)
        self.digest.update(data)
        self.size += len(data)
        if self._copy is not None:
            self._copy.write(data)
        return data


def compression_of(beginning: bytes) -> str:
    """By the first bytes, whatever the name says: some stores inflate ``.gz`` themselves."""
    return next((name for magic, name in MAGICS.items() if beginning.startswith(magic)), PLAIN)


def inflating(stream: Readable, compression: str) -> Readable:
    """The inflated bytes, front to back; reads raise BadRecordError ``corrupt_compression``."""
    return _Inflating(stream, compression) if compression else stream


def read_up_to(stream: Readable, size: int) -> bytes:
    """size bytes, or fewer where the stream ends; a read may give less than it was asked for."""
    pieces = []
    while size and (piece := stream.read(size)):
        pieces.append(piece)
        size -= len(piece)
    return b"".join(pieces)


class _Inflating:
    def __init__(self, stream: Readable, compression: str) -> None:
        self._pieces = _inflated(stream, compression)
        self._rest = b""

    def read(self, size: int, /) -> bytes:
        have, pieces = len(self._rest), [self._rest]
        while have < size and (piece := next(self._pieces, b"")):
            pieces.append(piece)
            have += len(piece)
        data = b"".join(pieces)
        self._rest = data[size:]
        return data[:size]


class _Unpacker(Protocol):
    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, /) -> bytes: ...


def _unpacker(compression: str) -> _Unpacker:
    if compression == GZIP:
        return zlib.decompressobj(31)
    import zstandard

    return zstandard.ZstdDecompressor().decompressobj()


def _inflated(stream: Readable, compression: str) -> Iterator[bytes]:
    """Pieces that are not empty; any number of gzip members or zstd frames, one behind the other."""
    unpacker, begun = _unpacker(compression), False
    while stored := stream.read(READ_BYTES):
        for at in range(0, len(stored), STEP_BYTES):
            data = stored[at : at + STEP_BYTES]
            while data:
                if unpacker.eof:
                    unpacker, begun = _unpacker(compression), False
                begun = True
                try:
                    out = unpacker.decompress(data)
                except Exception as err:  # zlib.error and ZstdError share no base
                    raise BadRecordError("corrupt_compression", f"{compression}: {err}") from err
                data = unpacker.unused_data if unpacker.eof else b""
                if out:
                    yield out
    if begun and not unpacker.eof:
        raise BadRecordError("corrupt_compression", f"{compression}: cut short")
