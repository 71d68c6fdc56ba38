"""CSV files without a header line: the domain names their columns (B8)."""

from __future__ import annotations

import pytest

from levada.domains.declaration import Domain, Metric, Time
from levada.ingest import dialect

MOTES = Domain(
    name="motes",
    time=Time(columns=("date", "clock"), formats=("%Y-%m-%d %H:%M:%S.%f",)),
    keys={"series": "mote"},
    metrics={"t": Metric("temperature")},
    delimiters=" ,",
    header=("date", "clock", "mote", "t"),
)


@pytest.mark.parametrize(
    ("line", "has_header", "delimiter"),
    [
        (b"2004-03-31 03:38:15.757551 2 122.153\n", False, " "),
        (b"\xef\xbb\xbf2004-03-31,03:38:15.757551,2,122.153\r\n", False, ","),
        (b"date,clock,mote,t\n", True, ","),
    ],
)
def test_the_first_line_decides(line: bytes, has_header: bool, delimiter: str) -> None:
    found = dialect.from_header(line, MOTES)
    assert found.has_header is has_header
    assert (found.delimiter, found.columns, found.named) == (delimiter, MOTES.header, 4)
