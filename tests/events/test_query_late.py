"""/v1/late and /v1/windows?open=true through the real handler (D13, D19)."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

import pytest

from levada.query.handler import handler
from levadactl.memory import MemoryDeps
from tests.conftest import load_event
from tests.events.test_query import Context, get, parts
from tests.unit.archive.test_idle import METRICS, aggregate, published


def late(**query: str) -> list[dict[str, Any]]:
    status, body, _ = get("/v1/late", **query)
    assert status == 200, body
    rows: list[dict[str, Any]] = json.loads(body)["late"]
    return rows


def fill(memory: MemoryDeps) -> None:
    """Ten hours of a station, then two rows that come hours too late."""
    aggregate(memory, published(range(10)))
    aggregate(memory, published([2], n=1), first=2)
    memory.clock.time_s += 60
    aggregate(memory, published([1], n=2), first=3)


def test_who_is_late_by_how_much_and_since_when(memory: MemoryDeps) -> None:
    fill(memory)
    rows = late(metric="co")

    assert len(late()) == METRICS
    (row,) = rows
    assert (row["series"], row["metric"], row["rows"], row["within"], row["beyond"]) == ("station-1", "co", 2, 0, 2)
    assert row["largest_s"] == 8 * 3600  # behind the newest row, of 03:00 on the next day
    assert row["last_time"] == "2004-03-10T20:00:00Z"
    assert (row["since"], row["last"]) == ("2026-01-01T00:00:00Z", "2026-01-01T00:01:00Z")


def test_nobody_is_late_at_first(memory: MemoryDeps) -> None:
    aggregate(memory, published(range(10)))

    assert late() == []


@pytest.mark.parametrize(
    ("query", "count"),
    [({"since": "-1m"}, METRICS), ({"until": "-1m"}, 0), ({"limit": "3"}, 3), ({"tenant": "other"}, 0)],
)
def test_what_is_asked_for_is_listed(query: dict[str, str], count: int, memory: MemoryDeps) -> None:
    fill(memory)

    assert len(late(**query)) == count


def test_pages_follow_each_other(memory: MemoryDeps) -> None:
    fill(memory)
    aggregate(memory, published([3], n=4), first=4)
    every, found = late(), []
    after: dict[str, str] = {}
    while True:
        answer = json.loads(get("/v1/late", limit="4", **after)[1])
        found += answer["late"]
        if answer["next"] is None:
            break
        after = {"after": answer["next"]}

    assert found == every
    assert len(found) == METRICS


def test_csv_on_request(memory: MemoryDeps) -> None:
    fill(memory)

    _, body, _ = get("/v1/late", accept="text/csv", metric="co")

    assert [row["beyond"] for row in csv.DictReader(io.StringIO(body))] == ["2"]


@pytest.mark.parametrize(
    ("query", "field"), [({"rule": "we1"}, "rule"), ({"since": "soon"}, "since"), ({"after": "x"}, "after")]
)
def test_a_bad_parameter_is_a_422(query: dict[str, str], field: str, memory: MemoryDeps) -> None:
    status, body, _ = get("/v1/late", **query)

    assert (status, json.loads(body)["field"]) == (422, field)


def test_the_event_file_answers(memory: MemoryDeps) -> None:
    status, body, _ = parts(handler(load_event("query/get_late"), Context()))

    assert (status, json.loads(body)) == (200, {"late": [], "next": None})


def test_open_windows_are_asked_for(memory: MemoryDeps) -> None:
    aggregate(memory, published(range(4)))

    closed = json.loads(get("/v1/windows", metric="co")[1])["windows"]
    both = json.loads(get("/v1/windows", metric="co", open="true")[1])["windows"]

    assert [row["start"][11:13] for row in closed] == ["18", "19"]
    assert [(row["start"][11:13], row["provisional"]) for row in both] == [
        ("18", False),
        ("19", False),
        ("20", True),
        ("21", True),
    ]
    assert "provisional" not in closed[0]


def test_open_windows_as_csv(memory: MemoryDeps) -> None:
    aggregate(memory, published(range(3)))

    _, body, _ = get("/v1/windows", accept="text/csv", metric="co", open="true")

    assert [row["provisional"] for row in csv.DictReader(io.StringIO(body))] == ["false", "true", "true"]


def test_open_is_true_or_false(memory: MemoryDeps) -> None:
    status, body, _ = get("/v1/windows", open="yes")

    assert (status, json.loads(body)["field"]) == (422, "open")


def test_the_event_file_of_open_windows_answers(memory: MemoryDeps) -> None:
    status, body, _ = parts(handler(load_event("query/get_open_windows"), Context()))

    assert (status, json.loads(body)["windows"]) == (200, [])
