"""The stream triggers as a process against a real MiniStack: delivery, poison, restarts of either side.

One emulator of its own on a free port, in its own process group; functions append what they get to a file.
"""

from __future__ import annotations

import io
import json
import os
import signal
import socket
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import BotoCoreError, ClientError

from levadactl.triggers import Mapping, Start

pytestmark = pytest.mark.stack

HANDLER = b"""
import base64, os

def handler(event, context):
    data = [base64.b64decode(r["kinesis"]["data"]).decode() for r in event["Records"]]
    print(len(data))
    if "poison" in data:
        raise ValueError("poison")
    with open(os.environ["OUT"], "a") as out:
        out.writelines(line + "\\n" for line in data)
    return {"batchItemFailures": []}
"""
ROLE = "arn:aws:iam::000000000000:role/r"
QUEUE = "arn:aws:sqs:us-east-1:000000000000:dead"
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "us-east-1"}


def wait_until(done: Callable[[], bool], timeout_s: float = 30.0) -> None:
    end = time.monotonic() + timeout_s
    while not done():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.02)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Emulator:
    """One MiniStack; ``stop`` and ``start`` keep port and state."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        own = {name: str(self.folder / name.lower()) for name in ("STATE_DIR", "S3_DATA_DIR", "TMPDIR")}
        for path in own.values():
            Path(path).mkdir(exist_ok=True)
        settings = {"GATEWAY_PORT": str(self.port), "BIND_HOST": "127.0.0.1", "PERSIST_STATE": "1"}
        settings |= {"IOT_MTLS_ENABLED": "0", "SFTP_ENABLED": "0", "PATH": os.environ["PATH"]}
        with (self.folder / "ministack.log").open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "ministack"],
                env=own | settings,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        wait_until(self._answers)

    def stop(self) -> None:
        if self._process is None:
            return
        self._process.terminate()
        self._process.wait(20)
        with suppress(ProcessLookupError):
            # Workers outlive it; they are in its group and no one else's.
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process = None

    def client(self, service: Any) -> Any:
        return boto3.client(
            service,
            endpoint_url=self.url,
            region_name="us-east-1",
            aws_access_key_id="test",
            aws_secret_access_key="test",
        )

    def _answers(self) -> bool:
        try:
            self.client("kinesis").list_streams()
        except (BotoCoreError, ClientError):
            return False
        return True


class Triggers:
    """The runner as a child process with files in ``folder``."""

    def __init__(self, emulator: Emulator, folder: Path) -> None:
        self.folder = folder
        self._emulator = emulator
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        (self.folder / "status.json").unlink(missing_ok=True)
        command = [sys.executable, "-m", "levadactl.triggers.runner", "--endpoint-url", self._emulator.url]
        command += ["--state", str(self.folder / "state.json"), "--status", str(self.folder / "status.json")]
        command += ["--log-file", str(self.folder / "triggers.log")]
        self._process = subprocess.Popen(command, env={"PATH": os.environ["PATH"]} | CREDENTIALS)
        wait_until(lambda: bool(self.status().get("mappings")))

    def stop(self) -> int | None:
        if self._process is None:
            return None
        self._process.terminate()
        code = self._process.wait(20)
        self._process = None
        return code

    def status(self) -> dict[str, Any]:
        try:
            answer: dict[str, Any] = json.loads((self.folder / "status.json").read_text())
        except FileNotFoundError:
            return {}
        return answer

    def total(self, counter: str) -> int:
        return sum(shard[counter] for mapping in self.status()["mappings"] for shard in mapping["shards"])


class World:
    """A stream, a function that writes to ``out``, and a mapping between them, deployed disabled."""

    def __init__(self, emulator: Emulator, folder: Path) -> None:
        self.emulator = emulator
        self.folder = folder
        self.name = folder.name.replace("_", "-")
        self.out = folder / "out.txt"
        self.out.touch()
        self.kinesis, self.lambda_ = emulator.client("kinesis"), emulator.client("lambda")
        self.sqs = emulator.client("sqs")
        self.sqs.create_queue(QueueName="dead")
        self.kinesis.create_stream(StreamName=self.name, ShardCount=2)
        code = io.BytesIO()
        with zipfile.ZipFile(code, "w") as archive:
            archive.writestr("tiny.py", HANDLER)
        self.lambda_.create_function(
            FunctionName=self.name,
            Runtime="python3.12",
            Role=ROLE,
            Handler="tiny.handler",
            Code={"ZipFile": code.getvalue()},
            Environment={"Variables": {"OUT": str(self.out)}},
        )
        self.mapping_id = self.map(MaximumRetryAttempts=1, BisectBatchOnFunctionError=True)
        self.triggers = Triggers(emulator, folder)

    def map(self, **settings: Any) -> str:
        arn = f"arn:aws:kinesis:us-east-1:000000000000:stream/{self.name}"
        answer = self.lambda_.create_event_source_mapping(
            FunctionName=self.name,
            EventSourceArn=arn,
            StartingPosition="TRIM_HORIZON",
            BatchSize=100,
            Enabled=False,
            FunctionResponseTypes=["ReportBatchItemFailures"],
            DestinationConfig={"OnFailure": {"Destination": QUEUE}},
            **settings,
        )
        return str(answer["UUID"])

    def put(self, *data: str) -> None:
        self.kinesis.put_records(StreamName=self.name, Records=[{"Data": d, "PartitionKey": d} for d in data])

    def delivered(self) -> list[str]:
        return self.out.read_text().split()

    def close(self) -> None:
        self.triggers.stop()
        self.lambda_.delete_event_source_mapping(UUID=self.mapping_id)
        self.lambda_.delete_function(FunctionName=self.name)
        self.kinesis.delete_stream(StreamName=self.name)
        self.sqs.delete_queue(QueueUrl=self.sqs.get_queue_url(QueueName="dead")["QueueUrl"])


@pytest.fixture(scope="module")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    emulator = Emulator(tmp_path_factory.mktemp("ministack"))
    emulator.start()
    yield emulator
    emulator.stop()


@pytest.fixture
def world(emulator: Emulator, tmp_path: Path) -> Iterator[World]:
    world = World(emulator, tmp_path)
    yield world
    world.close()


def test_every_record_is_delivered_once_and_a_restart_of_the_runner_repeats_none(world: World) -> None:
    names = [f"r{n}" for n in range(200)]
    world.put(*names[:100])
    world.triggers.start()
    wait_until(lambda: len(world.delivered()) >= 100)

    assert world.triggers.stop() == 0
    world.put(*names[100:])
    world.triggers.start()
    wait_until(lambda: len(world.delivered()) >= 200)

    assert sorted(world.delivered()) == sorted(names)


def test_poison_is_isolated_and_its_metadata_leads_back_to_the_record(world: World) -> None:
    world.triggers.start()
    world.put(*(f"r{n}" for n in range(20)), "poison", *(f"r{n}" for n in range(20, 40)))

    wait_until(lambda: len(world.delivered()) >= 40 and world.triggers.total("discarded") == 1)

    assert sorted(world.delivered()) == sorted(f"r{n}" for n in range(40))
    url = world.sqs.get_queue_url(QueueName="dead")["QueueUrl"]
    (message,) = world.sqs.receive_message(QueueUrl=url)["Messages"]
    info = json.loads(message["Body"])["KinesisBatchInfo"]
    iterator = world.kinesis.get_shard_iterator(
        StreamName=world.name,
        ShardId=info["shardId"],
        ShardIteratorType="AT_SEQUENCE_NUMBER",
        StartingSequenceNumber=info["startSequenceNumber"],
    )["ShardIterator"]
    assert world.kinesis.get_records(ShardIterator=iterator, Limit=1)["Records"][0]["Data"] == b"poison"
    assert info["batchSize"] == 1


def test_the_runner_goes_on_after_a_restart_of_the_emulator(world: World) -> None:
    world.triggers.start()
    world.put("before")
    wait_until(lambda: world.delivered() == ["before"])

    world.emulator.stop()
    world.emulator.start()
    world.put("after")

    wait_until(lambda: world.delivered() == ["before", "after"])


def test_ministack_echoes_all_settings_but_the_starting_timestamp(world: World) -> None:
    """If this fails after an upgrade, the table in docs/stream-triggers.md is out of date."""
    other = world.lambda_.create_event_source_mapping(
        FunctionName=world.name,
        EventSourceArn=f"arn:aws:kinesis:us-east-1:000000000000:stream/{world.name}",
        StartingPosition="AT_TIMESTAMP",
        StartingPositionTimestamp=1_767_225_600,
        Enabled=False,
        MaximumBatchingWindowInSeconds=2,
        ParallelizationFactor=3,
        BisectBatchOnFunctionError=True,
        MaximumRetryAttempts=0,
        MaximumRecordAgeInSeconds=600,
        TumblingWindowInSeconds=30,
        FunctionResponseTypes=["ReportBatchItemFailures"],
        DestinationConfig={"OnFailure": {"Destination": QUEUE}},
        FilterCriteria={"Filters": [{"Pattern": '{"data": {"a": [1]}}'}]},
    )["UUID"]
    try:
        listed = world.lambda_.list_event_source_mappings()["EventSourceMappings"]
        (entry,) = [entry for entry in listed if entry["UUID"] == other]
    finally:
        world.lambda_.delete_event_source_mapping(UUID=other)

    assert "StartingPositionTimestamp" not in entry
    assert "TumblingWindowInSeconds" not in entry
    assert Mapping.from_api(entry | {"StartingPositionTimestamp": 1.0}) == Mapping(
        uuid=other,
        stream_arn=entry["EventSourceArn"],
        function_name=entry["FunctionArn"],
        batch_size=10,  # AWS's default is 100
        batching_window_s=2,
        starting_position=Start.AT_TIMESTAMP,
        starting_timestamp_s=1.0,
        parallelization_factor=3,
        bisect_on_error=True,
        maximum_retry_attempts=0,
        maximum_record_age_s=600,
        on_failure_destination=QUEUE,
        report_batch_item_failures=True,
        filter_patterns=({"data": {"a": [1]}},),
        enabled=False,
    )
