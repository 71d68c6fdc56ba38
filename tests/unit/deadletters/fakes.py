"""A whole pipeline on ports in memory: two streams of two shards, the unchanged stages, a dead letter queue."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from levada.aggregate import stage as aggregate
from levada.aggregate.emit import Emitted
from levada.aggregate.state import open_of
from levada.clean import stage as clean
from levada.config import Config
from levada.core import lineage, parquet
from levada.core.kinesis_event import Batch, StreamRecord
from levada.core.lake import read_distinct
from levada.core.partials import merge
from levada.core.positions import ShardToken
from levada.domains.declaration import Domain, Metric, Time
from levada.ports import BlobStore, Entry, RecordSink
from levadactl.deadletters.ports import InvokeError, Message, Ports
from levadactl.memory import MemoryDeps
from levadactl.triggers.failure_record import failure_body
from levadactl.triggers.model import Condition, Record

CREATED_S = 1_700_000_000
SHARDS = 2
ARN = "arn:aws:kinesis:us-east-1:000000000000:stream/{}"
FUNCTIONS = {"raw": "levada-clean", "clean": "levada-aggregate"}


def domain(*formats: str, name: str = "sim") -> Domain:
    """Readings of a sensor; a window stays open for ever, so that all of them are in checkpoints."""
    return Domain(
        name=name,
        time=Time(columns=("t",), formats=formats or ("%Y-%m-%dT%H:%M:%SZ", "%Y|%m|%d %H:%M:%S")),
        metrics={"a": Metric("a"), "b": Metric("b")},
        keys={"series": "sensor"},
        window_s=60,
        lateness_s=10**9,
    )


FIXED = {"sim": domain()}
BROKEN = {"sim": domain("%Y-%m-%dT%H:%M:%SZ")}
"""Refuses a date with bars in it."""


def reading(n: int, *, good: bool = True, **fields: Any) -> dict[str, Any]:
    """One row; what tells it from others is its ``a``."""
    day, clock = f"2025-06-0{n // 1000 % 9 + 1}", f"{n // 60 % 24:02d}:{n % 60:02d}:00"
    time = f"{day}T{clock}Z" if good else f"{day.replace('-', '|')} {clock}"
    return {"domain": "sim", "sensor": f"s{n % 3}", "t": time, "a": n, "b": n / 2} | fields


def ndjson(*rows: Mapping[str, Any]) -> bytes:
    return b"\n".join(json.dumps(row).encode() for row in rows)


class Stream:
    """A stream that keeps what was put on it; a fault may be planned for one of the next calls."""

    def __init__(self, name: str, memory: MemoryDeps) -> None:
        self.name, self._memory = name, memory
        self.shards: list[list[StreamRecord]] = [[] for _ in range(SHARDS)]
        self._next = 1
        self.fail_at: int | None = None
        """Number of put calls until one fails after its first entry, as a cut connection does."""
        self.error: BaseException = RuntimeError("cut")

    def put(self, entries: Sequence[Entry]) -> list[str | None]:
        for entry in entries:
            at_us = round(self._memory.clock.now_s() * 1e6)
            shard = self.shards[zlib.crc32(entry.partition_key.encode()) % SHARDS]
            shard.append(StreamRecord(self._next, at_us, entry.data, entry.partition_key))
            self._next += 1
            if self.fail_at == 0:
                self.fail_at = None
                raise self.error
        if self.fail_at is not None:
            self.fail_at -= 1
        return [None] * len(entries)


@dataclass(slots=True)
class Queue:
    messages: dict[str, Message] = field(default_factory=dict)
    hidden: set[str] = field(default_factory=set)
    sent: int = 0

    def send(self, body: Any) -> None:
        self.sent, n = self.sent + 1, str(self.sent)
        self.messages[n] = Message(n, f"receipt-{n}", body if isinstance(body, str) else json.dumps(body))

    def receive(self) -> Sequence[Message]:
        found = [m for m in self.messages.values() if m.id not in self.hidden]
        self.hidden.update(m.id for m in found)
        return found

    def held(self) -> int:
        return len(self.hidden)

    def release(self, messages: Sequence[Message]) -> None:
        self.hidden.difference_update(m.id for m in messages)

    def delete(self, message: Message) -> None:
        del self.messages[message.id]
        self.hidden.discard(message.id)


@dataclass(slots=True)
class Functions:
    calls: list[tuple[str, Mapping[str, Any]]] = field(default_factory=list)
    answers: list[Any] = field(default_factory=list)

    def invoke(self, function: str, event: Mapping[str, Any]) -> Any:
        self.calls.append((function, event))
        answer = self.answers.pop(0)
        if isinstance(answer, InvokeError):
            raise answer
        return answer


class Pipeline:
    """The stages and their streams; ``run`` brings everything to rest."""

    def __init__(self, domains: Mapping[str, Domain] = BROKEN) -> None:
        config = Config(bucket="lake", table="serving", raw_stream="raw", clean_stream="clean")
        self.memory = MemoryDeps(config=config)
        self.domains = domains
        self.aggregate_domains: Mapping[str, Domain] | None = None
        """Where they are others than clean's."""
        self.raw, self.clean = Stream("raw", self.memory), Stream("clean", self.memory)
        self.queue, self.functions = Queue(), Functions()
        self._read = {"raw": [0] * SHARDS, "clean": [0] * SHARDS}

    # ------------------------------------------------------------------ the stages

    def produce(self, *bodies: bytes, key: str = "lane-01") -> None:
        self.raw.put([Entry(key, body) for body in bodies])

    def run(self, size: int = 100) -> None:
        for stream in (self.raw, self.clean):
            for shard in range(SHARDS):
                while batch := self.next_batch(stream, shard, size):
                    self.stage(stream, batch)
                    self._read[stream.name][shard] += len(batch)

    def next_batch(self, stream: Stream, shard: int, size: int) -> Batch | None:
        at = self._read[stream.name][shard]
        return batch_of(stream, shard, stream.shards[shard][at : at + size])

    def stage(
        self, stream: Stream, batch: Batch, *, blobs: BlobStore | None = None, sink: RecordSink | None = None
    ) -> None:
        memory = self.memory
        if stream is self.raw:
            clean.run(batch, replace(self._clean_deps(), blobs=blobs or memory.blobs, sink=sink or self.clean))
            return
        aggregate.run(batch, replace(self.aggregate_deps(), blobs=blobs or memory.blobs))

    def aggregate_deps(self) -> aggregate.AggregateDeps:
        memory = self.memory
        return aggregate.AggregateDeps(
            blobs=memory.blobs,
            serving=memory.serving,
            topology=memory.topology,
            clock=memory.clock,
            domains=self.domains if self.aggregate_domains is None else self.aggregate_domains,
            fence_horizon_h=48,
            emitted=Emitted(),
        )

    def forget(self, shard: int, n: int) -> None:
        """The raw stream's retention takes a shard's oldest records, all of which have been read."""
        assert self._read["raw"][shard] >= n
        del self.raw.shards[shard][:n]
        self._read["raw"][shard] -= n

    def _clean_deps(self) -> clean.CleanDeps:
        memory = self.memory
        return clean.CleanDeps(
            blobs=memory.blobs,
            sink=self.clean,
            topology=memory.topology,
            clock=memory.clock,
            domains=self.domains,
            tenant="default",
            max_skew_s=600,
            fence_horizon_h=48,
        )

    def discard(self, stream: Stream, shard: int, size: int) -> Batch:
        """Give the next batch up, as its trigger does; what attempts at it have left stays."""
        batch = self.next_batch(stream, shard, size)
        assert batch is not None
        self._read[stream.name][shard] += len(batch)
        records = [
            Record(s, k, d, a)
            for s, k, d, a in zip(batch.sequences, batch.partition_keys, batch.data, batch.arrived_s, strict=True)
        ]
        body = failure_body(
            records=records,
            shard_id=batch.shard_id,
            stream_arn=batch.arn,
            function_arn=f"arn:aws:lambda:us-east-1:000000000000:function:{FUNCTIONS[stream.name]}",
            condition=Condition.RETRIES,
            invoke_count=3,
            request_id="r",
            last=None,
            now_s=self.memory.clock.now_s(),
        )
        self.queue.send(body)
        return batch

    # ------------------------------------------------------------------ dead letters

    @property
    def ports(self) -> Ports:
        return Ports(
            blobs=self.memory.blobs,
            raw=self.raw,
            clean=self.clean,
            streams=self,
            queue=self.queue,
            functions=self.functions,
            clock=self.memory.clock,
            config=self.memory.config,
            domains=self.domains,
            ingest_files="levada-ingest-files",
        )

    def created_s(self, arn: str) -> int:
        return CREATED_S

    def read(self, arn: str, shard_id: str, first: str, last: str) -> list[StreamRecord]:
        return [r for r in self._stream(arn).shards[int(shard_id[-12:])] if int(first) <= r.sequence <= int(last)]

    def since(self, arn: str, at_s: float) -> Iterator[StreamRecord]:
        for shard in self._stream(arn).shards:
            yield from (record for record in shard if record.arrived_us >= at_s * 1e6)

    def _stream(self, arn: str) -> Stream:
        return {"raw": self.raw, "clean": self.clean}[arn.rpartition("/")[2]]

    # ------------------------------------------------------------------ what the tables hold

    def silver(self) -> list[float]:
        """``a`` of every reading in silver as readers see it, in order."""
        partitions: dict[str, list[str]] = {}
        for blob in self.memory.blobs.list("silver/"):
            partitions.setdefault(blob.key.rpartition("/")[0], []).append(blob.key)
        rows = [row for keys in partitions.values() for row in read_distinct(self.memory.blobs, keys).to_pylist()]
        return sorted(row["value"] for row in rows if row["metric"] == "a")

    def windows(self) -> tuple[int, float]:
        """How many values of ``a`` the windows hold, and their sum."""
        tables = []
        for token in lineage.tokens(self.memory.blobs, "aggregate"):
            found = lineage.load(self.memory.blobs, "aggregate", token)
            assert found is not None
            tables.append(open_of(found[0]))
        rows = [row for row in merge(tables).to_pylist() if row["metric"] == "a"] if tables else []
        return sum(row["count"] for row in rows), sum(row["sum"] for row in rows)

    def quarantined(self) -> list[dict[str, Any]]:
        blobs = self.memory.blobs
        return [r for b in blobs.list("quarantine/") for r in parquet.from_bytes(blobs.get(b.key)[0]).to_pylist()]

    def holds(self, *values: float) -> None:
        """Assert that silver and the windows hold just these readings, each once."""
        assert self.silver() == sorted(values)
        found = self.windows()
        assert found == (len(values), sum(values))


def batch_of(stream: Stream, shard: int, records: Sequence[StreamRecord]) -> Batch | None:
    if not records:
        return None
    return Batch(
        ARN.format(stream.name),
        f"shardId-{shard:012d}",
        [str(r.sequence) for r in records],
        [r.arrived_us / 1e6 for r in records],
        [r.data for r in records],
        [r.partition_key for r in records],
    )


def token(shard: int) -> str:
    return str(ShardToken(CREATED_S, shard))
