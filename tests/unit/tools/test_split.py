"""Split: ordered in time, no row in both sides and none lost, and what comes out is read as what went in (B6)."""

from __future__ import annotations

import csv
import gzip
import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from levada.domains.air_quality import AIR_QUALITY
from levadactl import generate, sources
from levadactl.cli import main
from levadactl.splitting import split

ROWS = 400
CUT_US = 1_079_049_600_000_000
"""2004-03-12, 30 hours behind the first row."""


def shuffled(path: Path, *, bad: float = 0.02) -> generate.Ledger:
    """A generated file whose rows do not stand in the order of time."""
    ledger = generate.write(path, n=ROWS, seed=5, bad=bad)
    head, *lines = path.read_bytes().split(b"\r\n")
    lines = lines[1::2] + lines[::2]
    path.write_bytes(b"\r\n".join([head, *lines]))
    return ledger


def times_of(path: Path) -> list[str]:
    with path.open(newline="") as file:
        rows = csv.DictReader(file, delimiter=";")
        return ["-".join(reversed(row["Date"].split("/"))) + " " + row["Time"] for row in rows]


def test_both_sides_are_in_order_and_nothing_of_the_second_stands_in_the_first(tmp_path: Path) -> None:
    ledger = shuffled(tmp_path / "readings.csv")

    done = split(tmp_path / "readings.csv", AIR_QUALITY, CUT_US, tmp_path / "out")

    train, stream = (times_of(tmp_path / "out" / f"readings.{side}.csv") for side in ("train", "stream"))
    assert train == sorted(train)
    assert stream == sorted(stream)
    assert max(train) < "2004-03-12 00.00.00" <= min(stream)
    assert (len(train), len(stream)) == (done.train, done.stream)
    assert done.rows == ROWS == done.train + done.stream + done.undated + done.refused
    assert done.refused == ledger.bad["too_few_fields"] > 0
    assert done.undated == ledger.bad["not_a_time"] > 0
    assert done.empty == ledger.empty
    refused = (tmp_path / "out" / "readings.refused.txt").read_text().splitlines()
    assert sorted(refused) == sorted(text for _, reason, text in ledger.bad_lines if reason == "too_few_fields")


def test_the_two_sides_hold_the_readings_of_the_file(tmp_path: Path) -> None:
    ledger = generate.write(tmp_path / "readings.csv", n=ROWS)

    split(tmp_path / "readings.csv", AIR_QUALITY, CUT_US, tmp_path)

    parts = [sources.of_file(tmp_path / f"readings.{side}.csv", AIR_QUALITY) for side in ("train", "stream")]
    assert sum(part.rows for part in parts) == ROWS
    assert sum(part.values for part in parts) == sum(m["values"] for p in parts for m in p.metrics.values())
    assert sum(part.measurements for part in parts) == ledger.measurements
    assert sum(part.missing for part in parts) == ledger.sentinels
    assert all(not part.refused for part in parts)


@pytest.mark.parametrize("suffix", [".parquet", ".csv.gz"])
def test_parquet_and_compressed_files_are_split_the_same(suffix: str, tmp_path: Path) -> None:
    generate.write(tmp_path / "readings.csv", n=ROWS)
    whole = split(tmp_path / "readings.csv", AIR_QUALITY, CUT_US, tmp_path / "a")
    if suffix == ".csv.gz":
        path = tmp_path / "readings.csv.gz"
        path.write_bytes(gzip.compress((tmp_path / "readings.csv").read_bytes()))
    else:
        path = tmp_path / "a" / "readings.stream.parquet"

    again = split(path, AIR_QUALITY, CUT_US, tmp_path / "b")

    assert again.stream == whole.stream
    name = path.name.split(".")[0]
    one, two = (pq.read_table(tmp_path / folder / f"{name}.stream.parquet") for folder in "ab")
    assert one.to_pylist() == two.to_pylist()


def test_the_command_says_what_it_wrote(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shuffled(tmp_path / "readings.csv")
    command = ["split", str(tmp_path / "readings.csv"), "--out", str(tmp_path / "out")]

    assert main([*command, "--train-until", "2004-03-12", "--json"]) == 0

    answer = json.loads(capsys.readouterr().out)
    assert answer["rows"] == answer["train"] + answer["stream"] + answer["undated"] + answer["refused"]
    assert sorted(answer["files"]) == sorted(str(path) for path in (tmp_path / "out").iterdir())
    assert main([*command, "--train-until", "soon"]) == 1
    assert "must look like 2005-01-01" in capsys.readouterr().err
