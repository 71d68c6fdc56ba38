"""One behaviour, every place: the same tests on the embedded stack and, by marker, on LocalStack (AWS_ENDPOINT_URL)."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import ProxyHandler, Request, build_opener

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from levada.core import parquet
from levadactl import events, generate, verify
from levadactl.commands.status import lag
from levadactl.deadletters.aws import ports_of as letters_of
from levadactl.domains import domain_named
from levadactl.http import get
from levadactl.lagging import behind
from levadactl.loading import Lake, Streams, close_idle_windows
from levadactl.places import AwsPlace, Place, wait_until
from tests.stack.loads import DOMAIN, load, rows_of

LOCALSTACK = pytest.param("localstack_stack", marks=pytest.mark.localstack, id="localstack")
pytestmark = pytest.mark.stack
TIMEOUT_S = 120


@pytest.fixture(params=[pytest.param("embedded_stack", id="embedded"), LOCALSTACK])
def place(request: pytest.FixtureRequest) -> Place:
    found: Place = request.getfixturevalue(request.param)
    return found


def put(place: Place, *bodies: bytes) -> str:
    """Records on one shard of the raw stream, in order. Returns the shard."""
    records = [{"Data": body, "PartitionKey": "one"} for body in bodies]
    answer = place.client("kinesis").put_records(StreamName=place.raw_stream, Records=records)  # type: ignore[arg-type]
    assert answer["FailedRecordCount"] == 0
    return answer["Records"][0]["ShardId"]


def drain(place: Place) -> None:
    streams = Streams(place, Lake.of(place))
    assert wait_until(streams.settled, TIMEOUT_S)


def post(place: Place, path: str, body: object, **headers: str) -> tuple[int, dict[str, Any]]:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    request = Request(place.api_url + path, data, {"Content-Type": "application/json", **headers})  # noqa: S310
    try:
        with build_opener(ProxyHandler({})).open(request, timeout=60) as answer:
            return answer.status, json.load(answer)
    except HTTPError as err:
        return err.code, json.load(err)


def quarantined(place: Place, needle: bytes) -> list[dict[str, Any]]:
    """Rows of quarantine whose payload holds these bytes."""
    tables = [parquet.from_bytes(body) for _, body in Lake.of(place).bodies("quarantine/stage=clean/")]
    rows = [row for table in tables for row in table.to_pylist()]
    return [row for row in rows if needle in row["payload"]]


def duplicates(place: Place) -> int:
    counted = Lake.of(place).counters("clean")
    return counted[DOMAIN]["duplicates"] if DOMAIN in counted else 0


def silver(place: Place, source: str) -> pa.Table:
    tables = []
    for _, body in Lake.of(place).bodies(f"silver/domain={DOMAIN}/"):
        table = parquet.from_bytes(body)
        tables.append(table.filter(pc.starts_with(table["source"].cast(pa.string()), source)))
    return pa.concat_tables(tables)


def test_a_file_goes_from_landing_to_exact_windows(place: Place, tmp_path: Path) -> None:
    path = tmp_path / f"{place.name}.csv"
    wrote = generate.write(path, n=1500, seed=51)

    counts = load(place, path)["counts"]
    close_idle_windows(place)
    report = verify.verify_place(place, domain_named(DOMAIN))

    assert counts["rows_read"] == wrote.good
    assert rows_of(place, [path])[0].num_rows == wrote.good * 13
    assert (report.mismatches, report.drained) == (0, True), report.examples


def test_bad_records_are_set_aside_and_the_good_ones_behind_them_arrive(place: Place) -> None:
    """LocalStack retries a whole batch and cuts none in two: only a handler that never raises keeps this promise."""
    source = f"places/{uuid.uuid4().hex}"
    mark = uuid.uuid4().hex.encode()
    good = [events.ndjson_pack([events.row(i, Date="1980-03-01")], source=source, position=i) for i in range(3)]

    put(place, good[0], b"not JSON " + mark, good[1], b'{"domain": "nobody", "x": "' + mark + b'"}', good[2])
    drain(place)

    assert silver(place, source).num_rows == 3 * 13
    found = quarantined(place, mark)
    assert len(found) == 2
    assert "unknown_domain" in {row["reason"] for row in found}
    assert all(row["sequence"] and row["shard"] for row in found)


def test_what_is_sent_twice_counts_once(place: Place) -> None:
    source = f"places/{uuid.uuid4().hex}"
    packs = [events.ndjson_pack([events.row(i, Date="1981-03-01")], source=source, position=i) for i in range(4)]
    before = duplicates(place)

    put(place, *packs, *packs)
    drain(place)
    put(place, *packs)
    drain(place)

    assert silver(place, source).num_rows == 4 * 13
    assert duplicates(place) - before == 8


def test_lag_is_what_was_put_and_not_yet_committed(place: Place) -> None:
    source = f"places/{uuid.uuid4().hex}"
    shard = put(place, events.ndjson_pack([events.row(0, Date="1982-03-01")], source=source))
    drain(place)

    (reader,) = [one for one in behind(place) if (one.function, one.shard) == ("clean", shard)]
    assert (reader.waiting, reader.more, reader.iterator_age_ms) == (0, False, 0)
    assert reader.position is not None
    assert {one.waiting for one in behind(place)} == {0}
    shards = [one for mapping in lag(place)["status"]["mappings"] for one in mapping["shards"]]
    assert len(shards) == 6

    # A record that the checkpoint has not got to: what a reader sees between a put and its commit.
    put(place, events.ndjson_pack([events.row(1, Date="1982-03-01")], source=source, position=1))
    (after,) = [one for one in behind(place) if (one.function, one.shard) == ("clean", shard)]
    assert after.waiting in (0, 1), "one put, committed already or not yet"
    assert after.waiting == 1 or int(after.position or 0) > int(reader.position)


def test_windows_are_read_over_http(place: Place) -> None:
    source = f"places/{uuid.uuid4().hex}"
    rows = [events.row(i, Date="1983-03-01") for i in range(6)]
    put(place, events.ndjson_pack(rows, source=source))
    drain(place)
    close_idle_windows(place)

    query = {"domain": DOMAIN, "metric": "pt08_s1_co", "since": "1983-03-01", "until": "1983-03-02", "width": "86400"}
    (day,) = get(place.api_url, "/v1/windows", query)["windows"]

    assert (day["count"], day["min"], day["max"]) == (6, 1360, 1365)


def test_events_come_in_over_http(place: Place) -> None:
    day = {"Date": "1984-03-01"}
    assert get(place.api_url, "/healthz", {})["status"] == "ok"

    status, answer = post(place, "/v1/event", events.row(0, **day))
    assert (status, answer) == (202, {"accepted": 1})
    status, answer = post(place, "/v1/events/batch", [events.row(1, **day), "nothing", events.row(2, **day)])
    assert (status, answer["success"], answer["failed"]) == (200, 2, 1)
    assert [error["index"] for error in answer["errors"]] == [1]
    assert post(place, "/v1/event", b'{"domain":')[0] == 400
    drain(place)
    close_idle_windows(place)

    query = {"domain": DOMAIN, "metric": "pt08_s1_co", "since": "1984-03-01", "until": "1984-03-02", "width": "86400"}
    (window,) = get(place.api_url, "/v1/windows", query)["windows"]
    assert (window["count"], window["min"], window["max"]) == (3, 1360, 1362)


def test_the_same_key_over_http_counts_once(place: Place) -> None:
    key = {"Idempotency-Key": uuid.uuid4().hex}
    for _ in range(3):
        assert post(place, "/v1/event", events.row(0, Date="1985-03-01"), **key)[0] == 202
    drain(place)
    close_idle_windows(place)

    query = {"domain": DOMAIN, "metric": "co", "since": "1985-03-01", "until": "1985-03-02"}
    (window,) = get(place.api_url, "/v1/windows", query)["windows"]
    assert window["count"] == 1


def test_an_asynchronous_call_that_fails_ends_among_the_dead_letters(place: Place) -> None:
    mark = uuid.uuid4().hex
    order = {"source": "levada.test", "detail": {"no_such_field": mark}}

    place.client("lambda").invoke(
        FunctionName=place.function("archive"), InvocationType="Event", Payload=json.dumps(order).encode()
    )

    assert wait_until(lambda: mark in _letters(place), TIMEOUT_S)


def _letters(place: Place) -> str:
    answer = place.client("sqs").receive_message(
        QueueUrl=place.dead_letters_url, MaxNumberOfMessages=10, VisibilityTimeout=1
    )
    return "".join(message["Body"] for message in answer.get("Messages", []))


@pytest.fixture(params=[pytest.param("embedded", marks=pytest.mark.slow), LOCALSTACK])
def scheduled(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """A place whose schedule is on."""
    if request.param != "embedded":
        yield request.getfixturevalue(request.param)
        return
    from levadactl import embedded
    from levadactl.embedded import ports

    folder = tmp_path_factory.mktemp("scheduled")
    try:
        yield embedded.start(folder=folder, port=ports.choose()).place
    finally:
        embedded.stop(folder)


def test_the_schedule_closes_windows_that_nothing_more_arrives_for(scheduled: Place) -> None:
    source = f"places/{uuid.uuid4().hex}"
    at = datetime.now(UTC) - timedelta(hours=3)  # later than whatever other tests sent: no window before it is open
    row = events.row(0, Date=f"{at:%Y-%m-%d}", Time=f"{at:%H}:00:00")
    put(scheduled, events.ndjson_pack([row], source=source))
    drain(scheduled)
    query = {"domain": DOMAIN, "metric": "co", "since": f"{at:%Y-%m-%dT%H}:00:00Z"}

    def closed() -> bool:
        return len(get(scheduled.api_url, "/v1/windows", query)["windows"]) == 1

    assert not closed()
    # A minute without rows makes the shard idle; the schedule looks once a minute.
    assert wait_until(closed, 200, 2)


def test_the_tools_work_by_the_environments_own_session(embedded_stack: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """B24: what `levada --aws` is, but for the address: default session, no option of ours but patience."""
    for name, value in embedded_stack.child_environment({}).items():
        monkeypatch.setenv(name, value)
    at = AwsPlace(name="aws", endpoint_url="", stack_name=embedded_stack.stack_name)

    assert at.bucket == embedded_stack.bucket
    assert Streams(at, Lake.of(at)).created_s("raw") == Streams(embedded_stack, Lake.of(embedded_stack)).created_s(
        "raw"
    )
    assert letters_of(at).config.raw_stream == embedded_stack.raw_stream
    assert lag(at)["status"]["mappings"]
