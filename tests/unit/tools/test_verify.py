"""``levada verify``: agrees with a pipeline that works, and sees each way in which one can be wrong."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from levada.core import parquet
from levada.domains.air_quality import AIR_QUALITY
from levadactl.loading import Lake
from levadactl.memory import MemoryDeps
from levadactl.verify import Report, truth_of, verify
from tests.unit.tools.pipeline import file_packs, generated, run

ROWS = 400


@pytest.fixture
def loaded(memory: MemoryDeps, tmp_path: Path) -> tuple[Lake, Path]:
    text = generated(ROWS)
    path = tmp_path / "readings.csv"
    path.write_text(text, newline="")
    return run(memory, file_packs(text)), path


def check(lake: Lake, file: Path | None) -> Report:
    return verify(lake, AIR_QUALITY, truth_of(lake, AIR_QUALITY, file=file), source="test")


def rewrite(memory: MemoryDeps, prefix: str, change: str) -> None:
    """Spoil the first object under prefix that holds a value: ``drop`` a row, or ``alter`` a number."""
    for key in sorted(k for k in memory.blobs.objects if k.startswith(prefix)):
        table = parquet.from_bytes(memory.blobs.objects[key])
        name = "max" if prefix.startswith("gold") else "value"
        where = pc.indices_nonzero(pc.is_valid(table[name])).to_pylist()
        if not where:
            continue
        if change == "drop":
            table = table.take(pa.array([i for i in range(table.num_rows) if i != where[0]]))
        else:
            values = table[name].to_pylist()
            values[where[0]] += 0.001
            table = table.set_column(table.column_names.index(name), name, pa.array(values, pa.float64()))
        memory.blobs.objects[key] = parquet.to_bytes(table)
        return
    raise AssertionError(f"nothing to spoil under {prefix}")


@pytest.mark.parametrize("from_file", [True, False], ids=["file", "bronze"])
def test_a_pipeline_that_works_agrees_with_both_sources(loaded: tuple[Lake, Path], from_file: bool) -> None:
    lake, path = loaded

    report = check(lake, path if from_file else None)

    assert report.mismatches == 0, report.examples
    assert report.windows == ROWS * 13
    assert report.gold.found == report.serving.found == ROWS * 13
    assert 0 < report.open < report.windows
    assert report.silver.distinct == report.silver.rows == ROWS * 13
    assert report.silver.dates == 18


def test_packs_that_come_again_change_nothing(memory: MemoryDeps, loaded: tuple[Lake, Path]) -> None:
    lake, path = loaded
    records = file_packs(path.read_text())

    run(memory, [*records, *records])

    assert check(lake, path).mismatches == 0


@pytest.mark.parametrize("change", ["drop", "alter"])
def test_a_wrong_window_in_gold_is_found(memory: MemoryDeps, loaded: tuple[Lake, Path], change: str) -> None:
    lake, path = loaded
    rewrite(memory, "gold/", change)

    report = check(lake, path)

    assert report.gold.mismatches == 1
    assert report.serving.mismatches == 0
    example = report.examples[0]
    assert example["in"] == "gold"
    assert example["problem"] == ("missing" if change == "drop" else "differs")


def test_a_segment_that_is_not_served_is_found(memory: MemoryDeps, loaded: tuple[Lake, Path]) -> None:
    lake, path = loaded
    key = next(key for key in sorted(memory.serving.items) if key[0].startswith(("windows#", "hours#")))
    n = memory.serving.items.pop(key)["n"]

    report = check(lake, path)

    assert report.serving.mismatches == n
    assert report.gold.mismatches == 0


def test_a_measurement_that_is_not_in_silver_is_found(memory: MemoryDeps, loaded: tuple[Lake, Path]) -> None:
    lake, path = loaded
    rewrite(memory, "silver/", "drop")

    report = check(lake, path)

    assert report.silver.distinct == ROWS * 13 - 1
    assert report.mismatches >= 1


def test_a_file_with_one_row_more_than_was_loaded_is_found(loaded: tuple[Lake, Path]) -> None:
    lake, path = loaded
    path.write_text(generated(ROWS + 1), newline="")

    report = check(lake, path)

    assert report.gold.mismatches == report.serving.mismatches == 13
    assert report.silver.expected - report.silver.distinct == 13
    assert {example["problem"] for example in report.examples} == {"missing"}
