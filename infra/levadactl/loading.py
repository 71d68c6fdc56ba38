"""Loading a file into a place and seeing it through: upload, ledger, streams, checkpoints."""

from __future__ import annotations

import hashlib
import json
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow.compute as pc

from levada.aggregate.state import outbox_of
from levada.core import keys, lineage, parquet
from levada.core.checkpoint import Checkpoint
from levada.core.errors import UnavailableError
from levada.core.positions import ShardToken
from levada.ports import BlobStore, ServingStore
from levadactl.errors import LevadactlError

if TYPE_CHECKING:
    from levadactl.places import Place

READERS = 8
POLL_S = 0.1
STUCK_S = 180.0
"""No progress for so long is a failure, seconds. What aggregate could not emit behind its last batch is for archive to
emit: after a minute without rows, at a tick of which there is one a minute. That much is no failure."""
TENANT = "default"

Advance = Callable[[float], None]


class LoadError(LevadactlError):
    """A file did not arrive; the message says how far it came and where to look."""


@dataclass(frozen=True)
class Lake:
    """The stores of one place, as the stages see them."""

    blobs: BlobStore
    serving: ServingStore

    @classmethod
    def of(cls, place: Place) -> Lake:
        from levada.adapters.dynamodb import DynamoServingStore
        from levada.adapters.s3 import S3BlobStore

        return cls(
            S3BlobStore(place.client("s3"), place.bucket), DynamoServingStore(place.client("dynamodb"), place.table)
        )

    def bodies(self, prefix: str) -> Iterator[tuple[str, bytes]]:
        """(key, body) of every object under prefix, in order of key."""
        names = [blob.key for blob in self.blobs.list(prefix)]
        with ThreadPoolExecutor(READERS) as pool:
            for key, (body, _) in zip(names, pool.map(self.blobs.get, names), strict=True):
                yield key, body

    def headers(self, stage: str) -> dict[ShardToken, dict[str, Any]]:
        """Header of every checkpoint of a stage, earlier streams' included."""
        found = {}
        for token in lineage.tokens(self.blobs, stage):
            found[token] = Checkpoint.peek(self.blobs.get(keys.checkpoint(stage, token))[0])
        return found

    def counters(self, stage: str) -> dict[str, Counter[str]]:
        """Domain → what a stage has counted, over all its shards."""
        total: dict[str, Counter[str]] = {}
        for header in self.headers(stage).values():
            for domain, counted in header["counters"].items():
                total.setdefault(domain, Counter()).update(counted)
        return total

    def ledger(self, domain: str, tenant: str, content: str) -> dict[str, Any] | None:
        """What ingest knows of a file with this content (sha256, hex); None when it has not seen it."""
        try:
            found: dict[str, Any] = json.loads(self.blobs.get(keys.ledger(domain, tenant, content))[0])
        except KeyError:
            return None
        return found


def sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def upload(place: Place, path: Path, *, domain: str, name: str | None = None, advance: Advance = lambda _: None) -> str:
    """Put a file under landing/, as the API would. Returns its key; ``advance`` is told bytes."""
    key = f"{keys.LANDING}{domain}/{name or path.name}"
    place.client("s3").upload_file(str(path), place.bucket, key, Callback=advance)
    return key


@dataclass(slots=True)
class Load:
    """One file on its way through the stages."""

    lake: Lake
    place: Place
    domain: str
    content: str
    """sha256 of the file, hex."""
    key: str
    """Where it was put."""
    tenant: str = TENANT
    stuck_s: float = STUCK_S

    def wait(self, *, known: dict[str, Any] | None, on_state: Callable[[str], None] = lambda _: None) -> dict[str, Any]:
        """Wait until the file is on the stream and both streams are read to their ends. Returns its ledger.

        Args:
            known: the ledger as it was before the upload; None when the content was new.
            on_state: told where things stand, whenever that changes.

        Raises LoadError when nothing has moved for ``stuck_s`` seconds.
        """
        watch, streams = _Watch(self.stuck_s, on_state), Streams(self.place, self.lake)
        while True:
            ledger = self.lake.ledger(self.domain, self.tenant, self.content)
            awaited = "ingest to load the file"
            if ledger is not None and ledger != known and ledger["done"]:
                awaited = streams.awaited()
                if not awaited:
                    return ledger
            counts = ledger["counts"] if ledger else {}
            if ledger is None:
                self._refused()
            cleaned = self.lake.counters("clean").get(self.domain, Counter())
            merged = self.lake.counters("aggregate").get(self.domain, Counter())
            rows = (
                f"{counts.get('rows_read', 0)} rows read, {cleaned['rows']} cleaned, "
                f"{cleaned['quarantined']} quarantined, {merged['rows']} measurements in windows"
            )
            watch.see(rows, awaited)
            time.sleep(POLL_S)

    def _refused(self) -> None:
        """Raise LoadError when ingest has put the file into quarantine."""
        name = hashlib.sha256(f"{self.key}\n{self.content}".encode()).hexdigest()[:32]
        for blob in self.lake.blobs.list("quarantine/stage=ingest/"):
            if name in blob.key:
                row = parquet.from_bytes(self.lake.blobs.get(blob.key)[0]).to_pylist()[0]
                raise LoadError(f"{self.key} was refused: {row['reason']}: {row['detail']}")


@dataclass(slots=True)
class _Watch:
    stuck_s: float
    on_state: Callable[[str], None]
    last: tuple[str, str] = ("", "")
    since_s: float = 0.0

    def see(self, state: str, awaited: str) -> None:
        now = time.monotonic()
        if (state, awaited) != self.last:
            self.last, self.since_s = (state, awaited), now
            self.on_state(state)
        elif now - self.since_s > self.stuck_s:
            raise LoadError(
                f"nothing has moved for {self.stuck_s:g} s at: {state}; waiting for {awaited}; "
                "see `levada status` and `levada dlq ls`"
            )


STAGE_OF = (("raw", "clean"), ("clean", "aggregate"))
UNEMITTED = "windows that have closed to be in gold (archive writes those that aggregate could not)"


@dataclass(frozen=True)
class Streams:
    """The two streams of a place, and how far their readers have come."""

    place: Place
    lake: Lake

    @cached_property
    def names(self) -> dict[str, str]:
        return {"raw": self.place.raw_stream, "clean": self.place.clean_stream}

    def created_s(self, stream: str) -> int:
        """When the stream was made, whole seconds since 1970: its identity."""
        answer = self.place.client("kinesis").describe_stream_summary(StreamName=self.names[stream])
        return int(answer["StreamDescriptionSummary"]["StreamCreationTimestamp"].timestamp())

    def settled(self) -> bool:
        """True when both streams are read to their ends and what that closed is in gold."""
        return not self.awaited()

    def awaited(self) -> str:
        """What is yet to come before they are settled, in words; empty when nothing is."""
        return self._unread() or ("" if self._emitted() else UNEMITTED)

    def _emitted(self) -> bool:
        """Gold is written last. What a shard of an earlier stream left over is for archive to emit."""
        there = {blob.key for blob in self.lake.blobs.list("gold/")}
        created = self.created_s("clean")
        for token in lineage.tokens(self.lake.blobs, "aggregate"):
            saved = lineage.load(self.lake.blobs, "aggregate", token) if token.created_s == created else None
            if saved is None or not saved[0].header["outbox"]:
                continue
            outbox, generation = outbox_of(saved[0]), int(saved[0].header["generation"])
            days = pc.strftime(outbox["window_start"], "%Y-%m-%d").to_pylist()
            places = set(zip(outbox["domain"].to_pylist(), days, strict=True))
            if any(keys.gold(domain, day, token, generation) not in there for domain, day in places):
                return False
        return True

    def drained(self) -> bool:
        """True when each stage has committed the last record of each shard, clean's own output included."""
        return not self._unread()

    def _unread(self) -> str:
        for stream, stage in STAGE_OF:
            if not self._read_up(stream, stage):
                return f"{stage} to read the {stream} stream to its end"
        return ""

    def _read_up(self, stream: str, stage: str) -> bool:
        kinesis, name = self.place.client("kinesis"), self.names[stream]
        created = self.created_s(stream)
        for shard in kinesis.list_shards(StreamName=name)["Shards"]:
            mark = self._mark(stage, ShardToken.of(created, shard["ShardId"]))
            digits = len(shard["SequenceNumberRange"]["StartingSequenceNumber"])
            if _anything_after(kinesis, name, shard["ShardId"], f"{mark:0{digits}d}" if mark >= 0 else None):
                return False
        return True

    def _mark(self, stage: str, token: ShardToken) -> int:
        found = lineage.load(self.lake.blobs, stage, token)
        return int(found[0].header["mark"]) if found else -1


def _anything_after(kinesis: Any, stream: str, shard: str, mark: str | None) -> bool:
    """True when the shard holds a record behind this sequence number (None: any record at all).

    The number must have as many digits as the stream's own: emulators look for the text.
    """
    start: dict[str, str] = {"ShardIteratorType": "TRIM_HORIZON"}
    if mark is not None:
        start = {"ShardIteratorType": "AFTER_SEQUENCE_NUMBER", "StartingSequenceNumber": mark}
    iterator = kinesis.get_shard_iterator(StreamName=stream, ShardId=shard, **start)["ShardIterator"]
    while iterator:
        page = kinesis.get_records(ShardIterator=iterator, Limit=1)
        if page["Records"]:
            return True
        if not page.get("MillisBehindLatest"):
            return False
        iterator = page.get("NextShardIterator")
    return False


def close_idle_windows(place: Place) -> dict[str, Any]:
    """Let archive close every window that is open, as it does by itself after a minute without rows."""
    return order_archive(place, {"idle_after_s": 0})


def order_archive(place: Place, detail: Mapping[str, Any]) -> dict[str, Any]:
    """Run the archive function with this order (``levada.archive.order``) and wait for its answer.

    Raises LoadError with the function's own words when it fails.
    """
    event = {"source": "levada.tools", "detail": dict(detail)}
    answer = place.client("lambda").invoke(FunctionName=place.function("archive"), Payload=json.dumps(event).encode())
    payload = answer["Payload"].read()
    if answer.get("FunctionError"):
        raise LoadError(f"archive failed: {payload.decode(errors='replace')[:500]}")
    result = json.loads(payload or b"null")
    return result if isinstance(result, dict) else {"answer": result}


def wait_for_open_windows(lake: Lake, *, timeout_s: float = 30.0) -> int:
    """Windows that are still open in some checkpoint, after at most ``timeout_s``."""
    end = time.monotonic() + timeout_s
    while True:
        try:
            left = sum(int(header["open"]) for header in lake.headers("aggregate").values())
        except UnavailableError:
            left = -1
        if left == 0 or time.monotonic() > end:
            return left
        time.sleep(POLL_S)
