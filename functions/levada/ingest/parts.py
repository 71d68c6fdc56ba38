"""A part: what one block of a file holds, ready to be packed."""

from __future__ import annotations

from dataclasses import dataclass, field

import pyarrow as pa

from levada.clean.decode import LINE, RAW, REASON
from levada.ingest.blocks import MAX_LINE_BYTES


@dataclass(frozen=True, slots=True)
class BadLine:
    """A line that cannot be split into fields; ``clean`` quarantines it."""

    line: int
    """1 = the file's first."""
    raw: str
    reason: str
    """``<slug>: <detail>``."""


@dataclass(slots=True)
class Part:
    """Rows of one block in the order of their lines; every line is in exactly one of rows or lines, bad, and empty."""

    end: int
    """Where the next part begins: byte of the inflated text, or row of a Parquet file."""
    next_line: int
    rows: pa.Table | None = None
    """Columns of the source and ``__line`` (int64)."""
    lines: list[bytes] = field(default_factory=list)
    """NDJSON lines as they came, without line ends."""
    numbers: list[int] = field(default_factory=list)
    """Line number of each of ``lines``."""
    bad: list[BadLine] = field(default_factory=list)
    empty: int = 0

    @property
    def good(self) -> int:
        return len(self.lines) + (self.rows.num_rows if self.rows is not None else 0)


def text_of(line: bytes) -> str:
    """Bytes that are not UTF-8 as ``\\xNN``; the line end is left out."""
    return line.rstrip(b"\r\n").decode(errors="backslashreplace")


def too_long(line: int, beginning: bytes) -> BadLine:
    return BadLine(line, text_of(beginning), f"line_too_long: more than {MAX_LINE_BYTES} bytes, cut here")


def bad_table(bad: list[BadLine]) -> pa.Table:
    """n rows with the reserved columns only."""
    return pa.table(
        {
            LINE: pa.array([b.line for b in bad], pa.int64()),
            RAW: pa.array([b.raw for b in bad], pa.string()),
            REASON: pa.array([b.reason for b in bad], pa.string()),
        }
    )
