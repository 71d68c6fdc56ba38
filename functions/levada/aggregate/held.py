"""Partials that are decoded, encoded, or made a table only when somebody asks: most outboxes are emitted already, most
layers of open windows are carried on as they are, and what closes in the batch that brought it need not be written."""

from __future__ import annotations

import pyarrow as pa

from levada.core import columns, partbytes
from levada.core.parts import PARTIAL, Parts

NO_PARTIALS = columns.empty(PARTIAL)


class Held:
    """Partials, as bytes or as numpy columns or both."""

    __slots__ = ("_body", "_parts", "_table", "rows")

    def __init__(self, rows: int = 0, *, body: bytes | memoryview = b"", parts: Parts | None = None) -> None:
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
            self._table = self.parts.table()
        return self._table

    @property
    def parts(self) -> Parts:
        """Of what is not empty."""
        if self._parts is None:
            self._parts = partbytes.of_bytes(self._body)
        return self._parts

    def to_bytes(self) -> bytes | memoryview:
        if not self._body and self._parts is not None:
            self._body = partbytes.to_bytes(self._parts)
        return self._body
