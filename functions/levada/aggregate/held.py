"""Partials that are decoded, or made a table, only when somebody looks at them: most outboxes are emitted already."""

from __future__ import annotations

import pyarrow as pa

from levada.core import columns, partbytes
from levada.core.parts import PARTIAL, Parts

NO_PARTIALS = columns.empty(PARTIAL)


class Held:
    """Partials, as bytes or as numpy columns or both."""

    __slots__ = ("_body", "_parts", "_table", "rows")

    def __init__(self, rows: int = 0, *, body: bytes = b"", parts: Parts | None = None) -> None:
        self.rows = rows
        self._body = body
        self._parts = parts
        self._table: pa.Table | None = None if rows else NO_PARTIALS

    @classmethod
    def of(cls, parts: Parts | None) -> Held:
        return cls(len(parts), parts=parts) if parts is not None else cls()

    @property
    def table(self) -> pa.Table:
        """PARTIAL"""
        if self._table is None:
            self._table = (self._parts or partbytes.of_bytes(self._body)).table()
        return self._table

    def to_bytes(self) -> bytes:
        if not self._body and self._parts is not None:
            self._body = partbytes.to_bytes(self._parts)
        return self._body
