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


def from_header(line: bytes, domain: Domain) -> Dialect:
    """The first of the domain's delimiters with which the header line names all required columns; where the domain
    names the columns of files without a header line, the one with which the first line has as many fields.

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
    if domain.header and not has_header(line, domain):
        delimiter, _ = max(candidates, key=lambda c: (len(c[1]) == len(domain.header), len(c[1])))
        return _dialect(delimiter, list(domain.header), domain)
    for delimiter, names in candidates:
        if set(domain.required) <= set(names):
            return _dialect(delimiter, names, domain)
    delimiter, names = max(candidates, key=lambda c: len(set(domain.required) & set(c[1])))
    missing = [name for name in domain.required if name not in names]
    raise BadRecordError(
        "missing_columns",
        f"the header line lacks {', '.join(missing)}; separators tried: {', '.join(map(repr, domain.delimiters))}; "
        f"begins with {text[:80]!r}",
    )


def has_header(line: bytes, domain: Domain) -> bool:
    """Whether the first line of a file names its columns: that of a domain with ``header`` only where a copy does."""
    if not domain.header:
        return True
    text = line.removeprefix(BOM).decode(errors="replace").rstrip("\r\n")
    return any(set(domain.required) <= set(split(text, delimiter)) for delimiter in domain.delimiters)


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
