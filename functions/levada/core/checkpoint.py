"""One checkpoint object: what a shard has applied, and the stage's state, in one conditional put.

``LVC1<JSON header line>\\n<table bytes>…``. Offset and state move together or not at all.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from levada.core import columns
from levada.core.errors import ConfigError

MAGIC = b"LVC1"
VERSION = 1
MAX_TABLE_BYTES = 1 << 31


@dataclass(slots=True)
class Checkpoint:
    """A header of JSON values and named Arrow tables (the state)."""

    header: dict[str, Any] = field(default_factory=dict)
    tables: dict[str, pa.Table] = field(default_factory=dict)

    def to_bytes(self) -> bytes:
        bodies = {name: columns.to_bytes(table) for name, table in self.tables.items()}
        head = self.header | {"v": VERSION, "tables": [[name, len(body)] for name, body in bodies.items()]}
        line = json.dumps(head, separators=(",", ":"), sort_keys=True).encode()
        return b"".join((MAGIC, line, b"\n", *bodies.values()))

    @classmethod
    def from_bytes(cls, data: bytes) -> Checkpoint:
        """Raises ConfigError when the object is not a checkpoint of this version (never guess at state)."""
        head = cls.peek(data)
        at = data.index(b"\n") + 1
        tables = {}
        for name, size in head.pop("tables"):
            tables[name] = columns.from_bytes(data[at : at + size], limit=MAX_TABLE_BYTES)
            at += size
        return cls(head, tables)

    @staticmethod
    def peek(data: bytes) -> dict[str, Any]:
        """The header alone, its ``tables`` included; for status and inheritance, without decoding state."""
        if not data.startswith(MAGIC):
            raise ConfigError(f"not a checkpoint: begins with {data[:8]!r}")
        head: dict[str, Any] = json.loads(data[len(MAGIC) : data.index(b"\n")])
        if head.get("v") != VERSION:
            raise ConfigError(f"checkpoint v={head.get('v')!r}: this version reads {VERSION}")
        del head["v"]
        return head
