"""What the producer sends is what clean reads: every form of pack gives the same rows, once (B9, C27)."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from levada.clean import handler as clean_handler
from levada.domains.air_quality import AIR_QUALITY
from levada.producer import Limits, Producer
from levada.producer.disk import FolderDisk
from levadactl import events, producing
from levadactl.errors import LevadactlError
from levadactl.loading import Lake
from levadactl.memory import ManualClock, MemoryDeps, MemorySink
from tests.unit.producer.hostile import HostileStream

ROWS = 300


def rows(n: int = ROWS) -> list[dict[str, Any]]:
    return [events.row(i, Date=f"2025-11-{1 + i // 24:02d}") for i in range(n)]


def counted(memory: MemoryDeps, stream: MemorySink | HostileStream) -> dict[str, int]:
    """clean's counters after all of the stream."""
    bodies = [entry.data for entry in stream.entries]
    for start in range(0, len(bodies), 5):
        clean_handler.handler(events.kinesis(bodies[start : start + 5], first=start + 1), None)
    return dict(Lake(memory.blobs, memory.serving).counters("clean")["air_quality"])


def test_dicts_lines_and_tables_give_the_same_rows_and_what_came_twice_counts_once(memory: MemoryDeps) -> None:
    stream = HostileStream(["lost", "", "lost"])
    with Producer(stream, ManualClock(), AIR_QUALITY, limits=Limits(pack_rows=50)) as made:
        made.send_all(rows()[:100])
        made.flush()
        for row in rows()[100:200]:
            made.send_line(events.compact(row))
        made.flush()
        made.send_table(pa.Table.from_pylist(rows()[200:]))

    found = counted(memory, stream)
    assert found["rows"] == ROWS
    assert found["measurements"] == ROWS * 13
    assert found["missing"] == ROWS
    assert "quarantined" not in found
    assert found["duplicates"] > 0


def test_a_table_of_columns_is_read_as_the_same_rows(memory: MemoryDeps) -> None:
    stream = MemorySink()
    columns = {name: [row[name] for row in rows()] for name in rows()[0]}
    with Producer(stream, ManualClock(), AIR_QUALITY, limits=Limits(table_pack_rows=128)) as made:
        made.send_table(pa.table(columns))

    assert counted(memory, stream)["values"] == ROWS * 12


def test_lines_of_standard_input_are_sent_and_empty_ones_counted(memory: MemoryDeps) -> None:
    stream = MemorySink()
    text = b"\n".join(events.compact(row) for row in rows(10)) + b"\n\n  \nnot json\n"
    with Producer(stream, ManualClock(), AIR_QUALITY) as made:
        done = producing.from_stream(io.BytesIO(text), made)

    assert (done.events, done.empty) == (11, 2)
    found = counted(memory, stream)
    assert (found["rows"], found["quarantined"], found["quarantined:not_json"]) == (10, 1, 1)


def test_a_file_goes_on_where_the_spool_says_also_after_it_has_grown(memory: MemoryDeps, tmp_path: Path) -> None:
    path, stream = tmp_path / "growing.ndjson", HostileStream(["down"] * 6)
    lines = [events.compact(row) + b"\n" for row in rows()]
    sent = []
    for end in (3, 100, 100, ROWS):
        path.write_bytes(b"".join(lines[:end]))
        disk = FolderDisk(tmp_path / "spool")
        with Producer(stream, ManualClock(), AIR_QUALITY, disk=disk, limits=Limits(attempts=2)) as made:
            sent.append(producing.from_file(path, made).events)

    assert sent == [3, 97, 0, 200]
    assert counted(memory, stream)["rows"] == ROWS


def test_another_file_begins_at_its_beginning(tmp_path: Path) -> None:
    stream = MemorySink()
    for name in ("one", "two"):
        (tmp_path / name).write_bytes(events.compact(events.row(0)) + b"\n")
        with Producer(stream, ManualClock(), AIR_QUALITY, disk=FolderDisk(tmp_path / "spool")) as made:
            assert producing.from_file(tmp_path / name, made).events == 1


def test_a_line_that_no_pack_can_hold_is_named() -> None:
    with Producer(MemorySink(), ManualClock(), AIR_QUALITY) as made, pytest.raises(LevadactlError, match="event 2 of"):
        producing.from_stream(io.BytesIO(b'{}\n{"x":"' + b"y" * 1_000_000 + b'"}\n'), made)
