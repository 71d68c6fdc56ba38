"""Partials that are decoded or encoded only when somebody asks: most layers of open windows are carried on as they are,
and what closes in the batch that brought it need not be decoded."""

from __future__ import annotations

from levada.core import partbytes
from levada.core.parts import Parts


class Held:
    """At least one partial, as bytes or as numpy columns or both."""

    __slots__ = ("_body", "_parts")

    def __init__(self, *, body: bytes | memoryview = b"", parts: Parts | None = None) -> None:
        self._body = body
        self._parts = parts

    @property
    def parts(self) -> Parts:
        if self._parts is None:
            self._parts = partbytes.of_bytes(self._body)
        return self._parts

    def to_bytes(self) -> bytes | memoryview:
        if not self._body and self._parts is not None:
            self._body = partbytes.to_bytes(self._parts)
        return self._body
