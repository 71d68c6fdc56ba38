"""Replay: paced by the rows' own times, resumed where it stopped, and never counted twice (B7)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from pyarrow import csv

from levada.clean import handler as clean_handler
from levada.config import Config
from levada.core import packs
from levada.core.errors import UnavailableError
from levada.core.parquet import from_bytes as as_table
from levada.domains.air_quality import AIR_QUALITY
from levada.wiring import using
from levadactl import events, generate
from levadactl.loading import sha256_of
from levadactl.memory import ManualClock, MemoryDeps, MemorySink
from levadactl.replaying import PACK_ROWS, Progress, packs_of, replay

ROWS = 260


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "readings.csv"
    generate.write(path, n=ROWS)
    return path


def test_as_fast_as_possible_never_waits(file: Path, tmp_path: Path) -> None:
    clock, sink = ManualClock(), MemorySink()
    start_s = clock.now_s()

    done = replay(packs_of(file, AIR_QUALITY), sink, clock, Progress(tmp_path / "p", 1), speedup=0)

    assert (done.rows, done.sent) == (ROWS, 6)
    assert clock.now_s() == start_s
    counts = [packs.split(entry.data)[0].count for entry in sink.entries]
    assert counts == [PACK_ROWS] * 5 + [ROWS % PACK_ROWS]


def test_the_pace_is_that_of_the_rows_times_the_speedup(file: Path, tmp_path: Path) -> None:
    clock = ManualClock()
    start_s = clock.now_s()

    replay(packs_of(file, AIR_QUALITY), MemorySink(), clock, Progress(tmp_path / "p", 1), speedup=3600)

    # hourly rows, one hour a second; the first pack leaves at once, its last row is row 50
    assert clock.now_s() - start_s == pytest.approx(ROWS - PACK_ROWS)


def test_an_interrupted_replay_goes_on_and_the_rows_count_once(file: Path, tmp_path: Path, memory: MemoryDeps) -> None:
    sink = MemorySink()
    progress = Progress.load(tmp_path, sha256_of(file), 7)
    due = list(packs_of(file, AIR_QUALITY))
    replay(iter(due[:2]), sink, memory.clock, progress, speedup=0)
    sink.down = True
    with pytest.raises(UnavailableError):
        replay(iter(due), sink, memory.clock, progress, speedup=0)
    sink.down = False

    again = Progress.load(tmp_path, sha256_of(file), 7)
    replay(iter(due), sink, memory.clock, again, speedup=0)
    replay(iter(due), sink, memory.clock, Progress.load(tmp_path, sha256_of(file), 7, again=True), speedup=0)

    assert again.rows == ROWS
    assert len(sink.entries) == 12
    clean_handler.handler(events.kinesis([entry.data for entry in sink.entries]), None)
    published = sum(packs.split(entry.data)[0].count for entry in memory.clean.entries)
    assert published == ROWS * 13


def test_another_stream_is_another_replay(file: Path, tmp_path: Path) -> None:
    progress = Progress.load(tmp_path, sha256_of(file), 7)
    replay(packs_of(file, AIR_QUALITY), MemorySink(), ManualClock(), progress, speedup=0)

    assert Progress.load(tmp_path, sha256_of(file), 7).rows == ROWS
    assert Progress.load(tmp_path, sha256_of(file), 8).rows == 0


def test_a_parquet_file_is_replayed_like_the_text_that_it_was_made_of(file: Path, tmp_path: Path) -> None:
    """Times that are dates and times in Parquet pace it as well; the same packs come each time."""
    parquet = tmp_path / "readings.parquet"
    table = csv.read_csv(file, parse_options=csv.ParseOptions(delimiter=";")).select(AIR_QUALITY.required)
    days = pc.strptime(table["Date"], "%d/%m/%Y", "s", error_is_null=True).cast(pa.date32())
    hours = pc.strptime(table["Time"], "%H.%M.%S", "s", error_is_null=True).cast(pa.time32("s"))
    pq.write_table(table.set_column(0, "Date", days).set_column(1, "Time", hours), parquet)
    clock, sink, texts = ManualClock(), MemorySink(), MemorySink()
    start_s = clock.now_s()

    done = replay(packs_of(parquet, AIR_QUALITY), sink, clock, Progress(tmp_path / "p", 1), speedup=3600)
    replay(packs_of(file, AIR_QUALITY), texts, ManualClock(), Progress(tmp_path / "t", 1), speedup=0)

    assert done.rows == ROWS
    assert clock.now_s() - start_s == pytest.approx(ROWS - PACK_ROWS)
    assert [packs.split(e.data)[0].count for e in sink.entries] == [packs.split(e.data)[0].count for e in texts.entries]
    assert [one.entry for one in packs_of(parquet, AIR_QUALITY)] == sink.entries
    assert silver_of(sink) == silver_of(texts)


def silver_of(sink: MemorySink) -> list[tuple[Any, ...]]:
    """(time, metric, value) of every row that clean makes of the packs."""
    memory = MemoryDeps(config=Config(bucket="lake", raw_stream="raw", clean_stream="clean"))
    with using(memory):
        clean_handler.handler(events.kinesis([entry.data for entry in sink.entries]), None)
    bodies = [body for key, body in memory.blobs.objects.items() if key.startswith("silver/")]
    rows = [row for body in bodies for row in as_table(body).to_pylist()]
    return sorted((row["time"], row["metric"], str(row["value"])) for row in rows)
