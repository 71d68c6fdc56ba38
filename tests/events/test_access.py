"""Tokens through the real handlers: who may write and read what, on every route (D34)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from typing import Any

import pytest

from levada.archive.handler import handler as archive
from levada.config import Config
from levada.core import columns, findings, keys, limits, packs
from levada.core.access import KNOWN_S, REQUIRED, UNKNOWN_S, Token, digest_of
from levada.core.alerts import ALERT, Policy, raise_
from levada.core.limits import SPECIFICATION, Limit
from levada.ingest import files_handler
from levada.ingest.http_handler import ROUTES as POSTS
from levada.ingest.http_handler import handler as ingest
from levada.query.handler import PUBLIC, ROUTES
from levada.query.handler import handler as query
from levada.wiring import using
from levadactl import cases, cases_of_tokens, invoking
from levadactl.events import compact, rest
from levadactl.memory import MemoryDeps
from tests.conftest import load_event
from tests.events.test_archive import order
from tests.unit.core.test_alerts import anomalies
from tests.unit.tools.pipeline import aggregate, clean

NOW_S = 1_767_225_600.0
DAY = "2026-01-01"
TENANTS = ("ash", "birch")
FILE = cases.landed("landing/air_quality/a.csv") or b""
FUNCTION = "levada-ingest-files"


def text(name: str) -> str:
    """The token of this name."""
    return f"lvd_{name:-<43}"


def known(name: str, tenant: str, *scopes: str) -> Token:
    digest = digest_of(text(name))
    return Token(digest=digest, name=name, tenant=tenant, scopes=scopes, created_s=0, expires_s=int(NOW_S) + 86_400)


@pytest.fixture
def stack() -> Iterator[MemoryDeps]:
    """All functions in memory, tokens required; each tenant has a reader and a writer."""
    config = Config(
        bucket="lake", table="serving", raw_stream="raw", clean_stream="clean", files_function=FUNCTION, auth=REQUIRED
    )
    made = MemoryDeps(config=config)
    made.clock.time_s = NOW_S
    made.functions.handlers[FUNCTION] = lambda event: files_handler.handler(event, None)
    tokens = [known("operator", "*", "admin")]
    for tenant in TENANTS:
        tokens += [known(f"{tenant}-reader", tenant, "read"), known(f"{tenant}-writer", tenant, "write")]
    made.serving.put([one.to_item() for one in tokens])
    with using(made):
        yield made


def post(path: str, body: Any, who: str | None, kind: str = "application/json", /, **named: str) -> tuple[int, Any]:
    raw = body if isinstance(body, bytes) else compact(body)
    event = rest("POST", path, body=raw, query=named or None, token=who and text(who))
    event["headers"] |= {"Content-Type": kind, "Idempotency-Key": hashlib.sha256(raw).hexdigest()}
    answer = ingest(event, None)
    return answer["statusCode"], json.loads(answer["body"])


def get(path: str, who: str | None, /, **named: str) -> tuple[int, str]:
    answer = query(rest("GET", path, query=named or None, token=who and text(who)), None)
    return answer["statusCode"], answer["body"]


# ------------------------------------------------------------------ event files


ANSWERS = [
    ("ingest/token_good", 202, '"accepted":1'),
    ("ingest/token_missing", 401, "no token: send the header Authorization: Bearer lvd_…"),
    ("ingest/token_expired", 401, "the token 'expired' has expired"),
    ("ingest/token_wrong_scope", 403, "the token 'reader' has the scope read: this needs write"),
    ("ingest/token_other_tenant", 403, "tenant: of tenant 'default', and the token 'neighbour' is of tenant"),
    ("query/token_good", 200, '"windows"'),
    ("query/token_missing", 401, "no token: send the header Authorization: Bearer lvd_…"),
    ("query/token_expired", 401, "the token 'expired' has expired"),
    ("query/token_wrong_scope", 403, "the token 'writer' has the scope write: this needs read"),
    ("query/token_other_tenant", 403, "tenant: of tenant 'default', and the token 'neighbour' is of tenant"),
    ("query/token_of_another", 200, '"windows":[]'),
    ("query/token_of_any", 200, '"station-1"'),
]


@pytest.mark.parametrize(("name", "status", "says"), ANSWERS)
@pytest.mark.parametrize("lower", [False, True], ids=["as sent", "lower case"])
def test_event_files_with_tokens(name: str, status: int, says: str, lower: bool) -> None:
    stage, event = name.partition("/")[0], load_event(name)
    deps = invoking.memory_deps(auth=REQUIRED)
    invoking.prepare(stage, event, deps)
    before = len(deps.raw.entries)
    if lower:
        event["headers"] = {header.lower(): value for header, value in event["headers"].items()}

    answer = invoking.run(stage, event, deps)

    assert (answer["statusCode"], says in answer["body"].replace('": ', '":')) == (status, True), answer["body"]
    assert len(deps.raw.entries) - before == (status == 202)
    headers = {**answer.get("headers", {}), **answer.get("multiValueHeaders", {})}
    assert ("WWW-Authenticate" in headers) == (status in (401, 403))


def test_every_event_file_with_a_token_is_one_of_those() -> None:
    assert {name for name, _, _ in ANSWERS} == {f"{one.stage}/{one.name}" for one in cases_of_tokens.CASES}


# ------------------------------------------------------------------ writing


@pytest.mark.parametrize("path", POSTS)
@pytest.mark.parametrize(("name", "status"), [(None, 401), ("nobody", 401), ("ash-reader", 403)])
def test_no_route_takes_anything_without_a_writers_token(
    path: str, name: str | None, status: int, stack: MemoryDeps
) -> None:
    stack.blobs.put("landing/air_quality/a.csv", FILE)
    before = dict(stack.blobs.objects)
    body = {"key": "landing/air_quality/a.csv"} if path == "/v1/runs" else FILE

    found, answer = post(path, body, name, domain="air_quality")

    assert (found, answer["needs"]) == (status, {"scope": "write"})
    assert (stack.raw.entries, stack.blobs.objects) == ([], before)


def test_rows_are_of_the_tokens_tenant_whatever_they_say(stack: MemoryDeps) -> None:
    item = {"domain": "telemetry", "tenant": "birch", "timestamp": f"{DAY}T00:00:00Z", "unit": "u", "level": 1}

    assert post("/v1/event", item, "ash-writer")[0] == 202
    assert post("/v1/events/batch", [item], "ash-writer", tenant="ash")[0] == 200
    assert post("/v1/event", item, "operator", tenant="birch")[0] == 202
    assert post("/v1/event", item, "operator")[0] == 202
    assert post("/v1/event", item, "ash-writer", tenant="birch")[0] == 403

    assert [packs.split(e.data)[0].tenant for e in stack.raw.entries] == ["ash", "ash", "birch", "default"]


@pytest.mark.parametrize("tenant", ["a/b", "../x", "*", "x" * 65, "a#b"])
def test_a_tenant_that_would_look_like_two_in_a_key_is_400(tenant: str, stack: MemoryDeps) -> None:
    status, answer = post("/v1/event", {}, "operator", tenant=tenant)

    assert (status, answer["error"].startswith("tenant=")) == (400, True)
    assert stack.raw.entries == []


def test_the_same_key_of_two_tenants_is_two_requests(stack: MemoryDeps) -> None:
    for tenant in TENANTS:
        event = rest("POST", "/v1/event", body=compact({"domain": "telemetry"}), token=text(f"{tenant}-writer"))
        event["headers"]["Idempotency-Key"] = "one"
        event["body"] = compact({"domain": "telemetry", "timestamp": NOW_S, "unit": "u", "level": 1}).decode()
        assert ingest(event, None)["statusCode"] == 202
    sources = {packs.split(e.data)[0].source for e in stack.raw.entries}

    assert len(sources) == 2


def test_a_file_is_its_uploaders_and_loaded_as_such(stack: MemoryDeps) -> None:
    """D34, A2, A3: the folder says whose it is; the same content of two tenants is loaded for both."""
    found = {}
    for name in ("ash-writer", "birch-writer", "operator"):
        status, answer = post("/v1/upload", FILE, name, "text/csv", domain="air_quality", name="a.csv")
        assert status == 201
        found[name] = answer["key"]
    folders = [key.split("/")[2] for key in found.values()]
    assert folders[:2] == ["tenant=ash", "tenant=birch"]
    assert not folders[2].startswith("tenant=")

    for name, key in found.items():
        status, answer = post("/v1/runs", {"key": key}, name)
        assert (status, answer["status"], answer["rows"]) == (200, "loaded", cases.FILE_ROWS)
    counts: dict[str, int] = {}
    for entry in stack.raw.entries:
        header = packs.split(entry.data)[0]
        counts[header.tenant] = counts.get(header.tenant, 0) + header.count
    assert counts == dict.fromkeys((*TENANTS, "default"), cases.FILE_ROWS)
    ledgers = [key for key in stack.blobs.objects if key.startswith("checkpoints/ingest/")]
    assert sorted(key.split("/")[3] for key in ledgers) == sorted((*TENANTS, "default"))


@pytest.mark.parametrize("key", ["tenant=birch/x/a.csv", "x/a.csv", "tenant=default/a.csv", "tenant=/a.csv"])
@pytest.mark.parametrize("there", [False, True])
def test_nobody_runs_or_learns_of_another_tenants_file(key: str, there: bool, stack: MemoryDeps) -> None:
    if there:
        stack.blobs.put(f"landing/air_quality/{key}", FILE)

    status, answer = post("/v1/runs", {"key": f"landing/air_quality/{key}"}, "ash-writer")

    assert (status, "is of tenant 'ash'" in answer["error"]) == (403, True)
    assert stack.raw.entries == []


def test_an_upload_cannot_forge_the_folder_of_another_tenant(stack: MemoryDeps) -> None:
    for names in ({"name": "tenant=birch/a.csv"}, {"url": "1", "name": "a.csv"}):
        event = rest(
            "POST", "/v1/upload", body=FILE, query={"domain": "air_quality", **names}, token=text("ash-writer")
        )
        event["headers"] |= {"Content-Type": "text/csv", "Idempotency-Key": "tenant=birch"}
        key = json.loads(ingest(event, None)["body"]).get("key", "landing/air_quality/tenant=ash/")
        assert keys.landed_tenant(key) == "ash"


def test_a_folder_that_names_no_tenant_is_refused_with_its_file(stack: MemoryDeps) -> None:
    key = "landing/air_quality/tenant=a b/a.csv"
    stack.blobs.put(key, FILE)

    (outcome,) = files_handler.handler({"run": {"key": key, "since_us": None, "until_us": None}}, None)["files"]

    assert (outcome["status"], outcome["reason"].partition(":")[0]) == ("refused", "bad_tenant")
    assert stack.raw.entries == []


# ------------------------------------------------------------------ reading


def mark(tenant: str) -> str:
    """What stands in every row of a tenant."""
    return f"marked-{tenant}"


@pytest.fixture
def filled(stack: MemoryDeps) -> MemoryDeps:
    """Each tenant has sent the same by its own token: measurements, a late one, jobs; limits, rollups, anomalies."""
    for tenant in TENANTS:
        named, writer = mark(tenant), f"{tenant}-writer"
        rows = [
            {"domain": "telemetry", "timestamp": f"{DAY}T00:{i:02d}:00Z", "unit": named, "level": i} for i in range(50)
        ]
        job = {"domain": "jobs", "site": named, "app": named}
        for entity, event in (("job", "started"), ("job", "finished"), ("subjob", "finished")):
            at = f"{DAY}T00:00:0{len(event) % 10}Z"
            rows.append(job | {"entity": entity, "id": named, "event": event, "time": at, "duration_s": 3})
        stack.clock.time_s = NOW_S + 3600
        assert post("/v1/events/batch", rows, writer)[1]["ok"]
        late = rows[0] | {"timestamp": f"{DAY}T00:00:01Z"}
        assert post("/v1/events/batch", [late], writer)[1]["ok"]
        register = limits.load(stack.blobs, "telemetry", tenant)
        register.add(Limit(kind=SPECIFICATION, metric="level", lower=0.0, upper=60.0, unit=named))
        limits.store(stack.blobs, "telemetry", tenant, register)
        _finding(stack, tenant)
    sent = [entry.data for entry in stack.raw.entries]
    stack.raw.entries.clear()
    for data in sent:  # one by one, so that the last ones are late
        clean(stack, [data])
        aggregate(stack)
        archive(order(idle_after_s=0), None)
    archive(order(rollups="due"), None)
    return stack


def _finding(stack: MemoryDeps, tenant: str) -> None:
    table = anomalies([(mark(tenant), 1, "zscore", "error")])
    for name, value in (("domain", "telemetry"), ("tenant", tenant), ("metric", "level")):
        at = table.schema.get_field_index(name)
        table = table.set_column(at, table.schema.field(at), columns.constant(value, table.num_rows))
    stack.serving.put(findings.anomaly_items(table, "6553f100-000000000000"))
    raised, _ = raise_(table, columns.empty(ALERT), Policy(severity="warning", quiet_us=1))
    stack.serving.put_newer(findings.alert_items(raised, "6553f100-000000000000", 1))


ASKED = {
    "/v1/events": {"domain": "jobs"},
    "/v1/event-rollups": {"domain": "jobs", "metric": "duration_s"},
    "/v1/jobs": {},
    "/v1/subjobs": {},
    "/v1/rollups": {"domain": "telemetry", "period": "1h"},
}
TENANT_ROUTES = sorted(set(ROUTES) - PUBLIC)


@pytest.mark.parametrize("path", TENANT_ROUTES)
def test_a_reader_sees_its_own_tenants_rows_and_no_others_on_every_route(path: str, filled: MemoryDeps) -> None:
    asked = ASKED.get(path, {"domain": "telemetry"})
    for own, other in (TENANTS, TENANTS[::-1]):
        for named in ({}, {"tenant": own}, {"tenant": ""}):
            status, body = get(path, f"{own}-reader", **asked, **named)
            assert (status, mark(own) in body, mark(other) in body) == (200, True, False), body[:500]
        status, body = get(path, f"{own}-reader", **asked, tenant=other)
        assert (status, json.loads(body)["needs"], mark(other) in body) == (403, {"tenant": other}, False)
        status, body = get(path, "operator", **asked, tenant=own)
        assert (status, mark(own) in body, mark(other) in body) == (200, True, False), body[:500]
    assert not any(mark(tenant) in get(path, "operator", **asked)[1] for tenant in TENANTS)


@pytest.mark.parametrize("path", TENANT_ROUTES)
@pytest.mark.parametrize(("name", "status"), [(None, 401), ("nobody", 401), ("ash-writer", 403)])
def test_no_route_answers_without_a_readers_token(path: str, name: str | None, status: int, stack: MemoryDeps) -> None:
    found, body = get(path, name, domain="telemetry")

    assert (found, json.loads(body)["needs"]) == (status, {"scope": "read"})


def test_a_tenant_that_is_named_twice_is_refused_as_before_and_hides_nobody(filled: MemoryDeps) -> None:
    for twice, status in ((["ash", "ash"], 422), (["ash", "birch"], 403), (["birch", "ash"], 403), (["", "ash"], 422)):
        event = rest("GET", "/v1/series", query={"domain": "telemetry", "tenant": twice[-1]}, token=text("ash-reader"))
        event["multiValueQueryStringParameters"]["tenant"] = twice
        answer = query(event, None)
        assert (answer["statusCode"], mark("birch") in answer["body"]) == (status, False), twice


def test_health_wants_no_token_and_tells_of_no_rows(filled: MemoryDeps) -> None:
    assert get("/healthz", None) == (200, get("/healthz", "operator")[1])
    assert not any(tenant in get("/healthz", None)[1] for tenant in TENANTS)


def test_a_page_follows_with_the_same_token(filled: MemoryDeps) -> None:
    """What an answer says of the next page names no tenant: another's token gets its own rows with it."""
    asked = {"domain": "telemetry", "limit": "3"}
    following = json.loads(get("/v1/windows", "ash-reader", **asked)[1])["next"]

    for own, other in (TENANTS, TENANTS[::-1]):
        status, body = get("/v1/windows", f"{own}-reader", **asked, since=following)
        assert (status, mark(own) in body, mark(other) in body) == (200, True, False)


# ------------------------------------------------------------------ the table, and what is logged


def test_a_table_that_cannot_be_reached_is_503(stack: MemoryDeps) -> None:
    stack.serving.down = True
    item = {"domain": "telemetry", "timestamp": NOW_S, "unit": "u", "level": 1}

    assert post("/v1/event", item, "ash-writer")[0] == 503
    assert get("/v1/series", "ash-reader", domain="telemetry")[0] == 503
    assert stack.raw.entries == []
    assert post("/v1/event", item, None)[0] == 401
    stack.serving.down = False
    assert post("/v1/event", item, "ash-writer")[0] == 202


def test_a_token_costs_one_look_a_minute_and_its_revocation_counts_then(stack: MemoryDeps) -> None:
    item = {"domain": "telemetry", "timestamp": NOW_S, "unit": "u", "level": 1}
    for _ in range(10):
        assert post("/v1/event", item, "ash-writer")[0] == 202
        assert post("/v1/event", item, "nobody")[0] == 401
    assert stack.tokens.asked == 2

    revoked = known("ash-writer", "ash", "write").to_item() | {"revoked_at": int(NOW_S), "expires_at": int(NOW_S)}
    stack.serving.put([revoked])
    stack.clock.time_s += KNOWN_S - 1
    assert post("/v1/event", item, "ash-writer")[0] == 202
    stack.clock.time_s += 1
    assert post("/v1/event", item, "ash-writer")[0] == 401


def test_a_token_that_was_made_a_moment_ago_is_good_in_seconds(stack: MemoryDeps) -> None:
    assert get("/v1/series", "new", domain="telemetry")[0] == 401
    stack.serving.put([known("new", "ash", "read").to_item()])
    stack.clock.time_s += UNKNOWN_S

    assert get("/v1/series", "new", domain="telemetry")[0] == 200


@pytest.mark.parametrize("name", ["ash-writer", "ash-reader", "nobody"])
def test_neither_log_nor_answer_nor_store_ever_holds_a_token(
    name: str, stack: MemoryDeps, capsys: pytest.CaptureFixture[str]
) -> None:
    item = {"domain": "telemetry", "timestamp": NOW_S, "unit": "u", "level": 1}
    bodies = [str(post("/v1/event", item, name)), str(post("/v1/event", b"{", name)), str(post("/v2", item, name))]
    bodies += [str(get(path, name, domain="x")) for path in ("/v1/series", "/v1/windows", "/healthz", "/v2")]
    stack.clock.time_s += KNOWN_S
    stack.serving.down = True
    bodies += [str(post("/v1/event", item, name)), str(get("/v1/series", name))]
    said = capsys.readouterr()

    assert '"ingest"' in said.err
    assert '"query"' in said.err
    secret = text(name).removeprefix("lvd_")
    for where in (said.out, said.err, *bodies, str(stack.serving.items), str(stack.memo)):
        assert secret not in where


def test_the_log_says_whose_token_it_was(stack: MemoryDeps, capsys: pytest.CaptureFixture[str]) -> None:
    post("/v1/event", {"domain": "telemetry", "timestamp": NOW_S, "unit": "u", "level": 1}, "ash-writer")

    line = json.loads(capsys.readouterr().err.splitlines()[-1])
    assert (line["token"], line["tenant"], line["status"]) == ("ash-writer", "ash", 202)
