"""/v1/anomalies and /v1/alerts through the real handler: order, filters, paging, CSV, refusals (C19, D14, D19)."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa
import pytest

from levada.core import columns, findings
from levada.core.alerts import ALERT, Policy, raise_
from levada.query import answers, listed
from levada.query.handler import handler
from levadactl.memory import MemoryDeps
from tests.conftest import load_event
from tests.events.test_query import Context, get, parts
from tests.unit.core.test_alerts import HOUR_US, anomalies

TOKEN = "6553f100-000000000000"
FOUND = [
    ("a", 1, "we1", "error"),
    ("a", 1, "zscore", "warning"),
    ("b", 1, "zscore", "critical"),
    ("a", 2, "zscore", "warning"),
    ("ü", 400_000, "we4", "info"),
]


def put(memory: MemoryDeps, found: Sequence[tuple[str, int, str, str]] = FOUND, token: str = TOKEN) -> pa.Table:
    table = anomalies(found)
    for name, value in (("domain", "air_quality"), ("tenant", "default"), ("metric", "co")):
        at = table.schema.get_field_index(name)
        table = table.set_column(at, table.schema.field(at), columns.constant(value, table.num_rows))
    memory.serving.put(findings.anomaly_items(table, token))
    raised, _ = raise_(table, columns.empty(ALERT), Policy(severity="warning", quiet_us=2 * HOUR_US))
    memory.serving.put_newer(findings.alert_items(raised, token, 1))
    return table


def named(rows: Sequence[dict[str, Any]]) -> list[tuple[str, str, str]]:
    return [(row["series"], row["time"], row["rule"]) for row in rows]


def answer(path: str = "/v1/anomalies", **query: str) -> dict[str, Any]:
    status, body, _ = get(path, **query)
    assert status == 200, body
    found: dict[str, Any] = json.loads(body)
    return found


def test_anomalies_come_in_order_of_time_series_and_rule_with_all_their_values(memory: MemoryDeps) -> None:
    put(memory)

    found = answer()

    assert found["next"] is None
    assert named(found["anomalies"]) == [
        ("a", "1970-01-01T01:00:00Z", "we1"),
        ("a", "1970-01-01T01:00:00Z", "zscore"),
        ("b", "1970-01-01T01:00:00Z", "zscore"),
        ("a", "1970-01-01T02:00:00Z", "zscore"),
        ("ü", "2015-08-19T16:00:00Z", "we4"),
    ]
    first = found["anomalies"][0]
    assert (first["severity"], first["value"], first["z"], first["metric"]) == ("error", 1.0, None, "co")


@pytest.mark.parametrize("limit", [1, 2, 3, 4, 5])
def test_pages_follow_each_other_by_next(limit: int, memory: MemoryDeps) -> None:
    put(memory)

    def pages() -> Iterator[dict[str, Any]]:
        since: dict[str, str] = {}
        while True:
            page = answer(limit=str(limit), **since)
            assert len(page["anomalies"]) <= limit
            yield from page["anomalies"]
            if page["next"] is None:
                return
            since = {"since": page["next"]}

    assert list(pages()) == answer()["anomalies"]


def test_a_page_of_a_rare_kind_says_where_to_go_on(memory: MemoryDeps, monkeypatch: pytest.MonkeyPatch) -> None:
    put(memory)
    monkeypatch.setattr(listed, "MAX_LOOKED_AT", 2)

    first = answer(rule="we4")
    second = answer(rule="we4", since=first["next"])
    third = answer(rule="we4", since=second["next"])

    assert [len(page["anomalies"]) for page in (first, second, third)] == [0, 0, 1]
    assert third["next"] is None


@pytest.mark.parametrize(
    ("query", "numbers"),
    [
        ({"series": "a"}, [0, 1, 3]),
        ({"rule": "zscore"}, [1, 2, 3]),
        ({"severity": "error"}, [0, 2]),
        ({"severity": "warning", "series": "a", "rule": "zscore"}, [1, 3]),
        ({"since": "1970-01-01T02:00:00Z"}, [3, 4]),
        ({"until": "1970-01-01T02:00:00Z"}, [0, 1, 2]),
        ({"tenant": "other"}, []),
        ({"metric": "nox"}, []),
    ],
)
def test_filters_let_through_what_they_name(query: dict[str, str], numbers: list[int], memory: MemoryDeps) -> None:
    put(memory)
    everything = answer()["anomalies"]

    assert answer(**query)["anomalies"] == [everything[i] for i in numbers]


def test_a_window_that_two_shards_judged_is_listed_once_as_the_one_with_more_rows_says(memory: MemoryDeps) -> None:
    for token, count in ((TOKEN, 3), ("6553f100-000000000001", 9), ("6553f100-000000000002", 5)):
        table = anomalies([("a", 1, "we1", "error")])
        for name, value in (("domain", "air_quality"), ("tenant", "default")):
            at = table.schema.get_field_index(name)
            table = table.set_column(at, table.schema.field(at), columns.constant(value, 1))
        at = table.schema.get_field_index("count")
        memory.serving.put(
            findings.anomaly_items(table.set_column(at, table.schema.field(at), pa.array([count])), token)
        )

    assert [row["count"] for row in answer()["anomalies"]] == [9]


def test_alerts_draw_anomalies_together(memory: MemoryDeps) -> None:
    put(memory)

    rows = answer("/v1/alerts")["alerts"]

    assert [(r["series"], r["rule"], r["opened"], r["last"], r["count"], r["severity"]) for r in rows] == [
        ("a", "we1", "1970-01-01T01:00:00Z", "1970-01-01T01:00:00Z", 1, "error"),
        ("a", "zscore", "1970-01-01T01:00:00Z", "1970-01-01T02:00:00Z", 2, "warning"),
        ("b", "zscore", "1970-01-01T01:00:00Z", "1970-01-01T01:00:00Z", 1, "critical"),
    ]


def test_csv_on_request(memory: MemoryDeps) -> None:
    put(memory)

    status, body, headers = get("/v1/anomalies", accept="text/csv", limit="2")
    rows = list(csv.DictReader(io.StringIO(body)))

    assert (status, headers["Content-Type"]) == (200, ["text/csv; charset=utf-8"])
    assert headers[answers.NEXT][0].startswith("1970-01-01T01:00:00.000000Z~")
    assert [(r["series"], r["rule"], r["z"]) for r in rows] == [("a", "we1", ""), ("a", "zscore", "")]


def test_an_answer_that_would_be_too_large_is_cut(memory: MemoryDeps, monkeypatch: pytest.MonkeyPatch) -> None:
    put(memory)
    monkeypatch.setattr(answers, "MAX_BODY_BYTES", 700)

    first = answer()

    rest = answer(since=first["next"], limit="1")["anomalies"]

    assert 0 < len(first["anomalies"]) < len(FOUND)
    monkeypatch.undo()
    assert rest == answer()["anomalies"][len(first["anomalies"]) :][:1]


def test_values_beyond_any_number_of_the_table_are_kept(memory: MemoryDeps) -> None:
    table = anomalies([("a", 1, "we1", "error")])
    at = table.schema.get_field_index("value")
    table = table.set_column(at, table.schema.field(at), pa.array([1.7e308]))

    (item,) = findings.anomaly_items(table, TOKEN)

    assert not [value for value in item.values() if isinstance(value, float)]
    assert findings.row(item)["value"] == 1.7e308


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"severity": "bad"}, "severity"),
        ({"rule": "we5"}, "rule"),
        ({"since": "yesterday"}, "since"),
        ({"since": "2004-03-10T00:00:00.000000Z~!!"}, "since"),
        ({"since": "2004-03-10T00:00:00.000000Z~YQ"}, "since"),
        ({"since": "2004-03-11", "until": "2004-03-10"}, "until"),
        ({"limit": "0"}, "limit"),
        ({"domain": "weather"}, "domain"),
        ({"width": "60"}, "width"),
    ],
)
@pytest.mark.parametrize("path", ["/v1/anomalies", "/v1/alerts"])
def test_every_refusal_is_a_422_that_names_the_parameter(
    path: str, query: dict[str, str], field: str, memory: MemoryDeps
) -> None:
    status, body, _ = get(path, **query)

    assert status == 422
    assert json.loads(body)["field"] == field


@pytest.mark.parametrize(("case", "name"), [("get_anomalies", "anomalies"), ("get_alerts", "alerts")])
def test_an_empty_table_answers_an_empty_list(case: str, name: str, memory: MemoryDeps) -> None:
    status, body, _ = parts(handler(load_event(f"query/{case}"), Context()))

    assert (status, json.loads(body)) == (200, {name: [], "next": None})
