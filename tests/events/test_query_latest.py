"""/v1/latest through the real handler (D19, D20, E10)."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

import pytest

from levada.query import answers
from levada.query.handler import handler
from levadactl.memory import MemoryDeps
from tests.conftest import load_event
from tests.events.test_query import Context, get, parts
from tests.unit.archive.test_idle import METRICS, aggregate, published


def latest(**query: str) -> dict[str, Any]:
    status, body, _ = get("/v1/latest", **query)
    assert status == 200, body
    found: dict[str, Any] = json.loads(body)
    return found


def test_the_newest_closed_window_of_each_series_with_its_revision(memory: MemoryDeps) -> None:
    aggregate(memory, published(range(4)))
    aggregate(memory, published([1], n=1), first=2)  # late, of the newest window that has closed
    aggregate(memory, published([4], n=2), first=3)

    found = latest()

    assert (len(found["latest"]), found["next"]) == (METRICS, None)
    assert {(row["start"], row["revisions"]) for row in found["latest"]} == {("2004-03-10T20:00:00Z", 1)}
    assert latest(until="2004-03-10T20:00:00Z")["latest"][0]["revisions"] == 2
    assert "provisional" not in found["latest"][0]


def test_with_open_windows_too(memory: MemoryDeps) -> None:
    aggregate(memory, published(range(4)))

    (row,) = latest(open="true", metric="co")["latest"]

    assert (row["start"], row["provisional"], row["count"]) == ("2004-03-10T21:00:00Z", True, 1)


def test_series_that_have_been_silent_since_are_left_out(memory: MemoryDeps) -> None:
    aggregate(memory, published(range(4)))

    assert latest(since="2004-03-10T20:00:00Z") == {"latest": [], "next": None}
    assert len(latest(since="2004-03-10T19:00:00Z")["latest"]) == METRICS


def test_pages_follow_each_other(memory: MemoryDeps) -> None:
    aggregate(memory, published(range(4)))
    everything, found = latest()["latest"], []
    after: dict[str, str] = {}
    for _ in range(4):
        page = latest(limit="4", **after)
        found += page["latest"]
        after = {"after": page["next"]}

    assert (page["next"], found) == (None, everything)


def test_an_answer_that_would_be_too_large_is_cut(memory: MemoryDeps, monkeypatch: pytest.MonkeyPatch) -> None:
    aggregate(memory, published(range(4)))
    everything = latest()["latest"]
    monkeypatch.setattr(answers, "MAX_BODY_BYTES", 3_000)

    page = latest()

    assert 0 < len(page["latest"]) < METRICS
    assert latest(after=page["next"])["latest"][0] == everything[len(page["latest"])]


def test_csv_on_request(memory: MemoryDeps) -> None:
    aggregate(memory, published(range(4)))

    _, body, headers = get("/v1/latest", accept="text/csv", limit="3", open="true")

    rows = list(csv.DictReader(io.StringIO(body)))
    assert [row["provisional"] for row in rows] == ["true"] * 3
    assert latest(after=headers[answers.NEXT][0])["latest"][0]["metric"] > rows[-1]["metric"]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"width": "3600"}, "width"),
        ({"since": "soon"}, "since"),
        ({"since": "2004-03-10T20:00:00Z~W10"}, "since"),
        ({"after": "bnVsbA"}, "after"),
        ({"open": "yes"}, "open"),
        ({"limit": "0"}, "limit"),
        ({"domain": "nobody"}, "domain"),
    ],
)
def test_a_bad_parameter_is_a_422(query: dict[str, str], field: str, memory: MemoryDeps) -> None:
    status, body, _ = get("/v1/latest", **query)

    assert (status, json.loads(body)["field"]) == (422, field)


def test_the_event_file_answers(memory: MemoryDeps) -> None:
    status, body, _ = parts(handler(load_event("query/get_latest"), Context()))

    assert (status, json.loads(body)) == (200, {"latest": [], "next": None})
