"""Streams are lost in the middle of a load; what the lake holds and the next load together give the exact result."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from levada.aggregate import stage
from levada.core.errors import UnavailableError
from levada.domains.air_quality import AIR_QUALITY
from levadactl import events
from levadactl.loading import Lake
from levadactl.memory import MemoryDeps, MemoryServingStore
from levadactl.recovery import Ports, Recovery
from levadactl.recovery import run as recover
from levadactl.verify import truth_of, verify
from tests.builders import clean_batch
from tests.unit.aggregate import test_watching
from tests.unit.tools.pipeline import aggregate, clean, file_packs, generated, run

ROWS = 700
NEXT_STREAM_S = 1_700_000_500


@pytest.fixture
def text() -> str:
    return generated(ROWS, seed=7)


def lose_streams(memory: MemoryDeps) -> None:
    """What SIGKILL does to the embedded stack: objects stay, streams are made again empty, the table too."""
    memory.raw.entries.clear()
    memory.clean.entries.clear()
    memory.serving.items.clear()
    memory.topology.created = NEXT_STREAM_S
    memory.clock.time_s = NEXT_STREAM_S + 10


def recovered(memory: MemoryDeps) -> Recovery:
    ports = Ports(
        lake=Lake(memory.blobs, memory.serving),
        sink=memory.clean,
        clock=memory.clock,
        config=memory.config,
        raw_arn="arn:aws:kinesis:us-east-1:000000000000:stream/levada-raw",
        raw_created_s=NEXT_STREAM_S,
    )
    done = recover(ports)
    aggregate(memory)
    return done


def cleaned_only(memory: MemoryDeps, records: list[bytes]) -> None:
    """clean has committed, aggregate has seen nothing."""
    clean(memory, records)


def half_aggregated(memory: MemoryDeps, records: list[bytes]) -> None:
    """aggregate has applied the first batch of two."""
    run(memory, records[:3])
    clean(memory, records[3:])


def not_committed(memory: MemoryDeps, records: list[bytes]) -> None:
    """clean was killed behind its last effect and before its commit; aggregate was quicker than that."""
    run(memory, records[:2])
    before = dict(memory.blobs.objects)
    run(memory, records[2:5])
    for key in [k for k in memory.blobs.objects if k.startswith("checkpoints/clean/")]:
        memory.blobs.objects[key] = before[key]


def not_published(memory: MemoryDeps, records: list[bytes]) -> None:
    """clean was killed between the lake and the clean stream."""
    run(memory, records[:2])
    memory.clean.down = True
    with pytest.raises(UnavailableError):
        clean(memory, records[2:5])
    memory.clean.down = False


def both_behind(memory: MemoryDeps, records: list[bytes]) -> None:
    """aggregate has seen two records, clean has committed two more, and was killed in the next two."""
    run(memory, records[:2])
    clean(memory, records[2:4])
    memory.clean.down = True
    with pytest.raises(UnavailableError):
        clean(memory, records[4:6])
    memory.clean.down = False


def nothing_lost(memory: MemoryDeps, records: list[bytes]) -> None:
    run(memory, records)


PACK = 100 * 13
CRASHES = [
    (cleaned_only, 7 * PACK, 0, 0),
    (half_aggregated, 4 * PACK, 0, 0),
    (not_committed, 0, 3, 1),
    (not_published, 0, 3, 1),
    (both_behind, 2 * PACK, 2, 1),
    (nothing_lost, 0, 0, 0),
]


@pytest.mark.parametrize(("crash", "republished", "cleaned", "published"), CRASHES)
def test_recovery_and_the_load_again_give_the_exact_result(
    memory: MemoryDeps,
    text: str,
    tmp_path: Path,
    crash: Callable[[MemoryDeps, list[bytes]], None],
    republished: int,
    cleaned: int,
    published: int,
) -> None:
    path = tmp_path / "readings.csv"
    path.write_text(text, newline="")
    records = file_packs(text)
    crash(memory, records)
    lose_streams(memory)

    done = recovered(memory)
    before = len(memory.clean.entries)
    lake = run(memory, records)

    report = verify(lake, AIR_QUALITY, truth_of(lake, AIR_QUALITY, file=path), source="file")
    assert report.mismatches == 0, report.examples
    assert report.windows == ROWS * 13
    assert report.silver.duplicates == 0
    assert (done.rows_republished, done.records_cleaned) == (republished, cleaned)
    # the load sends everything once more; only packs that nobody had seen go on to aggregate
    assert len(memory.clean.entries) - before == published


def test_recovering_twice_changes_nothing(memory: MemoryDeps, text: str) -> None:
    half_aggregated(memory, file_packs(text))
    lose_streams(memory)
    recovered(memory)
    objects = dict(memory.blobs.objects)

    done = recovered(memory)

    assert done.rows_republished == done.records_cleaned == 0
    assert memory.blobs.objects == objects


def test_the_serving_table_is_made_again_from_gold(memory: MemoryDeps, text: str) -> None:
    run(memory, file_packs(text))
    items = dict(memory.serving.items)
    lose_streams(memory)
    memory.serving = MemoryServingStore()

    done = recovered(memory)

    assert {key: item for key, item in memory.serving.items.items() if key in items} == items
    assert done.served_items >= len(items) > 0


def test_anomalies_and_alerts_are_made_again_from_the_lake(memory: MemoryDeps) -> None:
    entries = test_watching.published([*test_watching.USUAL, "40", "1,5", "39", "1,5"])
    for first in (0, 8):
        stage.run(clean_batch(entries[first : first + 8], first=first + 1), test_watching.deps(memory))
    items = dict(memory.serving.items)
    assert len([pk for pk, _ in items if pk.startswith(("anomalies#", "alerts#"))]) == 3
    lose_streams(memory)
    memory.serving = MemoryServingStore()

    recovered(memory)

    assert {key: item for key, item in memory.serving.items.items() if key in items} == items


def test_a_file_that_was_not_sent_to_its_end_is_named(memory: MemoryDeps) -> None:
    from levada.ingest import files_handler

    key = "landing/air_quality/readings.csv"
    memory.blobs.objects[key] = generated(100).encode()
    memory.blobs.objects["landing/air_quality/unseen.csv"] = b"never read"
    files_handler.handler(events.s3(key), None)  # its packs are on the raw stream, and are lost with it
    lose_streams(memory)

    done = recovered(memory)

    assert [one["key"] for one in done.load_again] == [key, "landing/air_quality/unseen.csv"]
    assert done.load_again[0]["rows_read"] == 100
