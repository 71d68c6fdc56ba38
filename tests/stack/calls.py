"""Every function's code in this process, on the real adapters, against a running stack: what does it ask of AWS?"""

from __future__ import annotations

import importlib
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from levada.config import Config
from levada.wiring import AwsDeps, using
from levadactl import cases, generate
from levadactl.events import kinesis, ndjson_pack, rest, row, s3
from levadactl.loading import Lake, close_idle_windows
from levadactl.permissions import Call, calls
from levadactl.places import Place
from tests.conftest import load_event

HANDLERS = {
    "IngestHttpFunction": "levada.ingest.http_handler",
    "IngestFilesFunction": "levada.ingest.files_handler",
    "CleanFunction": "levada.clean.handler",
    "AggregateFunction": "levada.aggregate.handler",
    "ArchiveFunction": "levada.archive.handler",
    "QueryFunction": "levada.query.handler",
}
CATALOG = "lake"


class Driver:
    """Runs handlers as their functions would, and writes down what botocore sends meanwhile."""

    def __init__(self, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
        from botocore.client import BaseClient

        self.place = place
        self.made: dict[str, set[Call]] = {name: set() for name in HANDLERS}
        self._now: str | None = None
        self._lock = threading.Lock()
        for name, value in place.child_environment({}).items():
            monkeypatch.setenv(name, value)
        send = BaseClient._make_api_call  # type: ignore[attr-defined]

        def recorded(client: Any, operation: str, params: dict[str, Any]) -> Any:
            if self._now is not None:
                with self._lock:  # handlers put objects from several threads
                    self.made[self._now] |= set(calls(client.meta.service_model.endpoint_prefix, operation, params))
            return send(client, operation, params)

        monkeypatch.setattr(BaseClient, "_make_api_call", recorded)

    def run(self, function: str, event: dict[str, Any], *, remaining_ms: Iterator[int] | None = None) -> Any:
        """The handler's answer, on adapters of its own."""
        deps = AwsDeps(config(self.place))
        context = SimpleNamespace(
            aws_request_id="role-test", function_name=f"levada-{function}", get_remaining_time_in_millis=lambda: 800_000
        )
        if remaining_ms is not None:
            context.get_remaining_time_in_millis = lambda: next(remaining_ms)
        handler = importlib.import_module(HANDLERS[function]).handler
        with using(deps), self._recording(function):
            return handler(event, context)

    @contextmanager
    def _recording(self, function: str) -> Iterator[None]:
        self._now = function
        try:
            yield
        finally:
            self._now = None


def config(place: Place) -> Config:
    return Config(
        bucket=place.bucket,
        table=place.table,
        raw_stream=place.raw_stream,
        clean_stream=place.clean_stream,
        files_function=place.function("ingest-files"),
        catalog=CATALOG,
    )


def drive(place: Place, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, set[Call]]:
    """Every event file, and beside them what the files cannot show. Returns the calls of each function."""
    driver = Driver(place, monkeypatch)
    put_what_events_name(place)
    for case in cases.CASES:
        if not case.error:
            driver.run(case.function, load_event(f"{case.stage}/{case.name}"))
    _http(driver)
    _files(driver, tmp_path)
    _archive(driver)
    return driver.made


def put_what_events_name(place: Place) -> None:
    """The objects under landing/ that event files speak of."""
    from levada.ingest.s3_event import parse

    for case in cases.CASES:
        if case.function == "IngestFilesFunction" and not case.error:
            for one in parse(case.build()):
                body = cases.landed(one.key)
                if body is not None:
                    place.client("s3").put_object(Bucket=place.bucket, Key=one.key, Body=body)


def _http(driver: Driver) -> None:
    boundary = "b"
    lines = [f"--{boundary}", 'Content-Disposition: form-data; name="file"; filename="up.csv"', "", "Date;Time"]
    body = "\r\n".join([*lines, f"--{boundary}--", ""]).encode()
    upload = rest("POST", "/v1/upload", body=body, query={"domain": "air_quality"}, in_base64=True)
    for headers in (upload["headers"], upload["multiValueHeaders"]):
        headers["Content-Type"] = (
            [f"multipart/form-data; boundary={boundary}"]
            if headers is upload["multiValueHeaders"]
            else f"multipart/form-data; boundary={boundary}"
        )
    answer = driver.run("IngestHttpFunction", upload)
    assert answer["statusCode"] == 201, answer
    run = rest("POST", "/v1/runs", body=b'{"key": "' + cases.LANDED.encode() + b'"}')
    answer = driver.run("IngestHttpFunction", run)
    assert answer["statusCode"] in (200, 202), answer


def _files(driver: Driver, tmp_path: Path) -> None:
    place = driver.place
    long, broken = "landing/air_quality/long.csv", "landing/air_quality/no.csv"
    generate.write(tmp_path / "long.csv", n=30_000, seed=77)
    place.client("s3").upload_file(str(tmp_path / "long.csv"), place.bucket, long)
    place.client("s3").put_object(Bucket=place.bucket, Key=broken, Body=b"\x00\x01\x02 no table")

    def short() -> Iterator[int]:
        yield from [800_000] * 3
        while True:
            yield 1_000

    driver.run("IngestFilesFunction", s3(broken))
    driver.run("IngestFilesFunction", s3(long), remaining_ms=short())


def _archive(driver: Driver) -> None:
    place = driver.place
    for n in range(9):  # as many objects of one day as make it due
        driver.run(
            "CleanFunction", kinesis([ndjson_pack([row(n)], source="role/c", position=n)], shard=998, first=n + 1)
        )
    lake = Lake.of(place)
    close_idle_windows(place)
    for detail in (
        {"idle_after_s": 0, "compact": {"domain": "air_quality", "date": "2025-12-01"}},
        {"idle_after_s": 0, "compact": "due"},
        {"idle_after_s": 0, "rollups": "due"},
    ):
        driver.run("ArchiveFunction", {"source": "levada.test", "detail": detail})
    assert any(lake.blobs.list("rollups/"))


def environment_is_clean() -> bool:
    return "AWS_PROFILE" not in os.environ
