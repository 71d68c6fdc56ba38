"""How a CSV file is written; its header line decides."""

from __future__ import annotations

import csv
from dataclasses import dataclass

from levada.core.errors import BadRecordError
from levada.domains.declaration import Domain

BOM = b"\xef\xbb\xbf"
RESERVED_PREFIX = "__"


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


def from_header(line: bytes, domain: Domain) -> Dialect:
    """What the first line says: the separator of the domain's with which it names most columns, all required ones among
    them. A line that names none, in a domain that knows its columns' names, is a row already.

    Args:
        line: the first line of the file, with or without BOM and line end.

    Raises:
        BadRecordError: ``not_utf8``, ``missing_columns`` (its detail names them) or ``repeated_column``.
    """
    try:
        text = line.removeprefix(BOM).decode().rstrip("\r\n")
    except UnicodeDecodeError as err:
        raise BadRecordError("not_utf8", f"header line, byte {err.start}: the file must be UTF-8") from err
    candidates = [(delimiter, split(text, delimiter)) for delimiter in domain.delimiters]
    known = set(domain.columns)
    delimiter, names = max(candidates, key=lambda c: len(known & set(c[1])))  # of equals the first
    if set(domain.required) <= set(names):
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
    try:
        return [field.strip() for field in next(csv.reader([text], delimiter=delimiter), [])]
    except csv.Error:  # a field larger than the reader takes: no header has one
        return []


def _dialect(delimiter: str, names: list[str], domain: Domain) -> Dialect:
    columns: list[str] = []
    for i, name in enumerate(names, 1):
        if name in columns and name in domain.required:
            raise BadRecordError("repeated_column", f"the header line names {name} more than once")
        usable = name and name not in columns and not name.startswith(RESERVED_PREFIX)
        columns.append(name if usable else _free(f"column_{i}", {*names, *columns}))
    named = max(i for i, name in enumerate(names, 1) if name)
    return Dialect(delimiter, tuple(columns), named)


def _free(name: str, taken: set[str]) -> str:
    while name in taken:
        name += "_"
    return name
