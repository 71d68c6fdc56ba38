"""Faults: what a hostile network and a dying process do to one call of a port, decided by the seed."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, BinaryIO, TypeVar

from greenlet import getcurrent

from levada.core.editions import is_made_anew
from levada.core.errors import UnavailableError
from levada.core.positions import ShardToken
from levada.ports import Blob, Entry, Notice
from levadactl.memory import ManualClock, MemoryAlertSink, MemoryBlobStore, MemoryServingStore
from levadactl.triggers import Entry as StreamEntry
from levadactl.triggers import MemoryStream

T = TypeVar("T")
KINDS = ("crash_before", "crash_after", "refused", "lost_response")


class Crash(BaseException):
    """The process that made this call has died. No handler catches it."""


class Faults:
    """Decides what happens to each call; every decision comes from one random generator."""

    def __init__(self, rng: random.Random, rate: float) -> None:
        self._rng = rng
        self.rate = rate
        """Share of calls that go wrong, 0 to 1."""
        self.injected: Counter[str] = Counter()
        self.calls = 0
        self.note: Callable[[str], None] = lambda _: None

    def call(self, what: str, act: Callable[[], T]) -> T:
        """Let others run, then do it: well, not at all, or without anybody hearing of it."""
        self.pause()
        self.calls += 1
        kind = self._rng.choice(KINDS) if self._rng.random() < self.rate else ""
        if kind:
            self.injected[kind] += 1
            self.note(f"{kind} at {what}")
        if kind == "crash_before":
            raise Crash(what)
        if kind == "refused":
            raise UnavailableError(f"{what}: refused")
        result = act()
        if kind == "crash_after":
            raise Crash(what)
        if kind == "lost_response":
            raise UnavailableError(f"{what}: response lost")
        return result

    def refuses_entry(self, index: int, entry: StreamEntry) -> str | None:
        """Hook of the streams: refuse one entry of a PutRecords request."""
        if self._rng.random() >= self.rate * 2:
            return None
        self.injected["entry_refused"] += 1
        return "ProvisionedThroughputExceededException"

    @staticmethod
    def pause() -> None:
        """Let other processes go on; the scheduler decides when this one does."""
        current = getcurrent()
        if current.parent is not None:
            current.parent.switch()


class RememberingBlobStore(MemoryBlobStore):
    """A lake that knows still what aggregate has emitted when that was replaced."""

    def __init__(self) -> None:
        super().__init__()
        self.emitted: dict[str, bytes] = {}
        """Key in gold → what was put there first; an emission is repeated, never changed."""

    def put(self, key: str, body: bytes) -> None:
        super().put(key, body)
        if key.startswith("gold/") and not is_made_anew(key):
            self.emitted.setdefault(key, bytes(body))


class Milder(Faults):
    """For a process of hundreds of calls that is to come to an end now and then: fewer faults, fewer interruptions."""

    PAUSES = 0.4

    def __init__(self, world: Faults, rate: float) -> None:
        super().__init__(world._rng, rate)
        self.injected = world.injected
        self.note = world.note

    def pause(self) -> None:  # type: ignore[override]  # the seed decides
        if self._rng.random() < self.PAUSES:
            super().pause()


class FaultyBlobs:
    """BlobStore whose every call may go wrong."""

    def __init__(self, store: MemoryBlobStore, faults: Faults) -> None:
        self._store, self._faults = store, faults

    def put(self, key: str, body: bytes) -> None:
        self._faults.call(f"put {key}", lambda: self._store.put(key, body))

    def put_all(self, objects: Iterable[tuple[str, bytes]]) -> None:
        for key, body in objects:
            self.put(key, body)

    def put_if(self, key: str, body: bytes, *, etag: str | None) -> str:
        return self._faults.call(f"put_if {key}", lambda: self._store.put_if(key, body, etag=etag))

    def get(self, key: str) -> tuple[bytes, str]:
        return self._faults.call(f"get {key}", lambda: self._store.get(key))

    def get_all(self, keys: Iterable[str]) -> Iterator[bytes]:
        for key in keys:
            yield self.get(key)[0]

    def open(self, key: str, *, offset: int = 0) -> BinaryIO:
        return self._faults.call(f"open {key}", lambda: self._store.open(key, offset=offset))

    def list(self, prefix: str) -> Iterator[Blob]:
        yield from self._faults.call(f"list {prefix}", lambda: list(self._store.list(prefix)))

    def delete(self, keys: Iterable[str]) -> None:
        for key in keys:  # a request that dies half-way has deleted some
            self._faults.call(f"delete {key}", lambda key=key: self._store.delete([key]))  # type: ignore[misc]


class FaultySink:
    """RecordSink on an in-memory stream."""

    def __init__(self, stream: MemoryStream, faults: Faults) -> None:
        self._stream, self._faults = stream, faults

    def put(self, entries: Sequence[Entry]) -> list[str | None]:
        sent = [StreamEntry(e.data, e.partition_key) for e in entries]
        results = self._faults.call(f"put_records {self._stream.name}", lambda: self._stream.put_records(sent))
        return [r.error or None for r in results]


class FaultyServing:
    """ServingStore whose every call may go wrong."""

    def __init__(self, store: MemoryServingStore, faults: Faults) -> None:
        self._store, self._faults = store, faults

    def put(self, items: Sequence[Mapping[str, Any]]) -> None:
        for item in items:  # BatchWriteItem is no transaction: some items may be there when it fails
            self._faults.call("write item", lambda item=item: self._store.put([item]))  # type: ignore[misc]

    def put_newer(self, items: Sequence[Mapping[str, Any]]) -> None:
        for item in items:
            self._faults.call("write newer item", lambda item=item: self._store.put_newer([item]))  # type: ignore[misc]

    def query(self, pk: str, **asked: Any) -> Iterator[dict[str, Any]]:
        yield from self._faults.call("query", lambda: list(self._store.query(pk, **asked)))

    def by_time(
        self,
        list_pk: str,
        *,
        first: str = "",
        last: str = "\uffff",
        newest_first: bool = False,
        limit: int | None = None,
    ) -> Iterator[dict[str, Any]]:
        found = self._store.by_time(list_pk, first=first, last=last, newest_first=newest_first, limit=limit)
        yield from self._faults.call("list by time", lambda: list(found))

    def check(self) -> None:
        self._faults.call("check", self._store.check)


class FaultyAlertSink:
    """AlertSink whose every call may go wrong."""

    def __init__(self, sink: MemoryAlertSink, faults: Faults) -> None:
        self._sink, self._faults = sink, faults

    def publish(self, notice: Notice) -> None:
        self._faults.call("publish", lambda: self._sink.publish(notice))


class SkewedClock(ManualClock):
    """The clock of one machine: it runs with the world's, ahead of it or behind."""

    def __init__(self, world: ManualClock, ahead_s: float) -> None:
        self._world, self._ahead_s = world, ahead_s

    def now_s(self) -> float:
        return self._world.now_s() + self._ahead_s

    def sleep(self, seconds: float) -> None:
        self._world.sleep(seconds)


class StreamsTopology:
    """StreamTopology over the in-memory streams."""

    def __init__(self, streams: Sequence[MemoryStream], faults: Faults) -> None:
        self._streams = {s.name: s for s in streams}
        self._faults = faults

    def created_s(self, arn: str) -> int:
        stream = self._streams[arn.rpartition("/")[2]]
        return self._faults.call("describe stream", lambda: int(stream.created_s))

    def parents(self, arn: str, token: ShardToken) -> Sequence[ShardToken]:
        stream = self._streams[arn.rpartition("/")[2]]
        infos = self._faults.call("list shards", stream.shard_infos)
        shard_id = f"shardId-{token.number:012d}"
        found = [info.parents for info in infos if info.shard_id == shard_id]
        return [ShardToken.of(token.created_s, parent) for parents in found for parent in parents]
