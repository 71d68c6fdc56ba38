"""Each file in events/clean/ goes through the real handler; only the stores are fakes."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from levada.clean.handler import handler
from levada.config import Config
from levada.core import packs, parquet
from levada.core.errors import UnavailableError
from levada.wiring import using
from levadactl.domain_samples import SAMPLES, reason_of
from levadactl.invoking import LocalContext
from levadactl.memory import MemoryDeps
from tests.conftest import load_event

CONTEXT = LocalContext("levada-clean")


def tables(deps: MemoryDeps, prefix: str) -> list[Mapping[str, object]]:
    """All rows of all objects under prefix."""
    keys = sorted(key for key in deps.blobs.objects if key.startswith(prefix))
    return [row for key in keys for row in parquet.from_bytes(deps.blobs.objects[key]).to_pylist()]


@pytest.mark.parametrize(
    ("case", "rows", "reasons"),
    [
        ("one_good", 1, []),
        ("good_bad_good", 2, ["not_a_number"]),
        ("all_bad", 0, ["not_a_time", "unknown_domain", "not_json"]),
        ("same_record_twice", 1, []),
        ("not_utf8", 0, ["not_json"]),
        ("gzip_body", 24, []),
        ("plain_json", 5, []),
        ("future_version", 1, []),
        ("older_version", 0, ["pack_header"]),
    ],
)
def test_what_each_event_leaves_behind(case: str, rows: int, reasons: list[str], memory: MemoryDeps) -> None:
    answer = handler(load_event(f"clean/{case}"), CONTEXT)

    assert answer == {"batchItemFailures": []}
    silver = tables(memory, "silver/")
    assert len(silver) == rows * 13
    refused = tables(memory, "quarantine/")
    assert sorted(str(row["reason"]) for row in refused) == sorted(reasons)
    assert all(row["payload"] and row["shard"] and row["sequence"] and row["detail"] for row in refused)
    published = sum(packs.split(entry.data)[0].count for entry in memory.clean.entries)
    assert published == rows * 13


@pytest.mark.parametrize("case", ["one_good", "good_bad_good", "all_bad", "plain_json", "same_record_twice"])
def test_second_delivery_changes_nothing(case: str, memory: MemoryDeps) -> None:
    handler(load_event(f"clean/{case}"), CONTEXT)
    objects, entries = dict(memory.blobs.objects), list(memory.clean.entries)

    handler(load_event(f"clean/{case}"), CONTEXT)

    assert memory.blobs.objects == objects
    assert memory.clean.entries == entries


def test_the_same_readings_as_a_pack_and_as_plain_json_give_the_same_values(memory: MemoryDeps) -> None:
    handler(load_event("clean/one_good"), CONTEXT)
    packed = [(row["time"], row["metric"], row["value"], row["quality"]) for row in tables(memory, "silver/")]
    memory.blobs.objects.clear()

    handler(load_event("clean/plain_json"), CONTEXT)

    plain = [(row["time"], row["metric"], row["value"], row["quality"]) for row in tables(memory, "silver/")]
    assert set(packed) <= set(plain)


@pytest.mark.parametrize("what", ["blobs", "clean"])
def test_an_outage_hands_the_whole_batch_back_and_the_next_delivery_is_exact(what: str, memory: MemoryDeps) -> None:
    getattr(memory, what).down = True
    with pytest.raises(UnavailableError):
        handler(load_event("clean/good_bad_good"), CONTEXT)
    assert not [key for key in memory.blobs.objects if key.startswith("checkpoints/")]
    getattr(memory, what).down = False

    handler(load_event("clean/good_bad_good"), CONTEXT)

    assert len(tables(memory, "silver/")) == 2 * 13
    assert len(tables(memory, "quarantine/")) == 1
    assert len(memory.clean.entries) == 1


def test_bronze_keeps_what_came_byte_for_byte(memory: MemoryDeps) -> None:
    from levada.core import kinesis_event

    event = load_event("clean/good_bad_good")
    batch = kinesis_event.parse(event)
    assert batch is not None

    handler(event, CONTEXT)

    assert [row["payload"] for row in tables(memory, "bronze/")] == list(batch.data)


@pytest.mark.parametrize("domain", [name for name in SAMPLES if name != "air_quality"])
def test_the_files_of_each_domain_show_what_they_say(domain: str) -> None:
    config = Config(bucket="lake", table="serving", raw_stream="raw", clean_stream="clean")
    for case, wanted in (("good", []), ("bad", sorted(reason_of(kind) for kind in SAMPLES[domain].bad))):
        memory = MemoryDeps(config=config)
        with using(memory):
            handler(load_event(f"clean/{domain}_{case}"), CONTEXT)

        assert sorted(str(row["reason"]) for row in tables(memory, "quarantine/")) == wanted
        assert tables(memory, "events/") or tables(memory, "silver/")
