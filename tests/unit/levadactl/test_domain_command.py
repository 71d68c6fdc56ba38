"""levada domain: ls, show, check, new, docs (D1, D31)."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from levada.domains.registry import registered
from levadactl import cli

SPLIT = """16/12/2006;17:24:00;4.216;234.840
16/12/2006;17:25:00;5.360;233.630
17/12/2006;17:26:00;?;?
"""
SAMPLES: dict[str, tuple[bytes, list[str]]] = {
    "date and time apart, a mark for missing": (
        ("Date;Time;power;Voltage\n" + SPLIT).encode(),
        ['columns=("Date", "Time")', '"%d-%m-%Y %H:%M:%S"', 'missing=("?",)', '"Voltage": Metric("voltage")'],
    ),
    "12-hour clock, amounts": (
        b'vendor,pickup,fare\n2,01/31/2020 11:58:01 PM,"$1,012.50"\n1,02/01/2020 12:00:01 AM,$14.00\n',
        ['columns=("pickup",)', '"%m/%d/%Y %I:%M:%S %p"', 'thousands=","', 'decimal="."', 'affixes="$"'],
    ),
    "long": (
        "location,city,utc,parameter,value,unit\nA 1,Porto,2016-03-06T19:00:00Z,pm25,11.2,µg/m³\n"
        "A 2,Porto,2016-03-06T20:00:00Z,o3,0.03,ppm\n".encode(),
        ['Long(metric="parameter", value="value", uom="unit")', '"series": "location"', '"site": "city"', '("iso",)'],
    ),
    "year, month, day, hour": (
        b"year,month,day,hour,pm2.5,wind\n2010,1,1,0,NA,NW\n2010,1,1,1,129,NW\n2010,1,1,2,148,cv\n",
        ['columns=("year", "month", "day", "hour")', '"%Y %m %d %H"', 'missing=("NA",)', "window_s=3600"],
    ),
    "a date, and hours as bare numbers behind other small numbers": (
        b"n,dteday,season,hr,cnt\n1,2011-01-01,1,0,16\n2,2011-01-01,1,1,40\n3,2011-01-02,2,0,32\n",
        ['columns=("dteday", "hr")', '"%Y-%m-%d %H"', '"season": Metric("season")', '"cnt": Metric("cnt")'],
    ),
    "no header line, blanks between": (
        b"2004-03-31 03:38:15.757551 2 1 122.153\n2004-03-31 03:38:46.757551 3 1 122.1\n",
        ['formats=("%Y-%m-%d %H:%M:%S.%f",)', 'delimiters=" "', 'header=("column_1", "column_2"'],
    ),
    "decimal commas, a sentinel, month names, UTF-16": (
        "zeit\tsensor\tt\n5 Jan 2020 10:00\ts1\t-1,5\n6 Jan 2020 10:00\ts2\t2,5\n7 Jan 2020 10:00\ts1\t-999\n"
        "8 Jan 2020 10:00\ts1\t-999\n".encode("utf-16"),
        ['"%d %b %Y %H:%M"', "sentinels=(-999.0,)", '"series": "sensor"', "-1.5 … 2.5"],
    ),
    "epoch milliseconds": (
        b"ts,device_id,v\n1764547200000,d1,1.5\n1764547260000,d2,2.5\n",
        ['formats=("epoch",)', '"series": "device_id"', 'Metric("v")'],
    ),
    "nothing but text": (
        b"at,ticket,state\n2025-12-01T10:00:00Z,t-1,open\n2025-12-01T11:00:00Z,t-2,open\n",
        ['"entity_id": "ticket"', '"event_type": "trial"'],
    ),
}


def run(capsys: pytest.CaptureFixture[str], *argv: str) -> tuple[int, str]:
    status = cli.main(["domain", *argv])
    return status, capsys.readouterr().out


@pytest.mark.parametrize("what", SAMPLES)
def test_a_proposal_finds_out_how_a_sample_is_written_and_keeps_the_contract(
    what: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    body, says = SAMPLES[what]
    (tmp_path / "sample.csv").write_bytes(body)

    status, text = run(capsys, "new", "trial", "--from", str(tmp_path / "sample.csv"))

    assert status == 0
    assert [part for part in says if part not in text] == [], text
    rows = body.decode("utf-16" if body.startswith(b"\xff\xfe") else "utf-8").strip().count("\n") + (
        "no header" in what
    )
    assert f"{rows} of {rows} rows of the sample pass" in text
    (tmp_path / "trial.py").write_text(text)
    assert run(capsys, "check", str(tmp_path / "trial.py"))[0] == 0


def test_a_sample_without_a_time_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "sample.csv").write_text("a,b\n1,2\n3,4\n")

    assert cli.main(["domain", "new", "trial", "--from", str(tmp_path / "sample.csv")]) == 1
    assert "no column of a, b holds times" in capsys.readouterr().err


def test_new_writes_a_file_and_never_over_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "sample.csv").write_bytes(SAMPLES["long"][0])
    arguments = ("new", "trial", "--from", str(tmp_path / "sample.csv"), "--out", str(tmp_path / "trial.py"))

    assert run(capsys, *arguments)[0] == 0
    before = (tmp_path / "trial.py").read_text()
    assert run(capsys, *arguments)[0] == 2
    assert (tmp_path / "trial.py").read_text() == before


def test_ls_and_show_name_every_domain(capsys: pytest.CaptureFixture[str]) -> None:
    _, listed = run(capsys, "ls", "--json")
    assert {one["name"] for one in json.loads(listed)} == set(registered())

    _, shown = run(capsys, "show", "jobs", "--json")
    (jobs,) = json.loads(shown)
    assert (jobs["latest"], jobs["example"]["site"]) == (["job", "subjob"], "koper")
    assert {"column": "site", "holds": "text", "required": True, "every_row": True} in jobs["columns"]


def test_check_names_what_is_wrong_and_ends_with_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "wrong.py").write_text(
        "from levada.domains.declaration import Domain, Metric, Time\n"
        'W = Domain(name="w", time=Time(columns=("t",), formats=("iso",)), metrics={"n": Metric("n")})\n'
        'EXAMPLES = [{"t": "2025-12-01", "n": "many"}]\n'
    )

    status, out = run(capsys, "check", str(tmp_path / "wrong.py"), "--json")

    assert status == 1
    failed = {one["check"]: one["says"] for one in json.loads(out) if not one["ok"]}
    assert "not_a_number" in failed["every_example_is_taken"]


@pytest.mark.parametrize("target", ["weather", "nowhere:X", "nothing.py", "levada.domains.jobs:STATUS"])
def test_a_target_that_is_no_domain_is_one_line(target: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["domain", "check", target]) == 1
    assert len(capsys.readouterr().err.strip().splitlines()) == 1


def test_a_domain_is_found_by_reference(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "check", "levada.domains.lab:LAB")[0] == 0
