"""The published air quality file as other copies in circulation write it (B8, B14)."""

from __future__ import annotations

import csv
import io
import re


def published(text: str) -> bytes:
    """``;``, decimal comma, 10/03/2004, 18.00.00, CRLF."""
    return text.encode()


def commas_quotes_and_bom(text: str) -> bytes:
    """Commas between the fields, decimal commas in quotes, a byte order mark."""
    return b"\xef\xbb\xbf" + _written(_fields(text), delimiter=",")


def dashes_iso_times_and_points(text: str) -> bytes:
    """10-03-2004, 18:00:00, decimal points."""
    out = []
    for fields in _fields(text):
        date, time, *rest = fields
        if date and date != "Date":
            rest = [value.replace(",", ".") for value in rest]
        out.append([date.replace("/", "-"), time.replace(".", ":"), *rest])
    return _written(out, delimiter=";")


def line_feeds(text: str) -> bytes:
    """LF line ends, and nothing behind the last field that has a name."""
    return re.sub(r";;\r?\n", "\n", text).encode()


def iso_dates_tabs(text: str) -> bytes:
    """2004-03-10, tabs, every field in quotes."""
    out = [[re.sub(r"^(\d\d)/(\d\d)/(\d{4})$", r"\3-\2-\1", fields[0]), *fields[1:]] for fields in _fields(text)]
    return _written(out, delimiter="\t", quoting=csv.QUOTE_ALL)


DIALECTS = (commas_quotes_and_bom, dashes_iso_times_and_points, line_feeds, iso_dates_tabs)


def _fields(text: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(text, newline=""), delimiter=";"))


def _written(rows: list[list[str]], *, delimiter: str, quoting: int = csv.QUOTE_MINIMAL) -> bytes:
    out = io.StringIO(newline="")
    csv.writer(out, delimiter=delimiter, quoting=quoting, lineterminator="\r\n").writerows(rows)  # type: ignore[arg-type]
    return out.getvalue().encode()
