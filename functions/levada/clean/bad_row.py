"""An object of a JSON text that is no row."""

from __future__ import annotations

from dataclasses import dataclass

INDEX = "__index"
"""Which of the objects a row came from, counted from 0."""


@dataclass(frozen=True, slots=True)
class BadRow:
    """An object that is no row: its index, payload, reason (a slug) and detail."""

    row: int
    payload: bytes
    reason: str
    detail: str
