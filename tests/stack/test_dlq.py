"""``levada dlq`` on the embedded stack: 1,000 records that a deployment refused, and batches given up (must-show 4)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from levada.adapters.kinesis import KinesisSink
from levada.core.publishing import publish
from levada.domains.air_quality import AIR_QUALITY
from levada.ports import Entry
from levada.wiring import SystemClock
from levadactl import embedded
from levadactl.deadletters.ledger import PREFIX
from levadactl.deploy import deploy
from levadactl.embedded import ports
from levadactl.loading import Lake, Streams, close_idle_windows
from levadactl.places import Place, wait_until
from levadactl.triggers.failure_record import failure_body
from levadactl.triggers.model import Condition, Record
from tests.stack.loads import DOMAIN

pytestmark = [pytest.mark.stack, pytest.mark.slow]
N = 1_000
ENABLED = {"Schedules": "DISABLED", "DomainsEnabled": "*"}
NONE_ENABLED = ENABLED | {"DomainsEnabled": ","}


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """A stack of its own: other tests' rows are not refused meanwhile, and their dead letters are not counted here."""
    folder = tmp_path_factory.mktemp("dlq-state")
    started = embedded.start(folder=folder, port=ports.choose(), parameters=ENABLED)
    try:
        yield started.place
    finally:
        embedded.stop(folder)


def levada(place: Place, *argv: str, status: int = 0) -> Any:
    """Run ``levada dlq …`` as a user would; its JSON."""
    done = subprocess.run(command(place, *argv), env=environment(place), capture_output=True, text=True, check=False)
    assert done.returncode == status, done.stderr
    return json.loads(done.stdout)


def command(place: Place, *argv: str) -> list[str]:
    return [sys.executable, "-m", "levadactl.cli", "--state-dir", str(place.state), "dlq", *argv, "--json"]


def environment(place: Place) -> dict[str, str]:
    return place.child_environment({k: v for k, v in os.environ.items() if k != "LEVADA_STATE_DIR"})


def reading(n: int) -> bytes:
    """An hour of a year that no other test uses; ``n`` tells it from others."""
    row: dict[str, object] = dict.fromkeys(AIR_QUALITY.metrics, 1.5)
    row |= {"Date": f"1990-{n // 672 % 12 + 1:02d}-{n // 24 % 28 + 1:02d}", "Time": f"{n % 24:02d}:00:00"}
    return json.dumps(row | {"domain": DOMAIN, "PT08.S1(CO)": n}).encode()


def send(place: Place, numbers: range) -> None:
    sink = KinesisSink(place.client("kinesis"), place.raw_stream)
    publish(sink, [Entry(f"producer-{n % 40}", reading(n)) for n in numbers], SystemClock())


def drain(place: Place) -> None:
    streams = Streams(place, Lake.of(place))
    assert wait_until(streams.drained, timeout_s=90)


def in_silver(place: Place) -> Counter[int]:
    """How often each of our readings stands in silver."""
    from levada.core import lake

    blobs = Lake.of(place).blobs
    dates = {b.key.split("/date=")[1].partition("/")[0] for b in blobs.list(f"silver/domain={DOMAIN}/date=1990-")}
    rows = [row for date in sorted(dates) for row in lake.read_partition(blobs, DOMAIN, date).to_pylist()]
    return Counter(int(row["value"]) for row in rows if row["metric"] == "pt08_s1_co" and row["value"] is not None)


def windows(place: Place) -> tuple[int, float]:
    """Values of PT08.S1 in our windows, and their sum, over the API."""
    from levadactl.http import get

    close_idle_windows(place)
    query = {"domain": DOMAIN, "metric": "pt08_s1_co", "since": "1990-01-01", "until": "1991-01-01", "limit": "10000"}
    found = get(place.api_url, "/v1/windows", query)["windows"]
    return sum(one["count"] for one in found), sum(one["sum"] for one in found if one["count"])


def test_a_thousand_refused_records_come_in_once_also_when_interrupted_and_repeated(stack: Place) -> None:
    """A domain that was not enabled refuses them; it is enabled; the first redrive is killed on its way."""
    deploy(stack, parameters=NONE_ENABLED)
    send(stack, range(N))
    drain(stack)
    listed = levada(stack, "ls")
    assert [(g["reason"], g["count"]) for g in listed["groups"]] == [("unknown_domain", N)]
    assert levada(stack, "redrive", "--all", "--dry-run", status=1)["letters"]["failing"] == {"unknown_domain": N}
    deploy(stack, parameters=ENABLED)
    assert levada(stack, "redrive", "--reason", "unknown_domain", "--dry-run")["letters"]["passing"] == N

    kill_half_way(stack)
    left = levada(stack, "ls")["outstanding"]
    assert 0 < left < N
    assert levada(stack, "redrive", "--reason", "unknown_domain")["letters"]["sent"] == left
    assert levada(stack, "redrive", "--all")["letters"]["selected"] == 0
    drain(stack)

    assert in_silver(stack) == Counter(range(N))
    assert windows(stack) == (N, sum(range(N)))
    assert levada(stack, "ls")["outstanding"] == 0


def kill_half_way(place: Place) -> None:
    blobs = Lake.of(place).blobs
    process = subprocess.Popen(
        command(place, "redrive", "--all", "--rate", "60/s"),
        env=environment(place),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        assert wait_until(lambda: any(True for _ in blobs.list(PREFIX)), timeout_s=60, every_s=0.02)
        assert process.poll() is None, "it was to be interrupted"
    finally:
        process.kill()
        process.wait()


def test_a_discarded_batch_is_read_back_and_comes_in_once(stack: Place) -> None:
    """The trigger's own message; clean has applied other records since, so the fence has moved past these."""
    numbers = range(N, N + 20)
    deploy(stack, parameters=NONE_ENABLED)  # as good as never delivered: nothing of it can be read
    send(stack, numbers)
    drain(stack)
    deploy(stack, parameters=ENABLED)
    sent = discard(stack, numbers)

    listed = levada(stack, "ls")
    assert sum(one["in_stream"] for one in listed["batches"]) == sent
    assert listed["not_outstanding"]["discarded"] == len(numbers)
    report = levada(stack, "redrive", "--all")
    drain(stack)

    assert (report["batches"]["sent"], report["batches"]["lost"], report["letters"]["selected"]) == (sent, 0, 0)
    assert {n: c for n, c in in_silver(stack).items() if n >= N} == dict.fromkeys(numbers, 1)
    found = levada(stack, "ls")
    assert (found["outstanding"], found["batches"]) == (0, [])


def discard(place: Place, numbers: range) -> int:
    """Put a message for the records of each shard that hold these readings, as the trigger words it."""
    kinesis, wanted = place.client("kinesis"), {reading(n) for n in numbers}
    arn = kinesis.describe_stream_summary(StreamName=place.raw_stream)["StreamDescriptionSummary"]["StreamARN"]
    sent = 0
    for shard in kinesis.list_shards(StreamName=place.raw_stream)["Shards"]:
        records = [record for record in records_of(place, shard["ShardId"]) if record.data in wanted]
        if not records:
            continue
        body = failure_body(
            records=records,
            shard_id=shard["ShardId"],
            stream_arn=arn,
            function_arn=f"arn:aws:lambda:us-east-1:000000000000:function:{place.function('clean')}",
            condition=Condition.RETRIES,
            invoke_count=21,
            request_id="test",
            last=None,
            now_s=SystemClock().now_s(),
        )
        place.client("sqs").send_message(QueueUrl=place.dead_letters_url, MessageBody=json.dumps(body))
        sent += len(records)
    assert sent == len(numbers)
    return sent


def records_of(place: Place, shard: str) -> list[Record]:
    kinesis, found = place.client("kinesis"), []
    start = kinesis.get_shard_iterator(StreamName=place.raw_stream, ShardId=shard, ShardIteratorType="TRIM_HORIZON")
    iterator = start["ShardIterator"]
    while True:
        page = kinesis.get_records(ShardIterator=iterator, Limit=1000)
        for raw in page["Records"]:
            arrived_s = raw["ApproximateArrivalTimestamp"].timestamp()
            found.append(Record(raw["SequenceNumber"], raw["PartitionKey"], raw["Data"], arrived_s))
        if not page.get("MillisBehindLatest"):
            return found
        iterator = page["NextShardIterator"]


def test_a_refused_file_is_loaded_when_its_domain_is_enabled(stack: Place) -> None:
    deploy(stack, parameters=NONE_ENABLED)
    rows = [json.loads(reading(n)) for n in range(N + 100, N + 110)]
    body = "\n".join(map(json.dumps, rows)).encode()
    stack.client("s3").put_object(Bucket=stack.bucket, Key=f"landing/{DOMAIN}/late.ndjson", Body=body)
    assert wait_until(lambda: levada(stack, "ls")["outstanding"] == 1, timeout_s=60)
    deploy(stack, parameters=ENABLED)
    assert levada(stack, "redrive", "--all", "--dry-run")["files"]["passing"] == 1

    assert levada(stack, "redrive", "--all")["files"]["sent"] == 1
    drain(stack)

    assert {n for n in in_silver(stack) if n >= N + 100} == set(range(N + 100, N + 110))
    assert levada(stack, "ls")["outstanding"] == 0
