"""Items of a domain sent in by file, HTTP and stream, through the real handlers on stores in memory."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote_plus

import pyarrow as pa
import pyarrow.parquet as pq

from levada.clean.handler import handler as clean
from levada.clean.state import CleanState
from levada.config import Config
from levada.core import packs, parquet
from levada.core.checkpoint import Checkpoint
from levada.core.packs import NDJSON_GZIP, Header
from levada.ingest.files_handler import handler as ingest_files
from levada.ingest.http_handler import handler as ingest_http
from levada.wiring import using
from levadactl.events import compact, kinesis, rest
from levadactl.invoking import LocalContext
from levadactl.memory import MemoryDeps

CONTEXT = LocalContext("levada")
NOW_S = 1_767_225_600.0
Item = Mapping[str, Any]


@dataclass(slots=True)
class Arrived:
    """What became of the items."""

    refused: Counter[str]
    """Rows in quarantine, by reason."""
    rows: int
    """Source rows that passed."""
    events: list[dict[str, Any]]
    measured: list[dict[str, Any]]
    answers: list[dict[str, Any]]
    """Of HTTP: one per item that was refused."""


def send(domain: str, items: Sequence[Item], way: str, columns: Sequence[str]) -> Arrived:
    """way: one of WAYS; columns: the header line of a CSV file."""
    config = Config(bucket="lake", table="serving", raw_stream="raw", clean_stream="clean", auth="OPEN")
    memory = MemoryDeps(config=config)
    memory.clock.time_s = NOW_S
    answers: list[dict[str, Any]] = []
    with using(memory):
        for bodies in WAYS[way](memory, domain, items, columns, answers):
            clean(kinesis(bodies), CONTEXT)
    return Arrived(
        _refused(memory), _counted(memory, domain), _rows(memory, "events/"), _rows(memory, "silver/"), answers
    )


Answers = list[dict[str, Any]]


def _csv(memory: MemoryDeps, domain: str, items: Sequence[Item], columns: Sequence[str], _: Answers) -> Iterator[Any]:
    text = io.StringIO()
    writer = csv.writer(text, delimiter=";")
    writer.writerow(columns)
    for item in items:
        writer.writerow([_cell(item.get(name)) for name in columns])
    yield from _landed(memory, f"landing/{domain}/items.csv", text.getvalue().encode())


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value)


def _ndjson(memory: MemoryDeps, domain: str, items: Sequence[Item], _: Sequence[str], __: Answers) -> Iterator[Any]:
    body = b"".join(compact(item) + b"\n" for item in items)
    yield from _landed(memory, f"landing/{domain}/items.ndjson", body)


def _parquet(
    memory: MemoryDeps, domain: str, items: Sequence[Item], columns: Sequence[str], _: Answers
) -> Iterator[Any]:
    table = pa.table({name: pa.array([_cell(item.get(name)) for item in items], pa.string()) for name in columns})
    sink = io.BytesIO()
    pq.write_table(table, sink)
    yield from _landed(memory, f"landing/{domain}/items.parquet", sink.getvalue())


def _landed(memory: MemoryDeps, key: str, body: bytes) -> Iterator[list[bytes]]:
    memory.blobs.put(key, body)
    record = {"s3": {"bucket": {"name": "lake"}, "object": {"key": quote_plus(key), "size": len(body)}}}
    ingest_files({"Records": [record | {"eventSource": "aws:s3", "eventName": "ObjectCreated:Put"}]}, CONTEXT)
    yield [entry.data for entry in memory.raw.entries]


def _http(memory: MemoryDeps, domain: str, items: Sequence[Item], _: Sequence[str], answers: Answers) -> Iterator[Any]:
    body = compact([{"domain": domain} | dict(item) for item in items])
    answer = json.loads(ingest_http(rest("POST", "/v1/events/batch", body=body), CONTEXT)["body"])
    assert answer["total"] == len(items) == answer["success"] + answer["failed"]
    answers += answer["errors"]
    yield [entry.data for entry in memory.raw.entries]


def _plain(_: MemoryDeps, domain: str, items: Sequence[Item], __: Sequence[str], ___: Answers) -> Iterator[Any]:
    yield [compact({"domain": domain} | dict(item)) for item in items]


def _packs(_: MemoryDeps, domain: str, items: Sequence[Item], __: Sequence[str], ___: Answers) -> Iterator[Any]:
    header = Header(domain=domain, tenant="t", source="p#01", position=0, count=len(items), codec=NDJSON_GZIP)
    yield [packs.encode(header, packs.compress(b"\n".join(map(compact, items)), NDJSON_GZIP))]


WAYS: dict[str, Callable[..., Iterator[Any]]] = {
    "file (CSV)": _csv,
    "file (NDJSON)": _ndjson,
    "file (Parquet)": _parquet,
    "HTTP": _http,
    "stream (plain)": _plain,
    "stream (packs)": _packs,
}


def _rows(memory: MemoryDeps, prefix: str) -> list[dict[str, Any]]:
    keys = [blob.key for blob in memory.blobs.list(prefix)]
    return [row for key in keys for row in parquet.from_bytes(memory.blobs.objects[key]).to_pylist()]


def _refused(memory: MemoryDeps) -> Counter[str]:
    return Counter(row["reason"] for row in _rows(memory, "quarantine/"))


def _counted(memory: MemoryDeps, domain: str) -> int:
    keys = [blob.key for blob in memory.blobs.list("checkpoints/clean/")]
    states = [CleanState.from_header(Checkpoint.peek(memory.blobs.objects[key])) for key in keys]
    return sum(state.counters[domain]["rows"] for state in states if domain in state.counters)
