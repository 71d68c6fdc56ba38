"""Identical input for every subject: sensor events with a share of bad ones, as Lambda's decoded Kinesis events."""

from __future__ import annotations

import base64
import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa

from levada.clean.decode import LINE
from levada.core import columns, packs
from levada.core.packs import ARROW_ZSTD, Header
from levada.domains.declaration import Domain, Metric, Time

SENSORS = Domain(
    name="bench_sensors",
    time=Time(columns=("time",), formats=("%Y-%m-%dT%H:%M:%SZ",)),
    metrics={"temperature": Metric("temperature", -40, 60), "humidity": Metric("humidity", 0, 100)},
    keys={"series": "sensor_id"},
)
COLUMNS = ("sensor_id", "time", "temperature", "humidity")
START = datetime(2026, 1, 1, tzinfo=UTC)
NOW_S = 1_767_229_200
"""An hour later."""
MAX_EVENT_BYTES = 6 * 1024 * 1024
"""Of one invocation: AWS cuts a batch there, whatever BatchSize says."""
PACK_ROWS = 500
SERIES, SPREAD_S = 500, 120
"""Sensors, and the seconds over which the events of one batch lie: a live stream's, with some of them late."""
ARN = "arn:aws:kinesis:us-east-1:000000000000:stream/levada-raw"
FIRST_SEQUENCE = 49_590_338_271_490_256_608_559_692_538_361_571_095_921_575_989_136_588_898


@dataclass(frozen=True, slots=True)
class Input:
    """The same n events in one form: what a subject is given, and what it must find."""

    event: dict[str, Any]
    good: int
    bad: int


def sensor_events(n: int, *, bad_share: float, seed: int = 7) -> tuple[list[dict[str, Any]], list[int]]:
    """n events (about 180 bytes of JSON each), and the indices of those that are to be spoilt."""
    dice = random.Random(seed)
    items = [_item(i, dice) for i in range(n)]
    return items, sorted(dice.sample(range(n), round(n * bad_share)))


def _item(i: int, dice: random.Random) -> dict[str, Any]:
    at = START + timedelta(seconds=dice.randrange(SPREAD_S))
    return {
        "sensor_id": f"sensor-{dice.randrange(SERIES):05d}",
        "time": at.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "temperature": round(dice.gauss(20, 5), 2),
        "humidity": round(dice.uniform(20, 80), 2),
        "battery": round(dice.uniform(3, 4), 2),
        "firmware": "2.14.1",
        "status": "ok",
        "site": "plant-a",
        "count": i,
    }


def json_lines(items: Sequence[dict[str, Any]], spoilt: Sequence[int]) -> list[bytes]:
    """One JSON object each; the spoilt ones by turns cut short, with a word for a number, with a day that is none."""
    lines = [json.dumps(item, separators=(",", ":")).encode() for item in items]
    for turn, i in enumerate(spoilt):
        wrong = ({"temperature": "warm"}, {"time": "2026-02-31T00:00:00Z"})
        if turn % 3 == 2:
            lines[i] = lines[i][: len(lines[i]) // 2]
        else:
            lines[i] = json.dumps(items[i] | wrong[turn % 3], separators=(",", ":")).encode()
    return lines


def single_events(n: int, *, bad_share: float) -> Input:
    """One event per record: as many of the n as fit into an invocation."""
    items, _ = sensor_events(n, bad_share=0)
    fit = _fitting(json_lines(items, []))
    items, spoilt = sensor_events(fit, bad_share=bad_share)
    return Input(lambda_event(json_lines(items, spoilt)), fit - len(spoilt), len(spoilt))


def _fitting(lines: Sequence[bytes]) -> int:
    one = len(json.dumps(lambda_event(lines[:1])))
    total = 0
    for n, line in enumerate(lines):
        total += one + (len(line) - len(lines[0])) * 4 // 3
        if total > MAX_EVENT_BYTES:
            return n
    return len(lines)


def ndjson_packs(n: int, codec: str, *, bad_share: float) -> Input:
    """n events in packs of 500 lines."""
    items, spoilt = sensor_events(n, bad_share=bad_share)
    lines = json_lines(items, spoilt)
    bodies = [
        (len(part), packs.compress(b"\n".join(part) + b"\n", codec))
        for part in (lines[i : i + PACK_ROWS] for i in range(0, n, PACK_ROWS))
    ]
    return Input(lambda_event(_packed(bodies, codec)), n - len(spoilt), len(spoilt))


def arrow_packs(n: int, *, typed: bool, bad_share: float) -> Input:
    """n events in packs of 500 rows.

    Args:
        typed: numbers as float64 and names as dictionaries, as a producer with columns writes them; else all text and
            a column of line numbers, as file ingest writes them.
    """
    items, spoilt = sensor_events(n, bad_share=bad_share)
    for turn, i in enumerate(spoilt):
        items[i] |= ({"temperature": float("nan") if typed else "warm"}, {"time": "2026-02-31T00:00:00Z"})[turn % 2]
    by_name = {name: [item[name] for item in items] for name in COLUMNS}
    if typed:
        arrays = {name: pa.array(values) for name, values in by_name.items()}
        arrays |= {name: arrays[name].dictionary_encode() for name in ("sensor_id", "time")}
    else:
        arrays = {name: pa.array(map(str, values), pa.string()) for name, values in by_name.items()}
        arrays[LINE] = pa.array(range(2, n + 2), pa.int64())
    table = pa.table(arrays)
    parts = [table.slice(i, PACK_ROWS) for i in range(0, n, PACK_ROWS)]
    bodies = [(part.num_rows, columns.to_bytes(_own_dictionaries(part))) for part in parts]
    return Input(lambda_event(_packed(bodies, ARROW_ZSTD)), n - len(spoilt), len(spoilt))


def _own_dictionaries(part: pa.Table) -> pa.Table:
    """A slice shares the whole table's dictionary; a producer of 500 rows would not have that."""
    names = [f.name for f in part.schema if pa.types.is_dictionary(f.type)]
    for name in names:
        plain = part[name].cast(pa.string()).combine_chunks()
        part = part.set_column(part.schema.get_field_index(name), name, plain.dictionary_encode())
    return part


def _packed(bodies: Sequence[tuple[int, bytes]], codec: str) -> list[bytes]:
    return [
        packs.encode(
            Header(
                domain=SENSORS.name,
                tenant="default",
                source=f"bench/0123456789abcdef0123456789abcdef#{i % 4:02d}",
                position=i // 4,
                count=count,
                codec=codec,
            ),
            body,
        )
        for i, (count, body) in enumerate(bodies)
    ]


def lambda_event(datas: Sequence[bytes], *, first: int = FIRST_SEQUENCE) -> dict[str, Any]:
    """A Kinesis event as Lambda's runtime hands it over: decoded from JSON, so no two records share a text."""
    event: dict[str, Any] = json.loads(json.dumps({"Records": list(_records(datas, first))}))
    return event


def _records(datas: Sequence[bytes], first: int) -> Iterator[dict[str, Any]]:
    for i, data in enumerate(datas):
        yield {
            "kinesis": {
                "kinesisSchemaVersion": "1.0",
                "partitionKey": f"lane-{i % packs.LANES:02d}",
                "sequenceNumber": str(first + i * 16),
                "data": base64.b64encode(data).decode(),
                "approximateArrivalTimestamp": NOW_S + i / 1000,
            },
            "eventSource": "aws:kinesis",
            "eventVersion": "1.0",
            "eventID": f"shardId-000000000003:{first + i * 16}",
            "eventName": "aws:kinesis:record",
            "invokeIdentityArn": "arn:aws:iam::000000000000:role/levada-CleanFunctionRole-ABCDEFGHIJKL",
            "awsRegion": "us-east-1",
            "eventSourceARN": ARN,
        }
