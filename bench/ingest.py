"""``python -m bench.ingest``: cold start over HTTP, and a CSV file into packs, beside the usual ways. JSON on stdout.

Streams are faked on all sides: nothing leaves the machine.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import resource
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from bench import harness

harness.hide_pandas()

from bench.data import COLUMNS, SENSORS, sensor_events  # noqa: E402  # pyarrow must not see pandas
from bench.harness import Measured, Subject, Target  # noqa: E402
from levada.ingest import files  # noqa: E402
from levada.ports import Entry  # noqa: E402
from levadactl.memory import ManualClock, MemoryBlobStore, MemoryTopology  # noqa: E402

KEY = "landing/bench_sensors/a.csv"
LABELS = {
    "client": "cold: a bare boto3 Kinesis client",
    "init": "cold: ingest over HTTP, imported",
    "init_client": "cold: ingest over HTTP, imported, and its client built",
    "client_put": "cold: the bare client, and one record put",
    "first": "cold: ingest over HTTP, and its first event answered",
    "first_token": "cold: the same where a token is required, its look-up included",
    "usual": "file: csv.DictReader, json.dumps per row, PutRecords of 500",
    "file": "file: levada, CSV into Arrow packs, ledger included",
    "file_gz": "file: levada, the same under gzip",
}
TARGETS = (
    Target("init of ingest over HTTP against a bare Kinesis client", "init", "client", at_most=1.15),
    Target("the same with its client built", "init_client", "client", at_most=1.15),
    Target("a file into packs against json.dumps per row", "file", "usual", at_least=3.0),
)
_CLIENT = """
import boto3
from botocore.config import Config
client = boto3.client("kinesis", region_name="us-east-1", aws_access_key_id="x", aws_secret_access_key="x",
                      config=Config(retries={"mode": "standard", "max_attempts": 4}))
"""
_ANSWER = """
import botocore.awsrequest
def answer(request, **_):
    body = b'{"FailedRecordCount":0,"Records":[{"SequenceNumber":"1","ShardId":"s"}]}'
    if b"DynamoDB" in request.headers["X-Amz-Target"]:
        body = item
    class Raw:
        def stream(self, *a, **k): return iter([body])
        def read(self, *a, **k): return body
    return botocore.awsrequest.AWSResponse(request.url, 200, {}, Raw())
"""
_EVENT = {
    "path": "/v1/event",
    "httpMethod": "POST",
    "headers": {"Content-Type": "application/json"},
    "requestContext": {"requestId": "r"},
    "body": json.dumps({"domain": "air_quality", "Date": "01/01/2026", "Time": "00.00.00", "CO(GT)": 1.5}),
}
_IMPORTED = "import levada.ingest.http_handler as http"
_CLIENT_BUILT = f"""
{_IMPORTED}
from levada import wiring
from levada.config import Config
deps = wiring.AwsDeps(Config(raw_stream="raw", auth="OPEN"))
client = deps._kinesis
deps.raw
"""
_FAKED = f"{_ANSWER}\nclient.meta.events.register('before-send.*.*', answer)\n"
PROGRAMS = {
    "client": _CLIENT,
    "init": _IMPORTED,
    "init_client": _CLIENT_BUILT,
    "client_put": f"""{_CLIENT}{_FAKED}
import json
record = {{"Data": json.dumps({_EVENT}).encode(), "PartitionKey": "a"}}
assert client.put_records(StreamName="raw", Records=[record])["FailedRecordCount"] == 0
""",
    "first": f"""{_CLIENT_BUILT}{_FAKED}
with wiring.using(deps):
    found = http.handler({_EVENT}, None)
assert found["statusCode"] == 202, found
""",
    "first_token": f"""{_CLIENT_BUILT.replace('auth="OPEN"', 'table="serving"')}{_FAKED}
import hashlib, json
token = "lvd_" + "a" * 43
fields = {{"name": "a", "tenant": "a", "scopes": "write", "sk": hashlib.sha256(token.encode()).hexdigest()}}
times = {{"created_at": {{"N": "0"}}, "expires_at": {{"N": "99999999999"}}}}
item = json.dumps({{"Item": {{name: {{"S": text}} for name, text in fields.items()}} | times}}).encode()
deps.tokens._client.meta.events.register('before-send.*.*', answer)
event = {_EVENT}
event["headers"]["Authorization"] = "Bearer " + token
with wiring.using(deps):
    found = http.handler(event, None)
assert found["statusCode"] == 202, found
""",
}
ENVIRONMENT = {
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_ACCESS_KEY_ID": "x",
    "AWS_SECRET_ACCESS_KEY": "x",
    "AWS_EC2_METADATA_DISABLED": "true",
}


def cold_starts(rounds: int) -> dict[str, list[float]]:
    """CPU seconds (user and system) of a whole process for each program, interleaved.

    The first round is thrown away: it compiles what is imported.
    """
    times: dict[str, list[float]] = {name: [] for name in PROGRAMS}
    for round_number in range(rounds + 1):
        for name, program in PROGRAMS.items():
            seconds = _whole_process(program)
            if round_number:
                times[name].append(seconds)
    return times


def _whole_process(program: str) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    environment = {"PYTHONPATH": ":".join(sys.path), **ENVIRONMENT}
    subprocess.run([sys.executable, "-c", program], check=True, env=environment, stderr=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


class YesSink:
    """A stream that takes everything."""

    records = 0

    def put(self, entries: Sequence[Entry]) -> list[str | None]:
        self.records += len(entries)
        return [None] * len(entries)

    def put_records(self, *, StreamName: str, Records: list[dict[str, Any]]) -> dict[str, Any]:  # noqa: N803, ARG002
        self.records += len(Records)
        return {"FailedRecordCount": 0, "Records": [{}] * len(Records)}


def a_file(rows: int) -> bytes:
    """Comma-separated, one line a sensor event."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(sensor_events(rows, bad_share=0)[0])
    return text.getvalue().encode()


def usual(body: bytes) -> None:
    """What a script does that puts a file on a stream."""
    sink = YesSink()
    waiting: list[dict[str, Any]] = []
    for row in csv.DictReader(io.StringIO(body.decode())):
        waiting.append({"Data": json.dumps(row).encode(), "PartitionKey": row["sensor_id"]})
        if len(waiting) == 500:
            sink.put_records(StreamName="raw", Records=waiting)
            waiting = []
    if waiting:
        sink.put_records(StreamName="raw", Records=waiting)


def load(body: bytes, rows: int) -> None:
    """The file stage, from the landed bytes to acknowledged packs and a ledger that is done."""
    blobs = MemoryBlobStore()
    blobs.objects[KEY] = body
    deps = files.FilesDeps(
        blobs=blobs,
        sink=YesSink(),
        topology=MemoryTopology(),
        clock=ManualClock(),
        domains={SENSORS.name: SENSORS},
        tenant="default",
        raw_stream="raw",
        pack_rows=500,
        fence_horizon_h=48,
    )
    outcome = files.load(KEY, deps, remaining_s=lambda: 900.0)
    assert (outcome.status, outcome.counts["rows_read"]) == ("loaded", rows), outcome


def file_subjects(rows: int) -> list[Subject]:
    import gzip

    body = a_file(rows)
    packed = gzip.compress(body, 6)
    runs: Mapping[str, Callable[[], object]] = {
        "usual": partial(usual, body),
        "file": partial(load, body, rows),
        "file_gz": partial(load, packed, rows),
    }
    return [Subject(name, LABELS[name], rows, run) for name, run in runs.items()]


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.ingest", description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000, help="of the file")
    parser.add_argument("--repeats", type=int, default=15, help="rounds; in each every subject runs once")
    parser.add_argument("--json", action="store_true", help="the report on stdout")
    options = parser.parse_args(argv)
    chosen = file_subjects(options.rows)
    cold = [Subject(name, LABELS[name], 1, lambda: None) for name in PROGRAMS]
    times = cold_starts(options.repeats) | harness.interleave(chosen, options.repeats)
    rows: list[Measured] = []
    for group in (cold[:3], cold[3:], chosen):
        rows += harness.summarise(group, times)
    verdicts = harness.judge(TARGETS, [*cold, *chosen], times)
    harness.show(rows, verdicts, sys.stderr)
    if options.json:
        report = {"repeats": options.repeats, "subjects": harness.to_json(rows), "targets": verdicts}
        print(json.dumps(report, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
