"""File ingest: S3 notifications through the real handler; only bucket and stream are fakes."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from levada.core import packs
from levada.core.errors import ConfigError, UnavailableError
from levada.ingest import files_handler
from levada.ingest.files_handler import handler
from levada.wiring import using
from levadactl import events
from levadactl.cases import landed
from levadactl.memory import MemoryDeps

KEY = "landing/air_quality/readings 1+2.csv"


class Context:
    """What Lambda tells of an invocation."""

    aws_request_id = "request-1"

    def __init__(self, left_ms: int = 900_000) -> None:
        self._left_ms = left_ms

    def get_remaining_time_in_millis(self) -> int:
        return self._left_ms


def put(memory: MemoryDeps, *keys: str) -> bytes:
    body = landed(KEY)
    assert body is not None
    memory.blobs.objects |= dict.fromkeys(keys, body)
    return body


def statuses(answer: dict[str, Any]) -> list[str]:
    return [one["status"] for one in answer["files"]]


def test_a_landed_file_is_on_the_stream_and_its_counts_are_the_answer(memory: MemoryDeps) -> None:
    body = put(memory, KEY)

    answer = handler(events.s3(KEY), Context())

    assert answer == {
        "files": [
            {
                "key": KEY,
                "domain": "air_quality",
                "status": "loaded",
                "lines": 50,
                "rows_read": 48,
                "bad_rows": 0,
                "empty_rows": 1,
                "packs": 1,
                "bytes": len(body),
            }
        ]
    }
    assert json.loads(json.dumps(answer)) == answer
    (entry,) = memory.raw.entries
    header = packs.split(entry.data)[0]
    assert (header.domain, header.count, header.position) == ("air_quality", 48, 0)
    assert entry.partition_key == packs.partition_key(events.lane())


def test_an_event_that_comes_twice_and_a_copy_change_nothing_but_counters(memory: MemoryDeps) -> None:
    copy = "landing/air_quality/copy.csv"
    put(memory, KEY, copy)

    answers = [handler(events.s3(KEY), Context()), handler(events.s3(KEY, copy), Context())]

    assert [statuses(a) for a in answers] == [["loaded"], ["duplicate", "duplicate"]]
    assert len(memory.raw.entries) == 1
    (ledger,) = [json.loads(body) for key, body in memory.blobs.objects.items() if key.startswith("checkpoints/")]
    assert (ledger["done"], ledger["duplicates"], ledger["names"]) == (True, 2, [KEY, copy])


def test_what_cannot_be_loaded_does_not_stop_the_others(memory: MemoryDeps) -> None:
    put(memory, KEY, "landing/weather/x.csv")
    gone, unknown = "landing/air_quality/gone.csv", "landing/weather/x.csv"

    answer = handler(events.s3(gone, unknown, KEY), Context())

    assert statuses(answer) == ["gone", "refused", "loaded"]
    assert "air_quality" in answer["files"][1]["reason"]
    assert [k for k in memory.blobs.objects if k.startswith("quarantine/stage=ingest/domain=__unknown__/")]


def test_a_deleted_object_and_a_test_event_are_nothing_to_do(memory: MemoryDeps) -> None:
    assert handler(events.s3(KEY, name="ObjectRemoved:Delete"), Context()) == {"files": []}
    assert handler({"Service": "Amazon S3", "Event": "s3:TestEvent"}, Context()) == {"files": []}


def test_little_time_left_means_the_event_comes_again(memory: MemoryDeps) -> None:
    put(memory, KEY)

    with pytest.raises(UnavailableError, match="out of time after line 1"):
        handler(events.s3(KEY), Context(left_ms=9_000))
    assert statuses(handler(events.s3(KEY), None)) == ["loaded"]


def test_an_outage_raises_and_the_next_delivery_loads_everything_once(memory: MemoryDeps) -> None:
    put(memory, KEY)
    memory.raw.down = True
    with pytest.raises(UnavailableError):
        handler(events.s3(KEY), Context())
    memory.raw.down = False

    assert statuses(handler(events.s3(KEY), Context())) == ["loaded"]
    assert len(memory.raw.entries) == 1


def test_an_event_of_another_service_is_a_wrong_wiring(memory: MemoryDeps) -> None:
    with pytest.raises(ConfigError, match="an S3 notification has Records"):
        handler({"httpMethod": "GET"}, Context())


def test_the_published_file_through_the_handler(memory: MemoryDeps, air_quality_file: Path) -> None:
    """B6."""
    key = "landing/air_quality/AirQualityUCI.csv"
    memory.blobs.objects[key] = air_quality_file.read_bytes()

    (one,) = handler(events.s3(key), Context())["files"]

    assert (one["rows_read"], one["empty_rows"], one["bad_rows"], one["lines"]) == (9357, 114, 0, 9472)
    assert sum(packs.split(e.data)[0].count for e in memory.raw.entries) == 9357


class Ending(Context):
    """An invocation that has time for so many looks at the clock."""

    def __init__(self, looks: int) -> None:
        super().__init__()
        self._looks = looks

    def get_remaining_time_in_millis(self) -> int:
        self._looks -= 1
        return 900_000 if self._looks >= 0 else 5_000


@pytest.fixture
def small_blocks(memory: MemoryDeps, monkeypatch: pytest.MonkeyPatch) -> MemoryDeps:
    """Files of some lines have many blocks, and the function is called back under its name."""
    whole = files_handler.stage_deps
    monkeypatch.setattr(files_handler, "stage_deps", lambda d: replace(whole(d), block_bytes=400))
    object.__setattr__(memory.config, "files_function", "loader")
    memory.functions.handlers["loader"] = lambda event: handler(event, Ending(3))
    return memory


def test_a_load_that_runs_out_of_time_goes_on_in_another_invocation(small_blocks: MemoryDeps) -> None:
    """Lambda ends an invocation after 15 minutes, and S3's event is retried twice only."""
    put(small_blocks, KEY)
    whole = MemoryDeps()
    whole.blobs.objects = dict(small_blocks.blobs.objects)
    with using(whole):
        expected = handler(events.s3(KEY), Context())

    first = handler(events.s3(KEY), Ending(3))
    others = small_blocks.functions.run()

    assert statuses(first) == ["continued"]
    assert [statuses(one)[0] for one in others] == ["continued"] * (len(others) - 1) + ["loaded"]
    assert len(others) > 2
    assert others[-1]["files"] == expected["files"]
    sent, clean_run = small_blocks.raw.entries, whole.raw.entries
    assert [e.data for e in sent] == [e.data for e in clean_run]


def test_an_invocation_without_time_for_one_block_does_not_call_itself_for_ever(small_blocks: MemoryDeps) -> None:
    put(small_blocks, KEY)

    with pytest.raises(UnavailableError, match="out of time after line 1"):
        handler(events.s3(KEY), Context(left_ms=5_000))

    assert small_blocks.functions.started == []


def test_a_call_for_another_invocation_that_fails_leaves_it_to_the_event_s_retry(small_blocks: MemoryDeps) -> None:
    put(small_blocks, KEY)
    small_blocks.functions.down = True

    with pytest.raises(UnavailableError, match="memory functions are down"):
        handler(events.s3(KEY), Ending(3))

    small_blocks.functions.down = False
    assert statuses(handler(events.s3(KEY), Context())) == ["loaded"]


def test_a_very_large_file_is_loaded_by_several_invocations_one_of_which_runs_out_of_time(
    small_blocks: MemoryDeps, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = put(small_blocks, KEY)
    whole = files_handler.stage_deps
    monkeypatch.setattr(
        files_handler, "stage_deps", lambda d: replace(whole(d), split_bytes=len(body) - 1, piece_bytes=2500)
    )

    first = handler(events.s3(KEY), Context())
    answers = [one["files"][0] for one in small_blocks.functions.run()]
    again = handler(events.s3(KEY), Context())

    assert first["files"][0]["status"] == "split"
    loaded = [one for one in answers if one["status"] == "loaded"]
    assert sorted(one["piece"] for one in loaded) == list(range(len(loaded)))
    assert len(loaded) > 1
    assert "continued" in [one["status"] for one in answers]
    assert (again["files"][0]["status"], again["files"][0]["rows_read"]) == ("duplicate", 48)
    assert sum(packs.split(entry.data)[0].count for entry in small_blocks.raw.entries) == 48
