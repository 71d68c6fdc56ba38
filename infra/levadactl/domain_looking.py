"""A sample of a CSV file: its columns, and what they say as numbers."""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from levadactl.errors import LevadactlError

MAX_LINES = 5000
DELIMITERS = (";", "\t", "|", ",", " ")
NUMBER = re.compile(r"[+-]?(\d+[.,]?\d*|[.,]\d+)([eE][+-]?\d+)?")
GROUPED = re.compile(r"[+-]?\d{1,3}(?P<mark>[,.' ])\d{3}((?P=mark)\d{3})*([.,]\d+)?")
AFFIXES = "$€£%"
MAX_MARKS = 4
IDENTIFIER = re.compile(r"(^|[\W_])(id|ID|Id)$|[a-z]I[dD]$")


@dataclass(slots=True)
class Column:
    """One column of the sample."""

    name: str
    values: list[str]
    """Trimmed, of all rows."""
    marks: list[str] = field(default_factory=list)
    """Texts among numbers."""
    grouped: str = ""
    """What stands between thousands."""
    affixes: str = ""
    numbers: list[float] = field(default_factory=list)

    @property
    def is_number(self) -> bool:
        return bool(self.numbers)

    @property
    def counts(self) -> bool:
        """Does it number the rows?"""
        n = len(self.values)
        return n > 2 and any(self.numbers == list(range(first, first + n)) for first in (0, 1, 2))

    @property
    def identifies(self) -> bool:
        """A number that names something, such as a customer."""
        return self.is_number and IDENTIFIER.search(self.name) is not None

    @property
    def why_not(self) -> str:
        """Why it is no metric, where that is not plain."""
        return "numbers the rows" if self.counts else "a name made of digits" if self.identifies else ""

    def distinct(self) -> int:
        return len({value for value in self.values if value})


@dataclass(slots=True)
class Sample:
    """A file that was looked at."""

    columns: list[Column]
    """Those that hold anything."""
    delimiter: str
    header: list[str]
    """Names of all columns, given or made up."""
    has_header: bool
    row_names: bool = False
    """The header line has no name for the first column."""

    def named(self, names: Sequence[str]) -> Column | None:
        lower = {column.name.lower(): column for column in self.columns}
        return next((lower[name] for name in names if name in lower), None)


def looked_at(body: bytes) -> Sample:
    """Raises LevadactlError."""
    text = _decoded(body)
    lines = [line for line in text.splitlines() if line.strip(" \t;,|")][:MAX_LINES]
    if len(lines) < 2:
        raise LevadactlError("the sample needs two lines at least")
    delimiter = max(DELIMITERS, key=lambda mark: _fits(lines[:200], mark))
    everything = _read(lines, delimiter)
    width, _ = _width(everything)
    first = next(i for i, row in enumerate(everything) if len(row) == width and not row[0].startswith("#"))
    top = first - 1
    while top > 0 and len(everything[top - 1]) == width and _names_columns(everything[top - 1]):  # units stand below
        top -= 1
    above = everything[top] if first else []
    rows = [row for row in everything[first:] if len(row) == width]
    has_header, row_names = _names_columns(rows[0]), len(above) == width - 1 and _names_columns(above)
    if has_header:
        given, rows = rows[0], rows[1:]
    elif len(above) == width and _names_columns(above):  # a header line that looks like a comment
        given, has_header = above, True
    else:
        given = ["row", *above] if row_names else [""] * width
    names = [cell.strip() or f"column_{i}" for i, cell in enumerate(given, 1)]
    columns = [Column(n, [row[i].strip() for row in rows]) for i, n in enumerate(names)]
    columns = [column for column in columns if any(column.values)]
    for column in columns:
        _as_numbers(column)
    return Sample(columns, delimiter, names, has_header, row_names and not has_header)


def _names_columns(row: list[str]) -> bool:
    """Does a line look like names of columns?"""
    return not any(NUMBER.fullmatch(cell.strip()) for cell in row) and len(set(row)) > len(row) // 2


def _decoded(body: bytes) -> str:
    for encoding in ("utf-16",) if body[:2] in (b"\xff\xfe", b"\xfe\xff") else ("utf-8-sig", "cp1252", "latin-1"):
        try:
            return body.decode(encoding)
        except UnicodeDecodeError:
            continue
    raise LevadactlError("the sample is no text in UTF-8, UTF-16 or Windows-1252")


def _read(lines: Sequence[str], mark: str) -> list[list[str]]:
    """Fields of each line; several blanks separate as one does, as they do for the reader."""
    if mark == " " and not any('"' in line for line in lines):
        return [line.split() for line in lines]
    return list(csv.reader(lines, delimiter=mark))


def _fits(lines: Sequence[str], mark: str) -> tuple[float, int, int]:
    width, n = _width(_read(lines, mark))
    return (n / len(lines) if width > 1 else 0.0, -DELIMITERS.index(mark) if mark != " " else -9, width)


def _width(rows: Sequence[Sequence[str]]) -> tuple[int, int]:
    """(fields of most lines, how many lines have so many); lines of one field are titles, unless all are."""
    counts = Counter(len(row) for row in rows)
    several = Counter({width: n for width, n in counts.items() if width > 1})
    return (several or counts).most_common(1)[0]


def _as_numbers(column: Column) -> None:
    """Fill in what the column says as numbers; leave it text when it is."""
    values = [value for value in column.values if value]
    ends = {mark for mark in AFFIXES if any(value.startswith(mark) or value.endswith(mark) for value in values)}
    bare = [value.strip("".join(ends) + " ") for value in values]
    mark = _thousands(bare)
    texts = [value.replace(mark, "") if mark else value for value in bare]
    good = [value for value in texts if NUMBER.fullmatch(value)]
    odd = Counter(value for value in texts if not NUMBER.fullmatch(value))
    if len(odd) > MAX_MARKS or 2 * len(good) < len(texts) or not good:
        return
    column.marks, column.grouped, column.affixes = list(odd), mark, "".join(sorted(ends))
    column.numbers = [float(value.replace(",", ".")) for value in good]


def _thousands(values: Sequence[str]) -> str:
    """What stands between thousands: sure where a number can be read no other way, such as ``1,012.50``; and where all
    commas stand before three digits while some numbers have none."""
    grouped = [(value, match["mark"]) for value in values if (match := GROUPED.fullmatch(value))]
    sure = Counter(mark for value, mark in grouped if not NUMBER.fullmatch(value))
    if sure:
        return sure.most_common(1)[0][0]
    commas = [value for value in values if "," in value]
    whole = [value for value in values if value.isdecimal()]
    return "," if commas and whole and len(commas) == len([v for v, mark in grouped if mark == ","]) else ""
