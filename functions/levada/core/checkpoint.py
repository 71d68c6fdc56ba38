"""One checkpoint object: what a shard has applied, and the stage's state, in one conditional put.

``LVC1<JSON header line>\\n<bytes>…<table bytes>…``. Offset and state move together or not at all.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import msgspec
import pyarrow as pa

from levada.core import columns
from levada.core.errors import ConfigError

MAGIC = b"LVC1"
VERSION = 4
READABLE = (2, 4)
"""Version 4 keeps windows of aggregate in layers, beside the tables; what is not asked for reads as before. (Version 3
was never released.)"""
MAX_TABLE_BYTES = 1 << 31
SMALL_BYTES = 2048
ZSTD_LEVEL = -1
"""State is written at every batch and read once: half the time of a pack's level, a seventh larger."""


_encode = msgspec.json.Encoder(order="sorted").encode
_decode = msgspec.json.Decoder(dict[str, Any]).decode


@dataclass(slots=True)
class Checkpoint:
    """A header of JSON values, or of bytes that stand behind it as they are, and named Arrow tables (the state)."""

    header: dict[str, Any] = field(default_factory=dict)
    tables: dict[str, pa.Table] = field(default_factory=dict)

    def to_bytes(self) -> bytes:
        raw = {name: value for name, value in self.header.items() if isinstance(value, bytes)}
        bodies = {name: columns.to_bytes(table, level=ZSTD_LEVEL) for name, table in self.tables.items()}
        head = {name: value for name, value in self.header.items() if name not in raw}
        head |= {"v": VERSION, "raw": _sizes(raw), "tables": _sizes(bodies)}
        line = _encode(head)
        return b"".join((MAGIC, line, b"\n", *raw.values(), *bodies.values()))

    @classmethod
    def from_bytes(cls, data: bytes, *, only: Collection[str] | None = None) -> Checkpoint:
        """Raises ConfigError when the object is not a checkpoint of this version (never guess at state).

        Args:
            only: names of the tables to decode; None for all.
        """
        head, at = _head(data)
        tables = {}
        for name, size in head.pop("tables"):
            if only is None or name in only:
                tables[name] = _table(data[at : at + size])
            at += size
        return cls(head, tables)

    @staticmethod
    def peek(data: bytes) -> dict[str, Any]:
        """The header alone; for status and inheritance, without decoding state."""
        head, _ = _head(data)
        del head["tables"]
        return head

    @staticmethod
    def relabelled(data: bytes, values: Mapping[str, Any]) -> bytes:
        """The same object with these JSON values in its header besides; no state is decoded. Raises ConfigError."""
        _head(data)
        at = data.index(b"\n")
        head = _decode(data[len(MAGIC) : at]) | dict(values)
        return b"".join((MAGIC, _encode(head), data[at:]))


def _table(body: bytes) -> pa.Table:
    return _known(body) if len(body) <= SMALL_BYTES else columns.from_bytes(body, limit=MAX_TABLE_BYTES)


@lru_cache(maxsize=32)
def _known(body: bytes) -> pa.Table:
    """Most tables of a state are empty, and the same at each batch."""
    return columns.from_bytes(body, limit=MAX_TABLE_BYTES)


def _sizes(bodies: Mapping[str, bytes]) -> list[tuple[str, int]]:
    return [(name, len(body)) for name, body in bodies.items()]


def _head(data: bytes) -> tuple[dict[str, Any], int]:
    """(the header, its ``tables`` included; where the tables begin)."""
    if not data.startswith(MAGIC):
        raise ConfigError(f"not a checkpoint: begins with {data[:8]!r}")
    at = data.index(b"\n") + 1
    head = _decode(data[len(MAGIC) : at])
    if (version := head.pop("v", None)) not in READABLE:
        raise ConfigError(f"checkpoint v={version!r}: this reads {READABLE}; empty the place or run the old one")
    for name, size in head.pop("raw"):
        head[name] = data[at : at + size]
        at += size
    return head, at
