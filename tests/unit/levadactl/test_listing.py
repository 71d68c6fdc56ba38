"""Lists of the API from the command line: a page or all of them, as a table, JSON or CSV (D19, D20)."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from typing import Any

import pytest

from levada.query import answers
from levadactl import http
from levadactl.cli import main
from levadactl.commands import listing
from levadactl.errors import LevadactlError
from levadactl.memory import MemoryDeps
from tests.events import test_query_anomalies
from tests.unit.archive.test_idle import METRICS, aggregate, published
from tests.unit.levadactl.test_periods_commands import answer, here

__all__ = ["here"]  # the fixture

LISTS = {
    "windows": "windows",
    "latest": "latest",
    "rollups ls --period 1h": "rollups",
    "anomalies": "anomalies",
    "alerts": "alerts",
    "late ls": "late",
    "kpi --period 1d": "kpi",
}


def said(capsys: pytest.CaptureFixture[str], line: str) -> tuple[str, str]:
    assert main(line.split()) == 0
    return tuple(capsys.readouterr())  # type: ignore[return-value]


@pytest.fixture
def filled(here: MemoryDeps, capsys: pytest.CaptureFixture[str]) -> MemoryDeps:
    """Something in every list, more than a page of the tests has."""
    test_query_anomalies.put(here)
    aggregate(here, published([2, 3], n=100), first=100)
    for metric in ("co", "nox", "no2"):
        answer(capsys, f"limits set --metric {metric} --lower 0 --upper 4")
    answer(capsys, "rollups make")
    return here


@pytest.mark.usefixtures("filled")
@pytest.mark.parametrize("line", LISTS)
def test_all_pages_are_what_a_large_page_is_and_csv_is_the_same(
    line: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    once = answer(capsys, f"{line} --limit 1000")[LISTS[line]]
    monkeypatch.setattr(listing, "PAGE", max(2, len(once) // 4))

    every = answer(capsys, f"{line} --all")
    text, _ = said(capsys, f"{line} --all --csv")
    page, _ = said(capsys, f"{line} --limit 3 --csv")

    assert len(once) > 2
    assert (every[LISTS[line]], every.get("next")) == (once, None)
    assert list(csv.DictReader(io.StringIO(page))) == list(csv.DictReader(io.StringIO(text)))[:3]
    (rows, shown) = (list(csv.DictReader(io.StringIO(text))), [{k: _cell(v) for k, v in row.items()} for row in once])
    assert rows == shown


def _cell(value: Any) -> str:
    return "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


@pytest.mark.usefixtures("filled")
def test_people_hear_that_there_is_more(capsys: pytest.CaptureFixture[str]) -> None:
    for options in ("", "--csv", "--json"):
        assert "there are more: --limit, or --all" in said(capsys, f"windows --limit 3 {options}")[1]
        assert "there are more" not in said(capsys, f"latest --metric co {options}")[1]
    assert str(len(answer(capsys, "latest --all")["latest"])) == str(METRICS)


@pytest.mark.usefixtures("filled")
def test_one_form_at_a_time(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["windows", "--csv", "--json"]) == 2
    assert "give one of the two" in capsys.readouterr().err


class Api(BaseHTTPRequestHandler):
    """Answers like the API does, and remembers what it was asked."""

    asked: list[tuple[str, str | None]]

    def do_GET(self) -> None:
        self.asked.append((self.path, self.headers["Accept"]))
        wrong = "wrong" in self.path
        body = json.dumps({"error": "since: must be a time"}).encode() if wrong else b"a,b\r\n1,2\r\n"
        self.send_response(422 if wrong else 200)
        if "more" in self.path:
            self.send_header(http.NEXT, "onwards")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Not into the tests' output."""


@pytest.fixture
def api() -> Iterator[str]:
    Api.asked = []
    with HTTPServer(("127.0.0.1", 0), Api) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_csv_comes_with_where_the_next_page_begins(api: str) -> None:
    assert http.get_csv(api, "/v1/windows", {"more": "1"}) == ("a,b\r\n1,2\r\n", "onwards")
    assert http.get_csv(api, "/v1/windows", {}) == ("a,b\r\n1,2\r\n", None)
    assert Api.asked[0] == ("/v1/windows?more=1", "text/csv")
    assert http.NEXT == answers.NEXT


def test_what_the_api_refuses_is_said_in_its_words(api: str) -> None:
    with pytest.raises(LevadactlError, match="HTTP 422: since: must be a time"):
        http.get_csv(api, "/v1/windows", {"wrong": "1"})
