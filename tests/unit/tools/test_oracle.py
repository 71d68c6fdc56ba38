"""The oracle: every dialect of a file gives the same windows, what cannot be read is counted, and it is right."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from levada.domains.air_quality import AIR_QUALITY
from levada.domains.declaration import Domain, Metric, Time
from levada.domains.registry import registered
from levadactl import events, oracle, sources
from levadactl.errors import LevadactlError
from levadactl.oracle import Truth
from levadactl.sources import RawRecord, SourceError
from tests.builders import pack, source_row
from tests.stack.dialects import DIALECTS
from tests.unit.tools.pipeline import file_packs, generated

HOURLY = Domain(
    name="hourly",
    time=Time(columns=("at",), formats=("%Y-%m-%d %H:%M:%S",)),
    metrics={"a": Metric("a", 0, 10), "b": Metric("b")},
    keys={"series": "who"},
    sentinels=(-1.0,),
    window_s=3600,
)


def truth_of(tmp_path: Path, text: str | bytes, domain: Domain = HOURLY, name: str = "file.csv", **more: Any) -> Truth:
    path = tmp_path / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return sources.of_file(path, domain, **more)


def windows(truth: Truth) -> dict[tuple[str, str, str], dict[str, Any]]:
    out = {}
    for row in truth.windows.to_pylist():
        start = datetime.fromtimestamp(row["window_start"] / 1_000_000, UTC).strftime("%Y-%m-%d %H:%M")
        out[row["series"], row["metric"], start] = row
    return out


def test_windows_worked_out_by_hand(tmp_path: Path) -> None:
    truth = truth_of(
        tmp_path,
        "at,who,a,b\n"
        "2020-01-01 00:00:00,x,1,5\n"
        "2020-01-01 00:59:59,x,3,\n"  # still the first hour; b is missing
        "2020-01-01 01:00:00,x,-1,7\n"  # the next hour; a is the sentinel
        "2020-01-01 00:30:00,x,11,2\n"  # back in the first hour; a is out of range
        "2020-01-01 00:00:00,x,2,4\n"  # same time as the first row, written later
        "2020-01-01 00:10:00,y,2,2\n"
        ",z,1,1\n",  # no time: counted, in no window
    )

    found = windows(truth)

    assert set(found) == {
        ("x", "a", "2020-01-01 00:00"),
        ("x", "b", "2020-01-01 00:00"),
        ("x", "a", "2020-01-01 01:00"),
        ("x", "b", "2020-01-01 01:00"),
        ("y", "a", "2020-01-01 00:00"),
        ("y", "b", "2020-01-01 00:00"),
    }
    first = found["x", "a", "2020-01-01 00:00"]
    assert (first["count"], first["missing"], first["sum"], first["mean"]) == (3, 1, 6.0, 2.0)
    assert (first["min"], first["max"], first["first"], first["last"]) == (1.0, 3.0, 1.0, 3.0)
    b = found["x", "b", "2020-01-01 00:00"]
    assert (b["count"], b["missing"], b["first"], b["last"]) == (3, 1, 5.0, 2.0)
    empty = found["x", "a", "2020-01-01 01:00"]
    assert (empty["count"], empty["missing"]) == (0, 1)
    assert {empty[name] for name in ("sum", "min", "max", "mean", "first", "last")} == {None}
    assert (truth.rows, truth.undated, truth.measurements, truth.missing, truth.out_of_range) == (7, 1, 14, 2, 1)


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda d: d.__name__)
def test_every_dialect_of_a_file_gives_the_same_windows(tmp_path: Path, dialect: Callable[[str], bytes]) -> None:
    text = generated(300)
    published = truth_of(tmp_path, text, AIR_QUALITY)

    other = truth_of(tmp_path, dialect(text), AIR_QUALITY, name="other.csv")

    assert published.values > 3000
    assert other.windows.equals(published.windows)
    assert (other.rows, other.values, other.missing) == (published.rows, published.values, published.missing)


def test_a_compressed_file_and_ndjson_give_the_same(tmp_path: Path) -> None:
    rows = [{"at": "2020-01-01 00:00:00", "who": "x", "a": 1.5, "b": None}]
    plain = truth_of(tmp_path, "at,who,a,b\n2020-01-01 00:00:00,x,1.5,\n")

    zipped = truth_of(tmp_path, gzip.compress(b"at,who,a,b\n2020-01-01 00:00:00,x,1.5,\n"), name="f.csv.gz")
    lines = truth_of(tmp_path, "\n".join(json.dumps(row) for row in rows), name="f.ndjson")

    assert zipped.windows.equals(plain.windows)
    assert lines.windows.equals(plain.windows)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("2020-01-01 00:00:00,x", "too_few_fields"),
        ("2020-01-01 00:00:00,x,1,2,3", "too_many_fields"),
        ("2020-01-01 00:00:00,x,one,2", "not_a_number"),
        ("2020-01-01 00:00:00,x,1e999,2", "not_a_number"),
        ("2020-01-01 00:00:00,x,nan,2", "not_a_number"),
        ("2020-02-30 00:00:00,x,1,2", "not_a_time"),
        ("20-02-03 00:00:00,x,1,2", "not_a_time"),
        ("2020-01-01 24:00:00,x,1,2", "not_a_time"),
        ("2020-01-01,x,1,2", "not_a_time"),
        ("2020-01-01 00:00:00,x,1,\xff", "not_utf8"),
        ("2030-01-01 00:00:00,x,1,2", "future_time"),
    ],
)
def test_a_broken_line_is_left_out_and_counted_by_its_reason(tmp_path: Path, line: str, reason: str) -> None:
    text = f"at,who,a,b\n2020-01-01 00:00:00,x,1,2\n{line}\n2020-01-01 00:00:01,x,3,4\n"
    latest_us = int(datetime(2029, 1, 1, tzinfo=UTC).timestamp()) * 1_000_000

    truth = truth_of(tmp_path, text.encode("latin-1"), latest_us=latest_us)

    assert truth.refused == {reason: 1}
    assert (truth.rows, truth.measurements, truth.values) == (3, 4, 4)


@pytest.mark.parametrize(
    ("line", "empty", "rows"),
    [(",,,", 1, 2), ("2020-01-01 00:00:00,x,1,2,,", 0, 3), (" , ,,", 1, 2), ("2020-01-01 00:00:00,x,1,", 0, 3)],
)
def test_empty_fields_break_no_line(tmp_path: Path, line: str, empty: int, rows: int) -> None:
    truth = truth_of(tmp_path, f"at,who,a,b\n2020-01-01 00:00:00,x,1,2\n{line}\n2020-01-01 00:00:01,x,3,4\n")

    assert (truth.empty, truth.rows, truth.refused) == (empty, rows, {})


def test_a_file_without_the_columns_is_refused_with_their_names(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="hourly: at, who, a, b"):
        truth_of(tmp_path, "at,a\n")


def record(payload: bytes, n: int, shard: str = "65f1c2a0-000000000000") -> RawRecord:
    return RawRecord(shard, f"{n:056d}", "default", payload)


def test_bronze_gives_the_same_windows_as_the_file(tmp_path: Path) -> None:
    text = generated(300)
    records = [record(payload, n) for n, payload in enumerate(file_packs(text))]

    truth = sources.of_bronze(records, AIR_QUALITY)

    assert truth.windows.equals(truth_of(tmp_path, text, AIR_QUALITY).windows)


def test_a_pack_and_a_record_that_stand_in_bronze_twice_count_once() -> None:
    pack, plain = events.ndjson_pack([events.row(0), events.row(1)]), events.compact(events.row(2))
    once = sources.of_bronze([record(pack, 1), record(plain, 2)], AIR_QUALITY)

    again = [record(pack, 1), record(plain, 2), record(pack, 9), record(pack, 1, "65f1c2ff-000000000000")]
    twice = sources.of_bronze([*again, record(plain, 2)], AIR_QUALITY)

    assert once.rows == 3
    assert twice.windows.equals(once.windows)


def test_the_published_file_has_the_figures_that_are_known_of_it(air_quality_file: Path) -> None:
    truth = sources.of_file(air_quality_file, AIR_QUALITY)

    assert (truth.rows, truth.empty, truth.measurements) == (9357, 114, 121641)
    assert (truth.missing, truth.out_of_range, truth.values) == (16701, 78, 104862)
    assert truth.refused == {}
    assert truth.windows.num_rows == 121641


def redriven(attempt: int, row: int, sequence: int) -> RawRecord:
    """A refused row of file/test#01 at position 0, sent again."""
    body = pack([source_row(row)], source=f"redrive{attempt}/file/test#01@0", n=row)
    return RawRecord("6553f100-000000000000", f"{sequence:056d}", "default", body)


def test_a_redriven_row_counts_once_beside_the_pack_it_stood_in_and_without_it() -> None:
    root = RawRecord("6553f100-000000000000", f"{1:056d}", "default", pack([source_row(h) for h in range(3)]))
    again = [redriven(1, 1, 2), redriven(2, 1, 3), redriven(1, 2, 4)]

    assert sources.distinct([root, *again]) == [root]
    assert sources.distinct(again) == again[1:]


def test_a_plain_record_that_was_wrapped_to_be_sent_again_is_the_record_it_was() -> None:
    plain = RawRecord("6553f100-000000000000", f"{7:056d}", "default", b"{}")
    wrapped = pack([source_row(0)], source=f"{plain.shard}/{plain.sequence}", n=0)
    later = RawRecord("6553f100-000000000001", f"{9:056d}", "default", wrapped)

    assert sources.distinct([plain, later]) == [plain]


@pytest.mark.parametrize("name", ["jobs", "telemetry", "sensor", "shop"])
def test_a_domain_that_one_query_cannot_recompute_is_refused_by_name(name: str) -> None:
    oracle.check(registered()["air_quality"])

    with pytest.raises(LevadactlError, match=f"domain {name}: verify recomputes wide domains"):
        oracle.check(registered()[name])
