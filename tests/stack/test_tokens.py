"""Tokens on a stack that requires them: made, used, refused, revoked, over real HTTP (D34)."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import ProxyHandler, Request, build_opener

import pytest

from levada.core.access import KNOWN_S
from levada.wiring import SystemClock
from levadactl import cases, embedded, http, loading
from levadactl.embedded import ports
from levadactl.events import row
from levadactl.loading import Lake, Streams, close_idle_windows
from levadactl.places import Place, wait_until
from levadactl.smoking import HttpApi, Smoke

pytestmark = pytest.mark.stack
TIMEOUT_S = 120
CO = {"domain": "air_quality", "metric": "co", "width": "86400"}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("tokens")
    wanted = {"Schedules": "DISABLED", "Auth": "REQUIRED"}
    try:
        yield embedded.start(folder=folder, port=ports.choose(), parameters=wanted).place
    finally:
        embedded.stop(folder)


def levada(place: Place, *words: str) -> Any:
    command = [sys.executable, "-m", "levadactl.cli", "--state-dir", str(place.state), *words, "--json"]
    run = subprocess.run(command, capture_output=True, text=True, check=True, env=place.child_environment())
    return json.loads(run.stdout)


def token(place: Place, name: str, tenant: str, *scopes: str) -> str:
    words = [word for scope in scopes for word in ("--scope", scope)]
    made: str = levada(place, "token", "create", "--name", name, "--tenant", tenant, *words, "--expires", "1h")["token"]
    return made


def ask(place: Place, path: str, bearer: str | None = None, body: object = None, **query: str) -> tuple[int, Any]:
    """(status, answer); a POST where there is a body."""
    data = None if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
    headers = {"Content-Type": "text/csv" if isinstance(body, bytes) else "application/json"}
    headers |= {} if bearer is None else {"Authorization": f"Bearer {bearer}"}
    request = Request(f"{place.api_url}{path}?{urlencode(query)}", data, headers)  # noqa: S310  # the stack of this test
    try:
        with build_opener(ProxyHandler({})).open(request, timeout=60) as answer:
            return answer.status, json.load(answer)
    except HTTPError as err:
        return err.code, json.load(err)


def settle(place: Place) -> None:
    assert wait_until(Streams(place, Lake.of(place)).settled, TIMEOUT_S)
    close_idle_windows(place)


def test_a_tenant_writes_and_reads_its_own_rows_and_nobody_elses(place: Place) -> None:
    north, south = (token(place, name, name, "read", "write") for name in ("north", "south"))
    reader = token(place, "north-reader", "north", "read")
    day = {"since": "1986-03-01", "until": "1986-03-02"}

    assert ask(place, "/v1/event", None, row(0, Date="1986-03-01"))[0] == 401
    status, refused = ask(place, "/v1/event", reader, row(0, Date="1986-03-01"))
    assert (status, refused["needs"]) == (403, {"scope": "write"})
    assert ask(place, "/v1/event", south, row(0, Date="1986-03-01"), tenant="north")[0] == 403
    for n in range(3):
        assert ask(place, "/v1/event", north, row(n, Date="1986-03-01"))[0] == 202
    status, landed = ask(place, "/v1/upload", south, cases.landed("landing/air_quality/a.csv"), domain="air_quality")
    assert (status, landed["key"].split("/")[2]) == (201, "tenant=south")
    assert ask(place, "/v1/runs", north, {"key": landed["key"]})[0] == 403
    status, run = ask(place, "/v1/runs", south, {"key": landed["key"]})
    assert (status, run["rows"]) == (200, cases.FILE_ROWS)
    settle(place)

    (window,) = ask(place, "/v1/windows", reader, **CO, **day)[1]["windows"]
    assert (window["count"], window["tenant"]) == (3, "north")
    assert ask(place, "/v1/windows", south, **CO, **day)[1]["windows"] == []
    assert {one["tenant"] for one in ask(place, "/v1/windows", south, **CO)[1]["windows"]} == {"south"}
    assert ask(place, "/v1/windows", south, **CO, tenant="north")[0] == 403
    assert ask(place, "/v1/windows", None, **CO)[0] == 401
    assert ask(place, "/healthz")[0] == 200
    operator = token(place, "operator", "*", "admin")
    for tenant in ("north", "south"):
        series = ask(place, "/v1/series", operator, domain="air_quality", tenant=tenant)[1]["series"]
        assert {one["tenant"] for one in series} == {tenant}


def test_a_token_that_was_revoked_before_it_was_used_opens_nothing(place: Place) -> None:
    bearer = token(place, "never", "north", "read", "write")
    revoked = levada(place, "token", "revoke", "never")["revoked"]

    assert revoked["sha256"] not in {one["sha256"] for one in levada(place, "token", "ls")["tokens"]}
    assert levada(place, "token", "ls", "--table", place.table) == levada(place, "token", "ls")
    status, answer = ask(place, "/v1/series", bearer, domain="air_quality")
    assert (status, answer["error"]) == (401, "the token 'never' was revoked")
    assert ask(place, "/v1/event", bearer, row(0))[0] == 401


@pytest.mark.slow
def test_a_token_in_use_is_refused_within_a_minute_of_its_revocation(place: Place) -> None:
    bearer = token(place, "leaver", "north", "read")
    assert ask(place, "/v1/series", bearer, domain="air_quality")[0] == 200

    levada(place, "token", "revoke", "leaver")

    assert wait_until(lambda: ask(place, "/v1/series", bearer, domain="air_quality")[0] == 401, KNOWN_S + 15, 1)


def test_our_own_tools_get_in_with_the_token_of_the_environment(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    def smoke() -> list[tuple[str, bool, str]]:
        checks = Smoke(HttpApi(place.api_url), SystemClock(), lambda: loading.close_idle_windows(place)).run()
        return [(check.name, check.ok, check.detail) for check in checks]

    monkeypatch.delenv(http.TOKEN, raising=False)
    *_, (name, ok, detail) = smoke()
    assert (name, ok) == ("upload", False)
    assert "HTTP 401: no token" in detail
    assert "export LEVADA_TOKEN=$(levada token create" in detail
    monkeypatch.setenv(http.TOKEN, token(place, "smoke", "default", "read", "write"))
    assert [ok for _, ok, _ in smoke()] == [True] * 5
