"""/v1/rollups, /v1/kpi, /v1/limits through the real handler: filters, paging, CSV, refusals (D15, D16, D19)."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

import pytest

from levada.archive.handler import handler as archive
from levada.core import keys, limits
from levada.core.limits import CONTROL, SPECIFICATION, Limit
from levada.query import stored
from levadactl.memory import MemoryDeps
from tests.events.test_archive import order
from tests.events.test_query import fill, get
from tests.unit.archive.test_idle import METRICS

HOURS = 30


@pytest.fixture
def rolled(memory: MemoryDeps) -> MemoryDeps:
    """30 hours of a station from 2004-03-10T18:00Z on, rolled up and measured."""
    fill(memory, HOURS)
    register = limits.load(memory.blobs, "air_quality", "default")
    register.add(Limit(kind=SPECIFICATION, metric="co", lower=0.0, upper=4.0))
    register.add(Limit(kind=CONTROL, metric="co", upper=3.0, series="station-1"))
    limits.store(memory.blobs, "air_quality", "default", register)
    archive(order(rollups="due"), None)
    return memory


def rows(path: str, name: str, **query: str) -> list[dict[str, Any]]:
    """All pages."""
    found: list[dict[str, Any]] = []
    while True:
        status, body, _ = get(path, **query)
        assert status == 200, body
        answer = json.loads(body)
        found += answer[name]
        if answer["next"] is None:
            return found
        query = query | {"since": answer["next"]}


def test_days_are_what_a_day_of_windows_merges_into(rolled: MemoryDeps) -> None:
    found = rows("/v1/rollups", "rollups", metric="co")

    assert [(r["start"], r["end"], r["count"], r["mean"]) for r in found] == [
        ("2004-03-10T00:00:00Z", "2004-03-11T00:00:00Z", 6, 1.5),
        ("2004-03-11T00:00:00Z", "2004-03-12T00:00:00Z", 24, 1.5),
    ]
    assert found[0]["p95"] == pytest.approx(1.5, rel=0.01)
    assert found[0]["stddev"] == 0.0


@pytest.mark.parametrize(("period", "n"), [("1h", HOURS), ("1d", 2), ("1w", 1), ("1mo", 1)])
def test_every_period_is_served_in_pages_of_any_size(period: str, n: int, rolled: MemoryDeps) -> None:
    whole = rows("/v1/rollups", "rollups", period=period)

    assert len(whole) == n * METRICS
    assert [(r["start"], r["metric"]) for r in whole] == sorted((r["start"], r["metric"]) for r in whole)
    for limit in ("1", "5", "13", "14"):
        assert rows("/v1/rollups", "rollups", period=period, limit=limit) == whole


def test_a_range_takes_the_periods_that_start_in_it(rolled: MemoryDeps) -> None:
    asked = {"period": "1h", "metric": "co"}
    found = rows("/v1/rollups", "rollups", since="2004-03-10T23:00:00Z", until="2004-03-11T02:00:00Z", **asked)

    assert [r["start"][11:16] for r in found] == ["23:00", "00:00", "01:00"]
    assert rows("/v1/rollups", "rollups", since="2004-03-10T23:30:00Z", until="2004-03-11", **asked) == []
    assert rows("/v1/rollups", "rollups", until="2004-01-01", **asked) == []


def test_another_tenant_and_another_series_have_none(rolled: MemoryDeps) -> None:
    assert rows("/v1/rollups", "rollups", tenant="other") == []
    assert rows("/v1/rollups", "rollups", series="station-2") == []


def test_what_has_been_parsed_is_not_fetched_again_until_it_changes(rolled: MemoryDeps) -> None:
    first = rows("/v1/rollups", "rollups")
    key = keys.rollup("air_quality", "1d", "2004-03")
    fetched: list[str] = []
    plain = rolled.blobs.get

    def noted(key: str) -> tuple[bytes, str]:
        fetched.append(key)
        return plain(key)

    rolled.blobs.get = noted  # type: ignore[method-assign]

    assert rows("/v1/rollups", "rollups") == first
    assert key not in fetched
    rolled.blobs.objects[key] = rolled.blobs.objects[keys.rollup("air_quality", "1mo", "2004-03")]
    assert rows("/v1/rollups", "rollups") != first
    assert fetched.count(key) == 1


def test_the_memory_for_parsed_objects_is_bounded(rolled: MemoryDeps, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stored, "MEMO_BYTES", 1)
    rows("/v1/rollups", "rollups", period="1h")

    assert len(rolled.memo["stored"]) == 1


def test_kpi_are_served_with_the_limits_that_they_were_measured_by(rolled: MemoryDeps) -> None:
    found = rows("/v1/kpi", "kpi", period="1mo")

    assert [(r["metric"], r["start"], r["end"], r["n"], r["lower"], r["upper"]) for r in found] == [
        ("co", "2004-03-01T00:00:00Z", "2004-04-01T00:00:00Z", 30, 0.0, 4.0)
    ]
    assert found[0]["cpk"] is None  # a constant has no capability
    assert len(rows("/v1/kpi", "kpi", period="1d", limit="1")) == 2


def test_limits_are_listed_by_kind_and_metric(rolled: MemoryDeps) -> None:
    every = json.loads(get("/v1/limits")[1])["limits"]
    control = json.loads(get("/v1/limits", kind="control", metric="co")[1])["limits"]

    assert [(r["kind"], r["series"], r["upper"]) for r in every] == [
        ("control", "station-1", 3.0),
        ("specification", "*", 4.0),
    ]
    assert control == every[:1]
    assert json.loads(get("/v1/limits", metric="nox")[1])["limits"] == []
    page = json.loads(get("/v1/limits", limit="1")[1])
    rest = json.loads(get("/v1/limits", limit="1", after=page["next"])[1])
    assert (page["limits"], rest) == (every[:1], {"limits": every[1:], "next": None})


@pytest.mark.parametrize(("path", "n"), [("/v1/rollups", 2 * METRICS), ("/v1/kpi", 2), ("/v1/limits", 2)])
def test_all_of_them_as_csv(path: str, n: int, rolled: MemoryDeps) -> None:
    status, body, headers = get(path, accept="text/csv")

    assert (status, headers["Content-Type"]) == (200, ["text/csv; charset=utf-8"])
    assert len(list(csv.DictReader(io.StringIO(body)))) == n


@pytest.mark.parametrize(
    ("path", "query", "field"),
    [
        ("/v1/rollups", {"period": "1y"}, "period"),
        ("/v1/rollups", {"width": "60"}, "width"),
        ("/v1/rollups", {"since": "yesterday"}, "since"),
        ("/v1/kpi", {"period": "1h"}, "period"),
        ("/v1/kpi", {"limit": "10001"}, "limit"),
        ("/v1/limits", {"kind": "soft"}, "kind"),
        ("/v1/limits", {"after": "WzFd"}, "after"),
        ("/v1/limits", {"domain": "moon"}, "domain"),
    ],
)
def test_every_refusal_names_the_parameter(path: str, query: dict[str, str], field: str, memory: MemoryDeps) -> None:
    status, body, _ = get(path, **query)

    assert (status, json.loads(body)["field"], json.loads(body)["value"]) == (422, field, query[field])
