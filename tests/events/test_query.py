"""query through its real handler: each event file, CSV, paging, refusals and outages."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
from typing import Any

import pytest

from levada.query import answers as module
from levada.query.handler import ROUTES, handler
from levadactl.events import rest
from levadactl.memory import MemoryDeps
from tests.conftest import load_event
from tests.unit.archive.test_idle import METRICS, aggregate, published, run


class Context:
    aws_request_id = "c6af9ac6"


def get(path: str, accept: str | None = None, **query: str) -> tuple[int, str, dict[str, list[str]]]:
    event = rest("GET", path, query=query)
    if accept:
        event["headers"]["Accept"] = accept
    return parts(handler(event, Context()))


def parts(answer: dict[str, Any]) -> tuple[int, str, dict[str, list[str]]]:
    assert answer["isBase64Encoded"] is False
    return answer["statusCode"], answer["body"], answer["multiValueHeaders"]


def fill(memory: MemoryDeps, count: int = 4) -> None:
    """So many hours of one station, all closed."""
    aggregate(memory, published(range(count)))
    run(memory, idle_after_s=0)


def test_health_asks_every_part(memory: MemoryDeps) -> None:
    status, body, headers = parts(handler(load_event("query/healthz"), Context()))

    names = ("lake", "table", "raw_stream", "clean_stream")
    assert (status, json.loads(body)) == (200, {"status": "ok", "parts": dict.fromkeys(names, "ok")})
    assert headers["Content-Type"] == ["application/json"]


def test_health_names_the_part_that_is_down(memory: MemoryDeps) -> None:
    memory.serving.down = True

    status, body, _ = get("/healthz")

    assert status == 503
    assert json.loads(body)["status"] == "down"
    assert json.loads(body)["parts"] | {"table": ""} == {
        "lake": "ok",
        "table": "",
        "raw_stream": "ok",
        "clean_stream": "ok",
    }
    assert json.loads(body)["parts"]["table"] == "down: memory table is down"


def test_windows_come_in_order_of_time_with_all_their_values(memory: MemoryDeps) -> None:
    fill(memory)

    status, body, _ = get("/v1/windows", series="station-1", metric="co")

    answer = json.loads(body)
    assert (status, answer["next"]) == (200, None)
    assert [w["start"] for w in answer["windows"]] == [f"2004-03-10T{h}:00:00Z" for h in (18, 19, 20, 21)]
    assert answer["windows"][0] == {
        "domain": "air_quality",
        "tenant": "default",
        "site": "",
        "unit": "",
        "series": "station-1",
        "metric": "co",
        "start": "2004-03-10T18:00:00Z",
        "end": "2004-03-10T19:00:00Z",
        "width_s": 3600,
        "count": 1,
        "missing": 0,
        "sum": 1.5,
        "mean": 1.5,
        "stddev": None,
        "min": 1.5,
        "max": 1.5,
        "first": 1.5,
        "last": 1.5,
        "p50": 1.5,
        "p95": 1.5,
        "p99": 1.5,
        "distinct": None,
        "success_rate": None,
        "late": 0,
        "revisions": 1,
    }


def test_wider_windows_are_merged_on_reading(memory: MemoryDeps) -> None:
    fill(memory, 12)

    _, body, _ = get("/v1/windows", metric="co", width="86400")

    days = json.loads(body)["windows"]
    assert [(w["start"], w["count"], w["sum"], w["stddev"]) for w in days] == [
        ("2004-03-10T00:00:00Z", 6, 9.0, 0.0),
        ("2004-03-11T00:00:00Z", 6, 9.0, 0.0),
    ]


@pytest.mark.parametrize("limit", [1, 5, METRICS, 30, 1000])
def test_pages_follow_each_other_by_next(memory: MemoryDeps, limit: int) -> None:
    fill(memory, 3)
    found: list[tuple[str, str]] = []
    since = "2004-03-10T00:00:00Z"

    while since:
        _, body, headers = get("/v1/windows", limit=str(limit), since=since)
        answer = json.loads(body)
        assert len(answer["windows"]) <= limit
        assert headers.get("Levada-Next") == ([answer["next"]] if answer["next"] else None)
        found += [(w["start"], w["metric"]) for w in answer["windows"]]
        since = answer["next"]

    assert len(found) == 3 * METRICS
    assert found == sorted(set(found))


def test_the_last_day_is_relative_to_now(memory: MemoryDeps) -> None:
    fill(memory, 2)
    memory.clock.time_s = 1_078_945_200.0  # 2004-03-10T19:00:00Z

    _, body, _ = get("/v1/windows", metric="co", since="-1h", until="-0s")

    assert [w["start"] for w in json.loads(body)["windows"]] == ["2004-03-10T18:00:00Z"]


def test_csv_on_request(memory: MemoryDeps) -> None:
    fill(memory, 2)

    status, body, headers = get("/v1/windows", accept="text/csv", metric="co", limit="1")

    assert status == 200
    assert headers["Content-Type"] == ["text/csv; charset=utf-8"]
    assert headers["Levada-Next"] == ["2004-03-10T19:00:00Z"]
    (row,) = csv.DictReader(io.StringIO(body))
    assert (row["start"], row["mean"], row["stddev"]) == ("2004-03-10T18:00:00Z", "1.5", "")
    assert get("/v1/series", format="csv")[1].startswith("domain,tenant,site,unit,series,metric\r\nair_quality,")


def test_series_are_listed(memory: MemoryDeps) -> None:
    fill(memory, 1)

    status, body, _ = get("/v1/series", metric="co")

    series = {"domain": "air_quality", "tenant": "default", "site": "", "unit": "", "series": "station-1"}
    assert (status, json.loads(body)) == (200, {"series": [series | {"metric": "co"}], "next": None})
    assert len(json.loads(get("/v1/series")[1])["series"]) == METRICS
    assert json.loads(get("/v1/series", tenant="other")[1]) == {"series": [], "next": None}


def test_lists_come_in_pages_and_no_answer_is_too_large(memory: MemoryDeps, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(memory, 1)
    every = json.loads(get("/v1/series")[1])["series"]

    page = json.loads(get("/v1/series", limit="5")[1])
    _, body, headers = get("/v1/series", after=page["next"], format="csv", limit="5")
    monkeypatch.setattr(module, "MAX_BODY_BYTES", 1_000)
    cut = json.loads(get("/v1/series")[1])

    assert (len(every), page["series"]) == (METRICS, every[:5])
    assert list(csv.DictReader(io.StringIO(body))) == every[5:10]
    assert json.loads(get("/v1/series", after=headers["Levada-Next"][0])[1])["series"][0] == every[10]
    assert 0 < len(cut["series"]) < METRICS
    assert json.loads(get("/v1/series", after=cut["next"])[1])["series"][0] == every[len(cut["series"])]


@pytest.mark.parametrize("case", ["get_windows", "trailing_slash", "unknown_series"])
def test_windows_that_are_not_there_are_an_empty_list(case: str, memory: MemoryDeps) -> None:
    fill(memory)

    status, body, _ = parts(handler(load_event(f"query/{case}"), Context()))

    assert (status, json.loads(body)) == (200, {"windows": [], "next": None})


def test_a_body_and_a_missing_query_do_not_matter(memory: MemoryDeps) -> None:
    fill(memory, 1)

    for case in ("base64_body", "no_query"):
        status, body, _ = parts(handler(load_event(f"query/{case}"), Context()))
        assert status == 200
        assert len(next(iter(json.loads(body).values()))) == METRICS


def test_headers_may_be_null(memory: MemoryDeps) -> None:
    event = rest("GET", "/v1/series") | {"headers": None, "multiValueHeaders": None}

    assert handler(event, Context())["statusCode"] == 200


def test_a_bad_parameter_is_named_with_what_is_allowed(memory: MemoryDeps) -> None:
    status, body, _ = parts(handler(load_event("query/bad_parameter"), Context()))

    answer = json.loads(body)
    assert (status, answer["field"], answer["value"]) == (422, "since", "yesterday")
    assert answer["error"].startswith("since='yesterday': must be a time with Z")
    assert answer["allowed"] in answer["error"]


@pytest.mark.parametrize(
    ("path", "query", "field"),
    [
        ("/v1/windows", {"domain": "moon"}, "domain"),
        ("/v1/windows", {"width": "60"}, "width"),
        ("/v1/windows", {"limit": "0"}, "limit"),
        ("/v1/windows", {"format": "xml"}, "format"),
        ("/v1/windows", {"limti": "5"}, "limti"),
        ("/v1/series", {"since": "-1h"}, "since"),
        ("/v1/series", {"domain": "moon"}, "domain"),
        *(("/v1/series", {"after": word}, "after") for word in ("x", "W10", "WzFd", "eyJhIjoxfQ", "\u00e9", "bnVsbA")),
        ("/v1/series", {"after": "WyJhIiwxLjVd"}, "after"),
    ],
)
def test_every_refusal_is_a_422(path: str, query: dict[str, str], field: str, memory: MemoryDeps) -> None:
    status, body, _ = get(path, **query)

    assert (status, json.loads(body)["field"], json.loads(body)["value"]) == (422, field, query[field])


@pytest.mark.parametrize("path", ["/", "/v1/windows/air", "/v2/windows", "/healthz/../v1"])
def test_other_routes_are_404_in_json(path: str, memory: MemoryDeps) -> None:
    status, body, headers = get(path)

    assert (status, headers["Content-Type"]) == (404, ["application/json"])
    assert json.loads(body)["allowed"] == [f"GET {route}" for route in ROUTES]


def test_an_outage_of_the_table_is_a_503_that_may_be_tried_again(memory: MemoryDeps) -> None:
    memory.serving.down = True

    status, body, headers = get("/v1/windows")

    assert (status, headers["Retry-After"]) == (503, ["1"])
    assert "memory table is down" in json.loads(body)["error"]


def test_an_answer_that_would_be_too_large_is_cut_into_pages(
    memory: MemoryDeps, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(memory, 4)
    monkeypatch.setattr(module, "MAX_BODY_BYTES", 6_000)

    _, body, _ = get("/v1/windows")

    assert len(body.encode()) <= 6_000
    assert len(json.loads(body)["windows"]) == METRICS
    assert json.loads(body)["next"] == "2004-03-10T19:00:00Z"


def test_pandas_is_not_needed() -> None:
    """The function's artifact has none; importing it costs 150 ms."""
    code = (
        "import sys; sys.modules['pandas'] = None; import levada.query.handler; assert 'awswrangler' not in sys.modules"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)
