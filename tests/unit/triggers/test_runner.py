"""The runner with in-memory Kinesis and hand-made Lambda and SQS: threads and files are real, the network is not."""

from __future__ import annotations

import io
import json
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from levadactl.triggers.aws import Aws, Clients
from levadactl.triggers.errors import RunnerError
from levadactl.triggers.files import JsonLog, Positions, locked
from levadactl.triggers.memory_client import MemoryKinesis
from levadactl.triggers.pacing import Pace
from levadactl.triggers.runner import Runner, main
from tests.unit.triggers.handlers import bodies

FUNCTION = "arn:aws:lambda:us-east-1:000000000000:function:f"
STREAM = "arn:aws:kinesis:us-east-1:000000000000:stream/s"
QUEUE = "arn:aws:sqs:us-east-1:000000000000:dead"
DOWN = EndpointConnectionError(endpoint_url="http://127.0.0.1:1")


def wait_until(done: Callable[[], bool], timeout_s: float = 10.0) -> None:
    end = time.monotonic() + timeout_s
    while not done():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.005)


def refusal(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": code}}, "Operation")


class FakeLambda:
    """Functions are Python callables; ``down`` makes every call fail."""

    def __init__(self) -> None:
        self.mappings: list[dict[str, Any]] = []
        self.handler: Callable[[dict[str, Any]], Any] = lambda event: None
        self.down: Exception | None = None
        self.seen: list[bytes] = []
        self.calls = 0

    def list_event_source_mappings(self, **asked: str) -> dict[str, Any]:
        if self.down:
            raise self.down
        # Pages of one, as the API may answer.
        at = int(asked.get("Marker", "0"))
        answer: dict[str, Any] = {"EventSourceMappings": self.mappings[at : at + 1]}
        return answer | ({"NextMarker": str(at + 1)} if at + 1 < len(self.mappings) else {})

    def invoke(self, **asked: Any) -> dict[str, Any]:
        self.calls += 1
        if self.down:
            raise self.down
        event = json.loads(asked["Payload"])
        answer: dict[str, Any] = {
            "StatusCode": 200,
            "ExecutedVersion": "$LATEST",
            "ResponseMetadata": {"RequestId": "r"},
        }
        try:
            payload = self.handler(event)
        except ValueError as err:
            return answer | {"FunctionError": "Unhandled", "Payload": io.BytesIO(json.dumps(str(err)).encode())}
        self.seen += bodies(event)
        return answer | {"Payload": io.BytesIO(json.dumps(payload).encode())}


class FakeSqs:
    """Keeps messages; ``refusing`` answers with an error."""

    def __init__(self) -> None:
        self.messages: list[dict[str, Any]] = []
        self.refusing: Exception | None = None

    def get_queue_url(self, **asked: str) -> dict[str, str]:
        return {"QueueUrl": f"http://queue/{asked['QueueName']}"}

    def send_message(self, **asked: str) -> None:
        if self.refusing:
            raise self.refusing
        self.messages.append(json.loads(asked["MessageBody"]))


class World:
    """One emulator and the runners that are started against it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.kinesis = MemoryKinesis(time.time)
        self.kinesis.create_stream(StreamName="s", ShardCount=2)
        self.lambda_ = FakeLambda()
        self.sqs = FakeSqs()
        self.log = io.StringIO()
        self._running: list[tuple[Runner, threading.Thread]] = []
        self.map()

    def map(self, **settings: Any) -> None:
        base = {"EventSourceArn": STREAM, "FunctionArn": FUNCTION, "StartingPosition": "TRIM_HORIZON"}
        self.lambda_.mappings = [base | {"State": "Disabled"} | settings]

    def start(self, settings: list[dict[str, Any]] | None = None, grace_s: float = 5.0) -> Runner:
        clients = Clients(self.kinesis, self.lambda_, self.sqs, None)
        runner = Runner(
            Aws(clients, settings or []),
            positions=Positions(self.folder / "state.json"),
            status_file=self.folder / "status.json",
            grace_s=grace_s,
            log=JsonLog(self.log),
            pace=Pace(hot_s=0.002, warm_s=0.002, most_iterators=1_000_000),
            look_every_s=0.02,
            status_every_s=0.01,
        )
        thread = threading.Thread(target=runner.run)
        (self.folder / "status.json").unlink(missing_ok=True)
        thread.start()
        wait_until((self.folder / "status.json").exists)
        self._running.append((runner, thread))
        return runner

    def stop(self) -> None:
        for runner, thread in self._running:
            runner.stop()
            thread.join(10)
            assert not thread.is_alive()
        self._running.clear()

    def put(self, *data: str) -> None:
        self.kinesis.put_records(StreamName="s", Records=[{"Data": d, "PartitionKey": d} for d in data])

    def status(self) -> dict[str, Any]:
        answer: dict[str, Any] = json.loads((self.folder / "status.json").read_text())
        return answer

    def total(self, counter: str) -> int:
        return sum(shard[counter] for mapping in self.status()["mappings"] for shard in mapping["shards"])

    def events(self) -> list[str]:
        return [json.loads(line)["event"] for line in self.log.getvalue().splitlines()]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    yield world
    world.stop()


def test_records_are_delivered_though_the_mapping_is_disabled(world: World) -> None:
    world.start()
    world.put("a", "b", "c")

    wait_until(lambda: sorted(world.lambda_.seen) == [b"a", b"b", b"c"])


def test_a_setting_can_disable_a_mapping(world: World) -> None:
    world.start([{"FunctionName": "f", "Enabled": False}])
    world.put("a")

    wait_until(lambda: bool(world.status()["mappings"]))

    assert world.status()["mappings"][0]["enabled"] is False
    assert world.lambda_.calls == 0


def test_after_a_restart_nothing_is_delivered_again(world: World) -> None:
    world.start()
    world.put("a", "b")
    wait_until(lambda: len(world.lambda_.seen) == 2)
    world.stop()
    world.put("c")

    world.start()
    wait_until(lambda: len(world.lambda_.seen) == 3)

    assert sorted(world.lambda_.seen) == [b"a", b"b", b"c"]
    assert world.status()["state"] == "running"


def test_a_stream_that_was_made_again_is_another_stream(world: World) -> None:
    world.start()
    world.put("a")
    wait_until(lambda: world.lambda_.seen == [b"a"])
    old = world.kinesis.streams.pop("s")
    world.kinesis.clock = lambda: time.time() + 5
    world.kinesis.create_stream(StreamName="s", ShardCount=1)
    assert world.kinesis.streams["s"].created_s != old.created_s
    world.put("b")

    def keys() -> list[str]:
        return list(json.loads((world.folder / "state.json").read_text())["positions"])

    wait_until(lambda: len(keys()) == 2 and b"b" in world.lambda_.seen)

    assert [key.split("@")[1] for key in keys()] == [
        str(int(created_s)) for created_s in (old.created_s, world.kinesis.streams["s"].created_s)
    ]


def test_an_endpoint_that_is_down_is_waited_for(world: World) -> None:
    world.lambda_.down = DOWN
    world.start()
    wait_until(lambda: "problem" in world.events())
    world.lambda_.down = None
    wait_until(lambda: bool(world.status()["mappings"]))
    world.lambda_.down = DOWN
    world.put("a")
    wait_until(lambda: world.lambda_.calls > 0)
    world.lambda_.down = None

    wait_until(lambda: world.lambda_.seen == [b"a"])


def test_reading_survives_a_stream_that_does_not_answer(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.start()
    world.put("a")
    wait_until(lambda: world.lambda_.seen == [b"a"])

    def down(**asked: Any) -> dict[str, Any]:
        raise DOWN

    with monkeypatch.context() as patch:
        patch.setattr(world.kinesis, "get_records", down)
        wait_until(lambda: "read_failed" in world.events())
    world.put("b")

    wait_until(lambda: world.lambda_.seen == [b"a", b"b"])
    assert "reading_again" in world.events()


def test_poison_is_bisected_and_its_metadata_goes_to_the_queue(world: World) -> None:
    def handler(event: dict[str, Any]) -> None:
        if b"poison" in bodies(event):
            raise ValueError("poison")

    world.lambda_.handler = handler
    world.map(
        BisectBatchOnFunctionError=True,
        MaximumRetryAttempts=0,
        DestinationConfig={"OnFailure": {"Destination": QUEUE}},
    )
    world.start()
    world.put("a", "b", "poison", "c", "d")

    wait_until(lambda: len(world.lambda_.seen) == 4 and len(world.sqs.messages) == 1)

    assert world.sqs.messages[0]["requestContext"]["condition"] == "RetryAttemptsExhausted"
    assert world.sqs.messages[0]["KinesisBatchInfo"]["batchSize"] == 1
    wait_until(lambda: world.total("discarded") == 1)


@pytest.mark.parametrize(
    ("trouble", "undelivered"),
    [(refusal("AWS.SimpleQueueService.NonExistentQueue"), 1), (DOWN, 0), (refusal("ServiceUnavailable"), 0)],
)
def test_a_queue_that_is_gone_is_given_up_but_one_that_is_down_is_tried_again(
    world: World, trouble: Exception, undelivered: int
) -> None:
    def handler(event: dict[str, Any]) -> None:
        raise ValueError("poison")

    world.lambda_.handler = handler
    world.sqs.refusing = trouble
    world.map(MaximumRetryAttempts=0, DestinationConfig={"OnFailure": {"Destination": QUEUE}})
    world.start()
    world.put("a")

    wait_until(lambda: bool({"destination_refused", "destination_unreachable"} & set(world.events())))
    world.sqs.refusing = None

    wait_until(lambda: world.total("discarded") == 1)
    assert world.total("undelivered_messages") == undelivered
    assert len(world.sqs.messages) == 1 - undelivered


def test_throttles_use_up_no_retries(world: World) -> None:
    world.map(MaximumRetryAttempts=0)
    world.lambda_.down = None
    world.start()
    wait_until(lambda: bool(world.status()["mappings"]))
    world.lambda_.down = refusal("TooManyRequestsException")
    world.put("a")
    wait_until(lambda: world.lambda_.calls >= 2)
    world.lambda_.down = None

    wait_until(lambda: world.lambda_.seen == [b"a"])
    wait_until(lambda: world.total("throttles") >= 1)
    assert world.total("discarded") == 0


def test_changed_settings_apply_without_losing_the_position(world: World) -> None:
    sizes: list[int] = []
    world.lambda_.handler = lambda event: sizes.append(len(event["Records"]))
    world.start()
    world.put("a", "b", "c", "d")
    wait_until(lambda: sum(sizes) == 4)
    sizes.clear()

    world.map(BatchSize=1)
    wait_until(lambda: "mapping_changed" in world.events())
    world.put("e", "f", "g", "h")

    wait_until(lambda: len(sizes) == 4)
    assert sizes == [1, 1, 1, 1]


def test_a_mapping_that_goes_and_comes_back_goes_on_where_it_was(world: World) -> None:
    world.start()
    world.put("a")
    wait_until(lambda: world.lambda_.seen == [b"a"])
    kept, world.lambda_.mappings = world.lambda_.mappings, []
    wait_until(lambda: "mapping_gone" in world.events())
    world.put("b")
    world.lambda_.mappings = kept

    wait_until(lambda: world.lambda_.seen == [b"a", b"b"])


def test_a_reshard_is_followed_parents_first(world: World) -> None:
    world.start()
    world.put(*(f"{n:03d}" for n in range(100)))
    world.kinesis.streams["s"].split_shard("shardId-000000000000")
    world.put(*(f"{n:03d}" for n in range(100, 200)))

    wait_until(lambda: len(world.lambda_.seen) >= 200)

    assert sorted(world.lambda_.seen) == [f"{n:03d}".encode() for n in range(200)]


def test_what_the_endpoint_drops_is_filled_in_from_settings_and_reported_without(world: World) -> None:
    world.map(StartingPosition="AT_TIMESTAMP", BatchSize=7)
    world.start()
    wait_until(lambda: any("StartingPositionTimestamp" in problem for problem in world.status()["problems"]))
    world.stop()

    world.start([{"FunctionName": FUNCTION, "StartingPositionTimestamp": 1.0, "BatchSize": 99}])
    world.put("a")

    wait_until(lambda: world.lambda_.seen == [b"a"])
    wait_until(lambda: world.status()["problems"] == [])


def test_a_stop_waits_for_the_invocation_in_flight_and_saves_its_position(world: World) -> None:
    started, finish = threading.Event(), threading.Event()

    def handler(event: dict[str, Any]) -> None:
        started.set()
        assert finish.wait(10)

    world.lambda_.handler = handler
    runner = world.start()
    world.put("a")
    assert started.wait(10)
    runner.stop()
    finish.set()
    world.stop()

    world.lambda_.handler = lambda event: None
    world.start()
    world.put("b")
    wait_until(lambda: b"b" in world.lambda_.seen)
    assert world.lambda_.seen == [b"a", b"b"]


def test_a_stop_does_not_wait_longer_than_its_grace(world: World) -> None:
    started, finish = threading.Event(), threading.Event()

    def handler(event: dict[str, Any]) -> None:
        started.set()
        finish.wait(10)

    world.lambda_.handler = handler
    world.start(grace_s=0.05)
    world.put("a")
    assert started.wait(10)
    world.stop()
    finish.set()

    assert world.status()["state"] == "stopped"
    assert json.loads(world.log.getvalue().splitlines()[-1])["in_flight"] == 1


def test_status_and_state_name_every_shard(world: World) -> None:
    world.start()
    world.put("a", "b", "c", "d")
    wait_until(lambda: len(world.lambda_.seen) == 4)
    wait_until(lambda: world.total("delivered") == 4)

    (mapping,) = world.status()["mappings"]
    assert (mapping["function"], mapping["stream"]) == ("f", "s")
    assert [shard["shard"] for shard in mapping["shards"]] == ["shardId-000000000000", "shardId-000000000001"]
    for shard in mapping["shards"]:
        assert {"position", "iterator_age_ms", "last_result", "batches", "retries", "in_flight"} <= set(shard)
    assert world.total("waiting") == 0


@pytest.mark.parametrize("content", ["{", "[]", '{"version": 99, "positions": {}}', '{"version": 1}'])
def test_a_state_file_that_is_not_ours_is_not_overwritten(tmp_path: Path, content: str) -> None:
    path = tmp_path / "state.json"
    path.write_text(content)

    with pytest.raises(RunnerError, match=r"state\.json"):
        Positions(path)
    assert path.read_text() == content


def test_positions_of_mappings_long_gone_are_forgotten(tmp_path: Path) -> None:
    positions = Positions(tmp_path / "state.json")
    positions.save({"old": {"x": 1}}, 0.0)
    positions.save({"new": {"x": 2}}, 8 * 86_400.0)

    assert Positions(tmp_path / "state.json").get("old") is None
    assert Positions(tmp_path / "state.json").get("new") == {"x": 2}


def test_two_runners_cannot_share_a_state_file(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    with locked(path, 0), pytest.raises(RunnerError, match="another runner"), locked(path, 0):
        raise AssertionError("never reached")


@pytest.mark.parametrize("content", ["{", "{}", "[1]", '[{"BatchSize": 1}]'])
def test_a_settings_file_that_says_nothing_is_refused(
    tmp_path: Path, content: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "mappings.json"
    path.write_text(content)

    assert main(["--endpoint-url", "http://127.0.0.1:1", "--mappings", str(path)]) == 1
    assert capsys.readouterr().err.startswith("triggers: ")
