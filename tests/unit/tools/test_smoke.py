"""The smoke test through the real handlers: health and four checks, and what it says when one fails (A23)."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from levada.archive import handler as archive_handler
from levada.clean import handler as clean_handler
from levada.config import Config
from levada.ingest import files_handler, http_handler
from levada.query import handler as query_handler
from levada.wiring import using
from levadactl import events
from levadactl.errors import LevadactlError
from levadactl.memory import MemoryDeps
from levadactl.smoking import Smoke, line
from tests.unit.tools import pipeline


class HandlersApi:
    """The HTTP API as the functions answer it, and the streams delivered after each upload."""

    def __init__(self, deps: MemoryDeps) -> None:
        self.deps = deps
        self.delivered = 0

    def get(self, path: str, query: Mapping[str, str]) -> dict[str, Any]:
        answer = query_handler.handler(events.rest("GET", path, query=query), None)
        if answer["statusCode"] >= 300:
            raise LevadactlError(answer["body"])
        found: dict[str, Any] = json.loads(answer["body"])
        return found

    def post(self, path: str, body: bytes, headers: Mapping[str, str]) -> tuple[int, dict[str, Any]]:
        bare, _, text = path.partition("?")
        query = dict(part.split("=") for part in text.split("&")) if text else None
        event = events.rest("POST", bare, query=query, body=body)
        event["headers"] |= headers
        answer = http_handler.handler(event, None)
        return answer["statusCode"], json.loads(answer["body"])

    def close(self) -> None:
        """What the schedule does, after the streams have delivered."""
        new = [entry.data for entry in self.deps.raw.entries[self.delivered :]]
        if new:
            clean_handler.handler(events.kinesis(new, first=self.delivered + 1), None)
            self.delivered += len(new)
        pipeline.aggregate(self.deps)
        archive_handler.handler(events.schedule(idle_after_s=0), None)


@pytest.fixture
def api() -> Iterator[HandlersApi]:
    config = Config(
        bucket="lake",
        table="serving",
        raw_stream="raw",
        clean_stream="clean",
        files_function="levada-ingest-files",
        auth="OPEN",
    )
    with using(MemoryDeps(config=config)) as deps:
        assert isinstance(deps, MemoryDeps)
        deps.functions.handlers["levada-ingest-files"] = lambda event: files_handler.handler(event, None)
        yield HandlersApi(deps)


def test_every_check_passes_on_a_pipeline_that_works(api: HandlersApi) -> None:
    checks = list(Smoke(api, api.deps.clock, api.close).run())

    assert [(check.name, check.ok) for check in checks] == [
        (name, True) for name in ("health", "upload", "run", "flush", "query")
    ], checks
    assert checks[3].detail == "120 values in windows"
    assert line(checks[0]).startswith("OK    health")


def test_a_second_run_is_another_unit_and_passes_too(api: HandlersApi) -> None:
    assert all(check.ok for check in Smoke(api, api.deps.clock, api.close).run())
    api.deps.clock.sleep(1)
    assert all(check.ok for check in Smoke(api, api.deps.clock, api.close).run())


def test_the_first_check_that_fails_is_the_last_and_says_why(api: HandlersApi) -> None:
    checks = list(Smoke(api, api.deps.clock, lambda: None).run())  # nothing is ever delivered

    assert [check.ok for check in checks] == [True, True, True, False]
    assert checks[-1].detail == "0 values are in windows, not 120"
    assert line(checks[-1]).startswith("FAIL  flush")


def test_a_lake_that_is_down_fails_the_upload(api: HandlersApi) -> None:
    api.deps.blobs.down = True

    checks = list(Smoke(api, api.deps.clock, api.close).run())

    assert not checks[-1].ok
    assert checks[-1].name in ("health", "upload")
