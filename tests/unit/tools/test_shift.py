"""--shift-to-now: the last row is now, spacing stays, the source's own time stays in bronze, rows are marked (A27)."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from levada.core import packs, parquet
from levada.core.errors import BadRecordError
from levada.core.records import Quality
from levada.domains.air_quality import AIR_QUALITY
from levada.ingest import shifted
from levada.ingest.files import FilesDeps, load, load_piece
from levada.ingest.pieces import Order
from levadactl import events, generate
from levadactl.errors import LevadactlError
from levadactl.loading import TENANT, Lake, sha256_of
from levadactl.memory import MemoryDeps, MemorySink
from levadactl.replaying import Progress, packs_of, replay, shift_to
from levadactl.verify import truth_of, verify
from tests.unit.tools import pipeline

ROWS = 130


def replayed(memory: MemoryDeps, path: Path, folder: Path, *, shifted: bool = True) -> Lake:
    progress = Progress.load(folder, "content", 1, shifted=shifted)
    if shifted and not progress.shift_us:
        progress.shift_us = shift_to(int(memory.clock.now_s() * 1e6), path, AIR_QUALITY)
    sink = MemorySink()
    replay(packs_of(path, AIR_QUALITY, shift_us=progress.shift_us), sink, memory.clock, progress, speedup=0)
    return pipeline.run(memory, [entry.data for entry in sink.entries])


def silver(memory: MemoryDeps) -> pa.Table:
    found = [body for key, body in sorted(memory.blobs.objects.items()) if key.startswith("silver/")]
    return pa.concat_tables([parquet.from_bytes(body) for body in found]).sort_by("time")


def test_the_last_row_is_now_and_the_spacing_stays(memory: MemoryDeps, tmp_path: Path) -> None:
    generate.write(tmp_path / "old.csv", n=ROWS, bad=0.05)

    lake = replayed(memory, tmp_path / "old.csv", tmp_path)

    rows = silver(memory)
    times = sorted(set(rows["time"].cast(pa.int64()).to_pylist()))
    assert times[-1] == int(memory.clock.now_s() * 1e6)
    assert {b - a for a, b in pairwise(times)} <= {n * 3_600_000_000 for n in (1, 2, 3)}
    assert all(flags & Quality.FORCED_TIME for flags in rows["quality"].to_pylist())
    bodies = [body for key, body in memory.blobs.objects.items() if key.startswith("bronze/")]
    texts = [row["payload"] for body in bodies for row in parquet.from_bytes(body).to_pylist()]
    assert {packs.split(text)[0].extra["shift_us"] > 0 for text in texts} == {True}  # type: ignore[index]
    report = verify(lake, AIR_QUALITY, truth_of(lake, AIR_QUALITY, file=None), source="bronze")
    assert report.windows > 0
    assert report.mismatches == 0, report.examples


def test_without_it_nothing_is_moved_or_marked(memory: MemoryDeps, tmp_path: Path) -> None:
    generate.write(tmp_path / "old.csv", n=ROWS)

    replayed(memory, tmp_path / "old.csv", tmp_path, shifted=False)

    rows = silver(memory)
    assert not any(flags & Quality.FORCED_TIME for flags in rows["quality"].to_pylist())
    assert str(rows["time"][0].as_py()).startswith("2004-03-10")


def test_a_replay_that_goes_on_moves_by_the_same_amount_and_one_that_begins_again_does_not_collide(
    memory: MemoryDeps, tmp_path: Path
) -> None:
    path = tmp_path / "old.csv"
    generate.write(path, n=ROWS)
    replayed(memory, path, tmp_path)
    before = Progress.load(tmp_path, "content", 1, shifted=True)
    memory.clock.sleep(7200)

    replayed(memory, path, tmp_path)

    assert Progress.load(tmp_path, "content", 1, shifted=True) == before
    assert silver(memory).num_rows == ROWS * 13
    assert Progress.load(tmp_path, "content", 1).sent == 0
    one, two = (next(iter(packs_of(path, AIR_QUALITY, shift_us=shift))).entry.data for shift in (5, 6))
    assert packs.split(one)[0].source != packs.split(two)[0].source


def test_a_file_without_any_time_cannot_be_moved(tmp_path: Path) -> None:
    path = tmp_path / "undated.csv"
    path.write_text(generate.HEADER + "\r\n" + ";;" + ";".join(["1"] * 13) + ";;\r\n")

    with pytest.raises(LevadactlError, match="no row has a time"):
        shift_to(0, path, AIR_QUALITY)


@pytest.mark.parametrize("shift", ["1", 1.5, True, 10**18, None])
def test_a_pack_whose_shift_is_none_goes_to_quarantine(shift: object, memory: MemoryDeps) -> None:
    pipeline.clean(memory, [events.ndjson_pack([events.row(0)], shift_us=shift)])

    found = Lake(memory.blobs, memory.serving).counters("clean")["__unknown__"]
    assert found["quarantined:pack_header"] == 1


def test_only_rows_of_the_pack_that_says_so_are_moved_and_marked(memory: MemoryDeps) -> None:
    pipeline.clean(
        memory,
        [events.ndjson_pack([events.row(0)], shift_us=3_600_000_000), events.ndjson_pack([events.row(1)], position=1)],
    )

    rows = silver(memory)
    flags = {bool(f & Quality.FORCED_TIME) for f in rows["quality"].to_pylist()}
    assert flags == {True, False}
    assert len(set(rows["time"].to_pylist())) == 1, "hour 0 was moved to hour 1"


def land(memory: MemoryDeps, path: Path, shift_us: int) -> Lake:
    """What `levada upload --shift-to-now` puts, loaded and sent on through clean and aggregate."""
    key = f"landing/air_quality/{shifted.folder(shift_us)}{path.name}"
    memory.blobs.put(key, path.read_bytes())
    sink = MemorySink()
    stage = FilesDeps(
        blobs=memory.blobs,
        sink=sink,
        topology=memory.topology,
        clock=memory.clock,
        domains={"air_quality": AIR_QUALITY},
        tenant=TENANT,
        raw_stream="raw",
        pack_rows=50,
        fence_horizon_h=48,
        start=(orders := list[dict[str, Any]]()).append,
        split_bytes=8_000,
        piece_bytes=4_000,
    )
    load(key, stage, remaining_s=lambda: 900.0)
    for event in orders:
        load_piece(Order.from_event(event), stage, remaining_s=lambda: 900.0)
    return pipeline.run(memory, [entry.data for entry in sink.entries])


@pytest.mark.parametrize("rows", [20, ROWS], ids=["whole", "in pieces"])
def test_an_uploaded_file_is_moved_as_a_replayed_one_is(rows: int, memory: MemoryDeps, tmp_path: Path) -> None:
    path = tmp_path / "old.csv"
    generate.write(path, n=rows)
    assert (path.stat().st_size > 8_000) == (rows == ROWS), "what is larger is loaded in pieces"
    shift_us = shift_to(int(memory.clock.now_s() * 1e6), path, AIR_QUALITY)

    land(memory, path, shift_us)
    lake = land(memory, path, shift_us)  # the same once more: its ledger knows it

    moved = silver(memory)
    assert moved.num_rows == rows * 13
    assert max(moved["time"].cast(pa.int64()).to_pylist()) == int(memory.clock.now_s() * 1e6)
    assert all(flags & Quality.FORCED_TIME for flags in moved["quality"].to_pylist())
    known = lake.ledger("air_quality", TENANT, shifted.identity(sha256_of(path), shift_us))
    assert known is not None
    assert (known["done"], known["duplicates"]) == (True, 1)
    assert lake.ledger("air_quality", TENANT, sha256_of(path)) is None
    land(memory, path, shift_us + 1)
    assert silver(memory).num_rows == 2 * rows * 13


@pytest.mark.parametrize("said", ["", "1h", "--5", "5.0", "9" * 20, "٣"])
def test_a_folder_that_says_no_shift_refuses_its_files(said: str) -> None:
    with pytest.raises(BadRecordError, match=f"bad_shift.*shift_us={said!r} must be a whole number"):
        shifted.shift_of(f"landing/air_quality/shift_us={said}/a.csv")


@pytest.mark.parametrize(
    "key", ["landing/x/a.csv", "landing/x/a/shift_us=5/a.csv", "landing/x/shift_us=5", "shift_us=5/a"]
)
def test_only_the_folder_below_the_domain_says_it(key: str) -> None:
    assert shifted.shift_of(key) == 0
