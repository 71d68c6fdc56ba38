"""Every function's code in this process, on the real adapters, against a stack: what does it ask of AWS?"""

from __future__ import annotations

import importlib
import json
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from levada.config import Config
from levada.core import limits
from levada.core.limits import CONTROL, SPECIFICATION, Limit, Register
from levada.ingest.s3_event import parse as landed_keys
from levada.wiring import AwsDeps, SystemClock, using
from levadactl import cases, cases_of_tokens, generate
from levadactl.case import SHARD
from levadactl.events import compact, kinesis, kinesis_records, ndjson_pack, rest, row, s3
from levadactl.loading import Lake
from levadactl.permissions import Call, calls
from levadactl.places import Place
from levadactl.triggers.model import Record
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
AIR = "air_quality"
BEARER = {"Authorization": f"Bearer {cases_of_tokens.token('operator')}"}


class Driver:
    """Runs handlers as their functions would, and writes down what botocore sends meanwhile."""

    def __init__(self, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
        from botocore.client import BaseClient

        self.place = place
        self.made: dict[str, set[Call]] = {name: set() for name in HANDLERS}
        self.clock = SystemClock()
        self._now: str | None = None
        self._lock = threading.Lock()
        for name, value in place.child_environment({}).items():
            monkeypatch.setenv(name, value)
        send: Callable[..., Any] = BaseClient._make_api_call  # type: ignore[attr-defined]

        def recorded(client: Any, operation: str, params: Mapping[str, Any]) -> Any:
            if self._now is not None:
                with self._lock:  # handlers put objects from several threads
                    self.made[self._now] |= set(calls(client.meta.service_model.endpoint_prefix, operation, params))
            return send(client, operation, params)

        monkeypatch.setattr(BaseClient, "_make_api_call", recorded)

    def run(self, function: str, event: Mapping[str, Any], *, remaining_ms: Iterator[int] | None = None) -> Any:
        """The handler's answer, on adapters of its own."""
        left = remaining_ms or iter(lambda: 800_000, 0)
        context = SimpleNamespace(
            aws_request_id=uuid.uuid4().hex, function_name=function, get_remaining_time_in_millis=lambda: next(left)
        )
        if "httpMethod" in event:
            event = {**event, "headers": BEARER | (event.get("headers") or {})}
        handler = importlib.import_module(HANDLERS[function]).handler
        deps = AwsDeps(config(self.place))
        deps.clock = self.clock
        with using(deps), self._recording(function):
            return handler(dict(event), context)

    @contextmanager
    def _recording(self, function: str) -> Iterator[None]:
        self._now = function
        try:
            yield
        finally:
            self._now = None

    def deliver(self, stream: str, function: str) -> None:
        """All records of a stream, a batch per shard."""
        kinesis, name = self.place.client("kinesis"), {"raw": self.place.raw_stream, "clean": self.place.clean_stream}
        for shard in kinesis.list_shards(StreamName=name[stream])["Shards"]:
            start = kinesis.get_shard_iterator(
                StreamName=name[stream], ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON"
            )
            page = kinesis.get_records(ShardIterator=start["ShardIterator"], Limit=10_000)["Records"]
            records = [
                Record(r["SequenceNumber"], r["PartitionKey"], r["Data"], r["ApproximateArrivalTimestamp"].timestamp())
                for r in page
            ]
            if records:
                number = int(shard["ShardId"].removeprefix("shardId-"))
                self.run(function, kinesis_records(records, stream=stream, shard=number))

    def archive(self, **detail: Any) -> Any:
        return self.run("ArchiveFunction", {"source": "levada.test", "detail": {"idle_after_s": 0, **detail}})


def config(place: Place) -> Config:
    return Config(
        bucket=place.bucket,
        table=place.table,
        raw_stream=place.raw_stream,
        clean_stream=place.clean_stream,
        files_function=place.function("ingest-files"),
        alerts_topic=place.outputs["AlertsTopicArn"],
        catalog=CATALOG,
        retention="ENABLED",
    )


def drive(place: Place, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, set[Call]]:
    """Every event file, and beside them what the files cannot show. Returns the calls of each function.

    The place must have no stream triggers: here this process delivers.
    """
    driver = Driver(place, monkeypatch)
    # The deployed function must not load first what is loaded here.
    place.client("s3").put_bucket_notification_configuration(Bucket=place.bucket, NotificationConfiguration={})
    _limits(place)
    Lake.of(place).serving.put([one.to_item() for one in cases_of_tokens.tokens(time.time())])
    put_what_events_name(place)
    _events(driver, "IngestFilesFunction", "IngestHttpFunction", "CleanFunction", "AggregateFunction")
    _http(driver)
    _spikes(driver)
    for co in (1.5, 1.6):  # the second time a shard goes on from what it has committed, with an outbox
        _today(driver, co)
        driver.deliver("raw", "CleanFunction")
        driver.deliver("clean", "AggregateFunction")
    _today(driver, 1.7)
    driver.deliver("raw", "CleanFunction")
    driver.deliver("clean", "AggregateFunction")
    _events(driver, "ArchiveFunction")
    _many_objects(driver)
    driver.archive(compact={"domain": AIR, "date": "2025-12-01"})
    driver.archive(compact="due")
    driver.archive(rollups="due")
    _events(driver, "QueryFunction")
    day = {"domain": "jobs", "since": "2025-12-01T00:00:00Z", "until": "2025-12-02T00:00:00Z"}
    assert driver.run("QueryFunction", rest("GET", "/v1/events", query=day))["statusCode"] == 200
    _files(driver, tmp_path)  # nobody delivers its rows
    _delete(driver)
    return driver.made


def _delete(driver: Driver) -> None:
    """In a hundred years all is old enough; where a deployment says so, it goes."""
    driver.archive(rollups="due")

    class Later(SystemClock):
        def now_s(self) -> float:
            return super().now_s() + 100 * 366 * 86_400

    driver.clock = Later()
    answer = driver.archive(retention="due")["retention"]
    layers = {row["layer"] for row in answer["rows"]}
    assert layers == {"silver", "gold", "events", "anomalies", "rollups", "kpi", "bronze", "quarantine"}, answer


def _many_objects(driver: Driver) -> None:
    """Batch by batch, so that silver has something to compact."""
    for n in range(9):
        pack = ndjson_pack([row(n)], source="roles/compaction", position=n)
        driver.run("CleanFunction", kinesis([pack], shard=998, first=n + 1))


def put_what_events_name(place: Place) -> None:
    """The objects under landing/ that event files speak of."""
    for case in cases.CASES:
        if case.function == "IngestFilesFunction" and not case.error:
            for one in landed_keys(case.build()):
                body = cases.landed(one.key)
                if body is not None:
                    place.client("s3").put_object(Bucket=place.bucket, Key=one.key, Body=body)


def _events(driver: Driver, *functions: str) -> None:
    for n, case in enumerate(cases.CASES):
        if case.function in functions and not case.error:
            text = compact(load_event(f"{case.stage}/{case.name}")).decode()
            # A shard of its own for each: what one has applied is not skipped in the next.
            event = _parsed(text.replace(f"shardId-{SHARD:012d}", f"shardId-{1000 + n:012d}"))
            driver.run(case.function, event)


def _parsed(text: str) -> dict[str, Any]:
    event: dict[str, Any] = json.loads(text)
    return event


def _limits(place: Place) -> None:
    blobs = Lake.of(place).blobs
    register = limits.load(blobs, AIR, "default")
    for kind in (CONTROL, SPECIFICATION):
        register.add(Limit(kind=kind, metric="co", lower=0.0, upper=4.0))
    limits.store(blobs, AIR, "default", Register(register.limits, register.etag))


def _http(driver: Driver) -> None:
    lines = ["--b", 'Content-Disposition: form-data; name="file"; filename="up.csv"', "", "Date;Time", "--b--", ""]
    upload = rest("POST", "/v1/upload", body="\r\n".join(lines).encode(), query={"domain": AIR}, in_base64=True)
    upload["headers"]["Content-Type"] = "multipart/form-data; boundary=b"
    upload["multiValueHeaders"]["Content-Type"] = ["multipart/form-data; boundary=b"]
    assert driver.run("IngestHttpFunction", upload)["statusCode"] == 201
    run = rest("POST", "/v1/runs", body=compact({"key": cases.LANDED}))
    assert driver.run("IngestHttpFunction", run)["statusCode"] in (200, 202)


def _files(driver: Driver, tmp_path: Path) -> None:
    """A file that is refused, and one that takes longer than an invocation may."""
    place, s3_client = driver.place, driver.place.client("s3")
    generate.write(tmp_path / "long.csv", n=60_000, seed=77)
    s3_client.put_object(Bucket=place.bucket, Key="landing/air_quality/no.csv", Body=b"\x00\x01\x02 no table")
    driver.run("IngestFilesFunction", s3("landing/air_quality/no.csv"))
    s3_client.upload_file(str(tmp_path / "long.csv"), place.bucket, "landing/air_quality/long.csv")

    def short() -> Iterator[int]:
        yield 800_000  # for the first block
        while True:
            yield 1_000

    driver.run("IngestFilesFunction", s3("landing/air_quality/long.csv"), remaining_ms=short())


def _spikes(driver: Driver) -> None:
    """A reading a minute of two units until half an hour ago: one stands out in a window that aggregate
    closes, the other in the last one, which archive closes."""
    first = datetime.now(UTC).replace(second=0, microsecond=0) - timedelta(minutes=120)
    for unit, spike in (("early", 60), ("late", 89)):
        rows = [
            {"timestamp": (first + timedelta(minutes=i)).isoformat(), "unit": unit, "temperature": 20 + i % 3}
            for i in range(90)
        ]
        rows[spike]["temperature"] = 90
        body = compact([{"domain": "telemetry", **one} for one in rows])
        answer = driver.run("IngestHttpFunction", rest("POST", "/v1/events/batch", body=body))
        assert json.loads(answer["body"])["failed"] == 0, answer


def _today(driver: Driver, co: float) -> None:
    """Readings of the last hours."""
    now = datetime.now(UTC)
    for hours in (9, 8, 7, 6, 5, 4):
        at = now - timedelta(hours=hours)
        reading = row(0, Date=f"{at:%Y-%m-%d}", Time=f"{at:%H}:00:00", **{"CO(GT)": co})
        answer = driver.run("IngestHttpFunction", rest("POST", "/v1/event", body=compact(reading)))
        assert answer["statusCode"] == 202
