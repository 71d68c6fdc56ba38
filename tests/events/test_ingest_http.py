"""HTTP ingest: proxy requests through the real handler; only the stream is a fake."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from levada.core import packs
from levada.ingest.http_handler import MAX_ERRORS, handler
from levadactl import events
from levadactl.events import rest, row
from levadactl.memory import MemoryDeps


def post(path: str, body: Any, **headers: str) -> tuple[int, dict[str, Any]]:
    """(status, answer)."""
    event = rest("POST", path, body=body if isinstance(body, bytes) else events.compact(body))
    event["headers"] |= {name.replace("_", "-"): value for name, value in headers.items()}
    answer = handler(event, None)
    assert answer["headers"]["Content-Type"] == "application/json"
    return answer["statusCode"], json.loads(answer["body"])


def sources(memory: MemoryDeps) -> list[tuple[str, int]]:
    found = [packs.split(e.data)[0] for e in memory.raw.entries]
    return [(h.source, h.position) for h in found]


def test_one_event_is_accepted_and_on_the_stream(memory: MemoryDeps) -> None:
    assert post("/v1/event", row(0)) == (202, {"accepted": 1})

    (entry,) = memory.raw.entries
    header, body = packs.split(entry.data)
    assert (header.domain, header.tenant, header.count) == ("air_quality", "default", 1)
    assert header.source == f"http/default/c6af9ac6-7b61-11e6-9a41-93e8deadbeef#{events.lane():02d}"
    assert json.loads(packs.inflate(body, header.codec)) == row(0)


def test_a_batch_says_what_became_of_each_item(memory: MemoryDeps) -> None:
    answer = post("/v1/events/batch", [row(0), "no", row(2), row(3, domain="weather")])

    assert answer == (
        200,
        {
            "ok": False,
            "total": 4,
            "success": 2,
            "failed": 2,
            "errors": [
                {"index": 1, "reason": "item='no': must be a JSON object"},
                {"index": 3, "reason": "domain='weather': must be one of air_quality"},
            ],
        },
    )
    assert sum(packs.split(e.data)[0].count for e in memory.raw.entries) == 2


def test_a_batch_without_a_fault_is_ok_and_an_empty_one_too(memory: MemoryDeps) -> None:
    assert post("/v1/events/batch", [row(0)])[1] == {"ok": True, "total": 1, "success": 1, "failed": 0, "errors": []}
    assert post("/v1/events/batch", [])[1]["total"] == 0
    assert len(memory.raw.entries) == 1


def test_an_answer_names_so_many_faults_and_counts_the_others(memory: MemoryDeps) -> None:
    _, answer = post("/v1/events/batch", [1] * (MAX_ERRORS + 50))

    assert (answer["failed"], len(answer["errors"])) == (MAX_ERRORS + 50, MAX_ERRORS)


def test_a_repeated_post_with_its_key_carries_the_same_positions(memory: MemoryDeps) -> None:
    """So that clean applies it once, whatever the network did to the first answer."""
    items = [row(0), row(0, T="7,5")]
    for _ in range(2):
        post("/v1/events/batch", items, Idempotency_Key="import-7")
    post("/v1/events/batch", items, Idempotency_Key="import-8")

    first, again, other = memory.raw.entries
    assert first == again
    lane = f"{events.lane():02d}"
    assert sources(memory) == [(f"http/default/import-{i}#{lane}", 0) for i in (7, 7, 8)]
    assert other != first


@pytest.mark.parametrize(
    ("path", "body", "headers", "status"),
    [
        ("/v1/event", b"{", {}, 400),
        ("/v1/event", [row(0)], {}, 400),
        ("/v1/event", row(0, domain="weather"), {}, 400),
        ("/v1/event", row(0), {"Idempotency_Key": "a b"}, 400),
        ("/v1/other", row(0), {}, 404),
        ("/v1/event", b" " * 1_000_001, {}, 413),
        ("/v1/event", row(0), {"Content_Type": "text/xml"}, 415),
        ("/v1/event", row(0, T=True), {}, 400),
        ("/v1/event", row(0, T="warm"), {}, 400),
        ("/v1/event", row(0, Date="2025-02-31"), {}, 400),
        ("/v1/event", {"temperature": 1}, {}, 400),
        ("/v1/event", row(0, Date="2026-01-02"), {}, 422),
        ("/v1/events/batch", [row(0, Date="2026-01-02")], {}, 422),
    ],
)
def test_a_malformed_request_is_4xx_and_nothing_is_sent(
    memory: MemoryDeps, path: str, body: Any, headers: dict[str, str], status: int
) -> None:
    found, answer = post(path, body, **headers)

    assert found == status
    assert answer.get("error") or not answer["success"]
    assert memory.raw.entries == []


def test_another_method_is_told_which_one_is_allowed(memory: MemoryDeps) -> None:
    answer = handler(rest("GET", "/v1/event"), None)

    assert (answer["statusCode"], answer["headers"]["Allow"]) == (405, "POST")


def test_an_unreachable_stream_asks_to_try_again(memory: MemoryDeps) -> None:
    memory.raw.down = True

    event = rest("POST", "/v1/event", body=events.compact(row(0)))
    answer = handler(event, None)

    assert (answer["statusCode"], answer["headers"]["Retry-After"]) == (503, "1")
    memory.raw.down = False
    assert handler(event, None)["statusCode"] == 202


def test_a_throttled_stream_is_asked_again(memory: MemoryDeps) -> None:
    memory.raw.refuse = {0}

    assert post("/v1/event", row(0))[0] == 202
    assert len(memory.raw.entries) == 1


def test_a_post_loads_neither_columns_nor_anything_else_that_is_heavy() -> None:
    """Cold start: the whole path of a request, not the import alone."""
    program = """
import json, sys
from levada.config import Config
from levada.wiring import SystemClock, using
import levada.ingest.http_handler as http

class Sink:
    def put(self, entries): return [None] * len(entries)

token = "lvd_" + "a" * 43
item = {"sk": http.access.digest_of(token), "name": "a", "tenant": "a", "scopes": "write", "created_at": 0}

class Tokens:
    def find(self, digest): return item | {"expires_at": 2**40}

class Deps:
    config, raw, clock = Config(raw_stream="raw", domains_enabled="air_quality"), Sink(), SystemClock()
    tokens, memo = Tokens(), {}

with using(Deps()):
    event = {"path": "/v1/event", "httpMethod": "POST", "body": '{"CO(GT)": 1}'}
    assert http.handler(event, None)["statusCode"] == 401
    answer = http.handler(event | {"headers": {"authorization": f"Bearer {token}"}}, None)
assert answer["statusCode"] == 202, answer
print(*sorted({name.split(".")[0] for name in sys.modules}))
"""
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()

    assert "levada" in loaded
    assert not {"pyarrow", "numpy", "pandas", "awswrangler", "boto3", "zstandard"} & set(loaded)
