"""The generator: the published dialect, the same file for a seed, and a ledger of exactly what it wrote."""

from __future__ import annotations

import csv
from itertools import pairwise
from pathlib import Path

import pytest

from levada.domains.air_quality import AIR_QUALITY
from levadactl import generate, sources


def test_the_same_seed_gives_the_same_file_and_another_seed_another(tmp_path: Path) -> None:
    files = [tmp_path / name for name in ("one.csv", "two.csv", "three.csv")]
    for path, seed in zip(files, (5, 5, 6), strict=True):
        generate.write(path, n=200, seed=seed, bad=0.05)

    assert files[0].read_bytes() == files[1].read_bytes() != files[2].read_bytes()


def test_it_is_written_as_the_published_file_is(tmp_path: Path, air_quality_file: Path) -> None:
    path = tmp_path / "made.csv"
    generate.write(path, n=500)
    made, published = (file.read_bytes().split(b"\r\n") for file in (path, air_quality_file))

    assert made[0] == published[0]
    assert made[1].split(b";")[:2] == published[1].split(b";")[:2]
    assert {line.count(b";") for line in made[:-1]} == {line.count(b";") for line in published[:-1]} == {16}
    assert made[-2] == published[-2] == b";" * 16
    assert made[-1] == published[-1] == b""
    assert b"\n" not in b"".join(made)


def test_the_ledger_says_exactly_what_another_engine_finds(tmp_path: Path) -> None:
    path = tmp_path / "made.csv"
    ledger = generate.write(path, n=3000, seed=3, bad=0.02)

    truth = sources.of_file(path, AIR_QUALITY)

    assert (truth.rows, truth.empty) == (ledger.rows, ledger.empty) == (3000, 114)
    assert truth.refused == dict(ledger.bad)
    assert set(truth.refused) == set(generate.BAD_KINDS)
    assert (truth.measurements, truth.missing) == (ledger.measurements, ledger.sentinels)
    assert truth.out_of_range == ledger.nox_above_1000
    lines = path.read_text().split("\n")
    assert all(lines[number - 1].rstrip("\r") == text for number, _, text in ledger.bad_lines)


def test_the_default_file_has_what_makes_the_real_one_hard(tmp_path: Path) -> None:
    ledger = generate.write(tmp_path / "made.csv")

    assert ledger.rows == 9357
    assert 5 < ledger.nox_above_1000 < 500
    assert 0.05 < ledger.sentinels / ledger.measurements < 0.25


def test_sentinels_come_in_runs() -> None:
    column = [fields[generate.VALUES.index("CO(GT)") + 2] == "-200" for fields in generate.rows(1, 5000)]
    begins = sum(now and not before for before, now in pairwise([False, *column]))

    assert sum(column) / begins > 3


def test_times_ascend_without_gaps_and_never_reach_the_future() -> None:
    assert next(iter(generate.rows(1, 5_000_000)))[:2] == ["10/03/2004", "18.00.00"]
    with pytest.raises(ValueError, match="at most"):
        next(iter(generate.rows(1, 10**9)))
    hours = [fields[1] for fields in generate.rows(1, 30)]
    assert hours == [f"{(18 + i) % 24:02d}.00.00" for i in range(30)]


@pytest.mark.parametrize(("n", "bad"), [(0, 0.0), (10, 1.5), (10, -0.1)])
def test_a_number_out_of_range_is_refused(tmp_path: Path, n: int, bad: float) -> None:
    with pytest.raises(ValueError, match="rows="):
        generate.write(tmp_path / "x.csv", n=n, bad=bad)


def test_every_row_parses_as_csv_with_numbers(tmp_path: Path) -> None:
    path = tmp_path / "made.csv"
    generate.write(path, n=50)

    with path.open(newline="") as file:
        rows = list(csv.DictReader(file, delimiter=";"))[:50]

    assert all(float(row[name].replace(",", ".")) is not None for row in rows for name in generate.VALUES)
