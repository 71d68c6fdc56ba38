"""/v1/jobs, /v1/subjobs, /v1/events, /v1/event-rollups through the real handlers, from raw records on (C4, D18)."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from typing import Any

import pytest

from levada.archive.handler import handler as archive
from levada.config import Config
from levada.core.keys import Span
from levada.query import entities
from levada.query import events as module
from levada.wiring import using
from levadactl.memory import MemoryDeps
from tests.events.test_archive import order
from tests.events.test_query import get
from tests.unit.tools.pipeline import aggregate, clean

DAY = "2026-01-01"


def happened(entity: str, job: str, event: str, at: str, **more: Any) -> bytes:
    body = {"domain": "jobs", "entity": entity, "id": job, "event": event, "time": f"{DAY}T{at}Z", "site": "ulm"}
    return json.dumps(body | more).encode()


RECORDS = (
    happened("job", "j1", "started", "00:00:01", app="Render"),
    happened("job", "j2", "started", "00:00:02", app="render-farm"),
    happened("subjob", "s1", "started", "00:00:03", app="Render", parent="j1"),
    happened("job", "j1", "finished", "00:00:09", app="Render", duration_s=8, metrics={"frames": 24}),
    happened("job", "j3", "error", "00:00:05", app="=cmd()", site="graz", duration_s=2),
    happened("subjob", "s2", "started", "00:00:05", app="Render", parent="j2"),
    happened("job", "j4", "started", "00:00:05", app="mail"),
)


@pytest.fixture
def memory() -> Iterator[MemoryDeps]:
    """All domains."""
    made = MemoryDeps(
        config=Config(bucket="lake", table="serving", raw_stream="raw", clean_stream="clean", auth="OPEN")
    )
    with using(made):
        yield made


@pytest.fixture
def served(memory: MemoryDeps) -> MemoryDeps:
    memory.clock.time_s = 1_767_225_600.0 + 60
    clean(memory, RECORDS)
    aggregate(memory)
    memory.clock.time_s += 600  # windows of a minute close a minute after their end
    archive(order(idle_after_s=0), None)
    return memory


def rows(path: str, name: str, page: str, **query: str) -> list[dict[str, Any]]:
    """All pages; page: the parameter that takes ``next``."""
    found: list[dict[str, Any]] = []
    while True:
        status, body, _ = get(path, **query)
        assert status == 200, body
        answer = json.loads(body)
        found += answer[name]
        if answer["next"] is None:
            return found
        query = query | {page: answer["next"]}


def jobs(**query: str) -> list[tuple[str, str]]:
    return [(row["entity_id"], row["status"]) for row in rows("/v1/jobs", "jobs", "to", **query)]


def test_jobs_are_listed_with_their_latest_state_newest_first(served: MemoryDeps) -> None:
    assert jobs() == [("j1", "succeeded"), ("j4", "running"), ("j3", "failed"), ("j2", "running")]
    [first, *_] = rows("/v1/jobs", "jobs", "to")
    assert (first["time"], first["app"], first["attributes"]) == (f"{DAY}T00:00:09Z", "Render", {"frames": 24})
    assert first["duration_s"] == 8


@pytest.mark.parametrize("limit", ["1", "2", "3", "4"])
def test_pages_of_any_size_make_up_the_whole(limit: str, served: MemoryDeps) -> None:
    assert jobs(limit=limit) == jobs()
    whole = rows("/v1/events", "events", "since", domain="jobs")
    assert rows("/v1/events", "events", "since", domain="jobs", limit=limit) == whole


@pytest.mark.parametrize(
    ("query", "ids"),
    [
        ({"status": "succeeded,failed"}, ["j1", "j3"]),
        ({"app": "RENDER"}, ["j1", "j2"]),
        ({"from": f"{DAY}T00:00:05Z"}, ["j1", "j4", "j3"]),
        ({"to": f"{DAY}T00:00:05Z"}, ["j2"]),
        ({"from": f"{DAY}T00:00:05Z", "to": f"{DAY}T00:00:06Z", "limit": "1"}, ["j4", "j3"]),
        ({"site": "graz"}, ["j3"]),
        ({"id": "j2"}, ["j2"]),
        ({"tenant": "other"}, []),
    ],
)
def test_jobs_are_filtered_by_time_status_app_and_site(
    query: dict[str, str], ids: list[str], served: MemoryDeps
) -> None:
    assert [one for one, _ in jobs(**query)] == ids


def test_subjobs_know_their_parent(served: MemoryDeps) -> None:
    found = rows("/v1/subjobs", "subjobs", "to", parent="j1")

    assert [(row["entity_id"], row["parent_id"]) for row in found] == [("s1", "j1")]
    assert len(rows("/v1/subjobs", "subjobs", "to")) == 2


def test_a_page_that_looks_at_too_many_is_short_and_goes_on(
    served: MemoryDeps, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(entities, "MAX_LOOKED_AT", 2)

    assert json.loads(get("/v1/jobs", status="running")[1])["jobs"][0]["entity_id"] == "j4"
    assert jobs(status="running") == [("j4", "running"), ("j2", "running")]


def test_events_come_in_order_of_time_each_once(served: MemoryDeps) -> None:
    found = rows("/v1/events", "events", "since", domain="jobs")

    assert [(row["entity_id"], row["time"][17:19]) for row in found] == [
        ("j1", "01"),
        ("j2", "02"),
        ("s1", "03"),
        ("j3", "05"),
        ("s2", "05"),
        ("j4", "05"),
        ("j1", "09"),
    ]


def test_an_object_of_an_attempt_that_was_overtaken_shows_no_event_twice(served: MemoryDeps) -> None:
    whole = rows("/v1/events", "events", "since", domain="jobs")
    [key] = [blob.key for blob in served.blobs.list("events/")]
    span = Span.parse(key.rpartition("/")[2].removesuffix(".parquet"))
    longer = Span(span.token, span.first, str(int(span.last) + 1))
    served.blobs.objects[key.replace(span.name, longer.name)] = served.blobs.objects[key]

    assert rows("/v1/events", "events", "since", domain="jobs") == whole


@pytest.mark.parametrize(
    ("query", "n"),
    [
        ({"event_type": "error"}, 1),
        ({"severity": "error"}, 1),
        ({"entity_type": "subjob"}, 2),
        ({"entity_id": "j1"}, 2),
        ({"parent_id": "j1"}, 1),
        ({"site": "graz"}, 1),
        ({"since": f"{DAY}T00:00:05Z"}, 4),
        ({"since": f"{DAY}T00:00:05Z", "until": f"{DAY}T00:00:06Z"}, 3),
        ({"until": f"{DAY}T00:00:05Z"}, 3),
        ({"until": "2025-12-31"}, 0),
        ({"tenant": "other"}, 0),
    ],
)
def test_events_are_filtered(query: dict[str, str], n: int, served: MemoryDeps) -> None:
    assert len(rows("/v1/events", "events", "since", domain="jobs", **query)) == n
    assert len(rows("/v1/events", "events", "since", domain="jobs", limit="1", **query)) == n


def test_a_day_that_was_read_is_remembered_until_an_object_is_added(served: MemoryDeps) -> None:
    assert len(rows("/v1/events", "events", "since", domain="jobs")) == 7
    clean(served, [happened("job", "j5", "started", "00:00:20")])

    assert len(rows("/v1/events", "events", "since", domain="jobs")) == 8
    assert len(served.memo["event_days"]) == 2


def test_long_ranges_are_listed_at_once(served: MemoryDeps, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_DAYS", 0)

    assert len(rows("/v1/events", "events", "since", domain="jobs", since=DAY, until="2026-01-02")) == 7


def test_event_rollups_are_windows_per_type(served: MemoryDeps) -> None:
    found = rows("/v1/event-rollups", "windows", "since", domain="jobs", metric="events")

    assert {(row["site"], row["series"]): row["sum"] for row in found} == {
        ("ulm", "started"): 5.0,
        ("ulm", "finished"): 1.0,
        ("graz", "error"): 1.0,
    }
    every = rows("/v1/event-rollups", "windows", "since", domain="jobs")
    assert {row["metric"] for row in every} == {"events", "duration_s", "jobs", "success"}
    assert {row["distinct"] for row in every if row["metric"] == "jobs" and row["series"] == "Render"} == {3}


def test_success_rates_are_those_of_all_jobs_that_have_ended(served: MemoryDeps) -> None:
    """C14: in windows, in wider ones and in rollups; other metrics have none."""
    clean(served, [happened("job", f"k{n}", "error", "00:10:00", app="Render") for n in range(3)])
    aggregate(served)
    served.clock.time_s += 1200
    archive(order(idle_after_s=0, rollups="due"), None)
    asked = {"domain": "jobs", "series": "job/Render"}

    minutes = rows("/v1/event-rollups", "windows", "since", metric="success", **asked)
    assert [(row["count"], row["success_rate"]) for row in minutes] == [(1, 1.0), (3, 0.0)]
    [hour] = rows("/v1/windows", "windows", "since", metric="success", width="3600", **asked)
    assert (hour["count"], hour["sum"], hour["success_rate"]) == (4, 1.0, 0.25)
    [day] = rows("/v1/rollups", "rollups", "since", metric="success", period="1d", **asked)
    assert (day["count"], day["success_rate"]) == (4, 0.25)
    others = rows("/v1/windows", "windows", "since", domain="jobs", metric="jobs")
    assert {row["success_rate"] for row in others} == {None}


@pytest.mark.parametrize(
    ("path", "query", "n"),
    [("/v1/jobs", {}, 4), ("/v1/events", {"domain": "jobs"}, 7), ("/v1/event-rollups", {"domain": "jobs"}, 11)],
)
def test_as_csv_a_stranger_s_text_is_never_a_formula(
    path: str, query: dict[str, str], n: int, served: MemoryDeps
) -> None:
    status, body, _ = get(path, accept="text/csv", **query)
    found = list(csv.DictReader(io.StringIO(body)))

    assert (status, len(found)) == (200, n)
    assert not [row for row in found if any(str(cell).startswith("=") for cell in row.values())]


@pytest.mark.parametrize(
    ("path", "query", "field"),
    [
        ("/v1/jobs", {"from": "yesterday"}, "from"),
        ("/v1/jobs", {"from": "2026-01-02", "to": "2026-01-01"}, "to"),
        ("/v1/jobs", {"to": "2026-01-01~x"}, "to"),
        ("/v1/jobs", {"limit": "10001"}, "limit"),
        ("/v1/jobs", {"domain": "air_quality"}, "domain"),
        ("/v1/events", {"domain": "air_quality"}, "domain"),
        ("/v1/events", {"domain": "jobs", "since": "2026-01-01~x"}, "since"),
        ("/v1/event-rollups", {"domain": "jobs", "metric": "co"}, "metric"),
        ("/v1/event-rollups", {"domain": "air_quality"}, "domain"),
    ],
)
def test_every_refusal_names_the_parameter(path: str, query: dict[str, str], field: str, memory: MemoryDeps) -> None:
    status, body, _ = get(path, **query)

    assert (status, json.loads(body)["field"], json.loads(body)["value"]) == (422, field, query[field])
