"""A file that levada has never seen: a declaration is proposed from it, and every row of it comes in (D1, D31)."""

from __future__ import annotations

from pathlib import Path

import pytest

from levadactl.domain_contract import CHECKS, Subject
from levadactl.domain_proposal import propose
from levadactl.domains import found
from tests.unit.domains.test_add_a_domain import counters, loaded, rows

FORMS: dict[str, tuple[str, str, int, int]] = {
    # what: (file, part of the proposal, rows, values of the first metric)
    "a column of times without a name": (
        '"";"MT_001";"MT_002"\n"2011-01-01 00:15:00";0;2,5\n"2011-01-01 00:30:00";3,80710659898477;0\n',
        'columns=("column_1",)',
        2,
        2,
    ),
    "comments and a title before the header line": (
        "# Station 12\n# all times UTC\nHourly export\ntime,temp\n2020-01-01T00:00Z,1.5\n2020-01-01T01:00Z,2.5\n",
        'columns=("time",)',
        2,
        2,
    ),
    "a header line that looks like a comment": (
        "# made by hand\n#time,temp\n2020-01-01T00:00Z,1.5\n2020-01-01T01:00Z,2.5\n",
        'columns=("#time",)',
        2,
        2,
    ),
    "row names as R writes them": (
        (
            '"date","CO2","light"\n"1",2015-02-02 14:19:00,749.2,1\n"2",2015-02-02 14:20:00,760.4,0\n'
            '"3",2015-02-02 14:21:00,NA,0\n'
        ),
        'header=("row", "date", "CO2", "light")',
        3,
        2,
    ),
    "no header line, and columns that are always empty": (
        "ITE1,20130501,TMAX,22,,,X,\nITE1,20130502,TMAX,23,,,X,\nITE2,20130502,TMAX,25,,,E,\n",
        '"column_5", "column_6", "column_7", "column_8")',
        3,
        3,
    ),
    "columns of one width, and a line of units": (
        "#YY MM DD hh mm WDIR  WSPD\n#yr mo dy hr mn degT  m/s\n2016 01 01 00 00  5   1.5\n2016 01 01 00 10 35  11.5\n",
        'columns=("#YY", "MM", "DD", "hh", "mm")',
        2,
        2,
    ),
    "times of a control system": (
        "Tag;Timestamp;Value\nTT001;01/15/2016 12:00:01.250 AM;1,5\nTT002;01/15/2016 12:00:02.250 AM;2,5\n",
        '"%m/%d/%Y %I:%M:%S.%f %p"',
        2,
        2,
    ),
    "times without marks": ("ts;v\n20160101T001000Z;1.5\n20160101T002000Z;2.5\n", '"%Y%m%dT%H%M%SZ"', 2, 2),
    "times of a mail": (
        "at;ms\nFri, 01 Jan 2016 00:00:13 GMT;8\nFri, 01 Jan 2016 00:00:14 GMT;9\n",
        'formats=("%a, %d %b %Y %H:%M:%S GMT",),\n',
        2,
        2,
    ),
    "months": ("Month,Passengers\n1949-01,112\n1949-02,118\n", '"%Y-%m"', 2, 2),
    "thousands and decimals as in German": (
        "Zeit;kW;Last\n01.01.2016 00:00;1.234,56;45,5%\n01.01.2016 00:15;2.345,60;46,5%\n",
        'thousands=".",\n    decimal=",",\n    affixes="%"',
        2,
        2,
    ),
    "numbers of rows, identifiers and switches": (
        (
            "No,at,CustomerID,motion,kW\n1,2020-01-01T00:00Z,17,true,1.5\n2,2020-01-01T00:01Z,19,false,2.5\n"
            "3,2020-01-01T00:02Z,17,true,3.5\n"
        ),
        "# Not used: No (numbers the rows), CustomerID (a name made of digits)",
        3,
        3,
    ),
}


@pytest.mark.parametrize("what", FORMS)
def test_a_proposed_domain_loads_every_row_of_its_sample(
    what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text, says, n, values = FORMS[what]
    source = propose("trial", text.encode())
    assert says in source
    (tmp_path / "trial.py").write_text(source)
    ((domain, examples),) = found(str(tmp_path / "trial.py"))
    for check in CHECKS:
        check(Subject(domain, examples))

    memory = loaded(domain, text.encode(), monkeypatch)

    counted = counters(memory, "trial")
    assert (counted["rows"], counted["quarantined"]) == (n, 0)
    first = next(iter(domain.metrics.values())).name
    found_values = [row["value"] for row in rows(memory, "silver/") if row["metric"] == first]
    assert len([value for value in found_values if value is not None]) == values


def test_lines_are_numbered_from_the_top_of_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "# made by hand\ntime,temp\n2020-01-01T00:00Z,1.5\n2020-01-01T01:00Z,2.5\n"
    (tmp_path / "trial.py").write_text(propose("trial", text.encode()))
    ((domain, _),) = found(str(tmp_path / "trial.py"))

    memory = loaded(domain, text.encode() + b"yesterday,3.5\nx\n", monkeypatch)

    (ledger,) = [body for key, body in memory.blobs.objects.items() if key.startswith("checkpoints/ingest/")]
    assert b'"lines":6' in ledger.replace(b" ", b"")
    lines = {row["reason"]: row["line"] for row in rows(memory, "quarantine/")}
    assert lines == {"not_a_time": 5, "too_few_fields": 6}
