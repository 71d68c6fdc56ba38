"""How a CSV file is written; its header line decides, be it the first line or one behind a preamble."""

from __future__ import annotations

import csv
from dataclasses import dataclass

from levada.core.errors import BadRecordError
from levada.domains.declaration import Domain

BOM = b"\xef\xbb\xbf"
RESERVED_PREFIX = "__"
COMMENT = b"#"
BLANK, QUOTE = " ", '"'
MAX_PREAMBLE = 100
"""Lines among which the header line is looked for: titles, comments and units may stand before it."""


@dataclass(frozen=True, slots=True)
class Dialect:
    """Field separator and columns of one file."""

    delimiter: str
    columns: tuple[str, ...]
    """A name for every field of the header line: unique, trimmed; ``column_<i>`` (from 1) where it has none of its own,
    repeats an earlier one, or begins with ``__``."""
    named: int
    """How many fields a line must have; those behind hold nothing (the header line ends in separators)."""
    has_header: bool = True
    """Whether the first line names the columns; if not it is the first row."""


@dataclass(frozen=True, slots=True)
class Top:
    """What stands before the first row."""

    dialect: Dialect
    size: int
    """Bytes: the preamble and the header line, with their line ends and the BOM."""
    lines: int


def of_head(head: bytes, domain: Domain) -> Top:
    """The first line that names all required columns is the header line; what stands before it is a preamble. Where no
    line does, and the domain knows its columns' names, rows begin with the first line that is no comment.

    Args:
        head: the beginning of the file, with or without BOM; lines beyond MAX_PREAMBLE are not looked at.

    Raises:
        BadRecordError: as ``from_header`` says of the first line that is no comment.
    """
    lines = head.split(b"\n", MAX_PREAMBLE)[:MAX_PREAMBLE]
    found, before = _named(lines, domain)
    while found is not None and before < len(lines) and lines[before].startswith(COMMENT):  # units, say
        before += 1
    if found is None:
        first = next((i for i, line in enumerate(lines) if not line.removeprefix(BOM).startswith(COMMENT)), 0)
        found = from_header(lines[first], domain)
        before = first + found.has_header
    size = sum(len(line) + 1 for line in lines[:before]) if before else len(head) - len(head.removeprefix(BOM))
    return Top(found, min(size, len(head)), before)


def _named(lines: list[bytes], domain: Domain) -> tuple[Dialect | None, int]:
    """(what the header line says, how many lines up to and including it); (None, 0) when there is none."""
    for i, line in enumerate(lines, 1):
        try:
            found = from_header(line, domain)
        except BadRecordError:
            continue
        if found.has_header:
            return found, i
    return None, 0


def from_header(line: bytes, domain: Domain) -> Dialect:
    """What a header line says: the separator of the domain's with which it names most columns, all required ones among
    them. A line that names none, in a domain that knows its columns' names, is a row already. A line that has all of
    these names but the first (R writes it so) means the others by them.

    Args:
        line: with or without BOM and line end.

    Raises:
        BadRecordError: ``not_utf8``, ``missing_columns`` (its detail names them) or ``repeated_column``.
    """
    try:
        text = line.removeprefix(BOM).decode().rstrip("\r\n")
    except UnicodeDecodeError as err:
        raise BadRecordError("not_utf8", f"header line, byte {err.start}: the file must be UTF-8") from err
    candidates = [(delimiter, split(text, delimiter)) for delimiter in domain.delimiters]
    known = set(domain.columns)
    delimiter, names = max(candidates, key=lambda c: len(known & {*_usable(c[1])}))  # of equals the first
    if len(domain.header) > 1 and tuple(names) == domain.header[1:]:
        return _dialect(delimiter, list(domain.header), domain)
    if set(domain.required) <= set(_usable(names)):
        return _dialect(delimiter, names, domain)
    if domain.header and not set(domain.header) & set(names):
        return _headless(candidates, domain)
    missing = [name for name in domain.required if name not in names]
    raise BadRecordError(
        "missing_columns",
        f"the header line lacks {', '.join(missing)}; separators tried: {', '.join(map(repr, domain.delimiters))}; "
        f"begins with {text[:80]!r}",
    )


def _headless(candidates: list[tuple[str, list[str]]], domain: Domain) -> Dialect:
    """The separator that cuts the first row into as many fields as the domain has names, or next to it."""
    delimiter, _ = min(candidates, key=lambda c: abs(len(c[1]) - len(domain.header)))
    dialect = _dialect(delimiter, list(domain.header), domain)
    return Dialect(dialect.delimiter, dialect.columns, dialect.named, has_header=False)


def split(text: str, delimiter: str) -> list[str]:
    """Fields of one line, trimmed, without their quotes."""
    if delimiter == BLANK and QUOTE not in text:
        return text.split()
    try:
        return [field.strip() for field in next(csv.reader([text], delimiter=delimiter), [])]
    except csv.Error:  # a field larger than the reader takes: no header has one
        return []


def _dialect(delimiter: str, names: list[str], domain: Domain) -> Dialect:
    repeated = next((name for i, name in enumerate(names) if name in domain.required and name in names[:i]), None)
    if repeated is not None:
        raise BadRecordError("repeated_column", f"the header line names {repeated} more than once")
    columns = _usable(names)
    named = max(i for i, name in enumerate(names, 1) if name or columns[i - 1] in domain.columns)
    return Dialect(delimiter, columns, named)


def _usable(names: list[str]) -> tuple[str, ...]:
    """See ``Dialect.columns``."""
    columns: list[str] = []
    for i, name in enumerate(names, 1):
        usable = name and name not in columns and not name.startswith(RESERVED_PREFIX)
        columns.append(name if usable else _free(f"column_{i}", {*names, *columns}))
    return tuple(columns)


def _free(name: str, taken: set[str]) -> str:
    while name in taken:
        name += "_"
    return name
