"""A disk that loses power, a stream that refuses, loses its answers and is down, and a consumer with clean's fences."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import msgspec

from levada.core import columns, packs
from levada.core.errors import UnavailableError
from levada.core.positions import PackFences
from levada.domains.declaration import Domain, Metric, Time
from levada.ports import Entry
from levada.producer import Producer, SpoolFullError
from levada.producer.disk import MemoryDisk

SENSORS = Domain(
    name="test_sensors",
    time=Time(columns=("time",), formats=("%Y-%m-%dT%H:%M:%SZ",)),
    metrics={"value": Metric("value")},
    keys={"series": "sensor"},
)
SERIES = 9


def event(i: int) -> dict[str, Any]:
    """The i-th event of a test: nine sensors take turns."""
    return {"sensor": f"s{i % SERIES}", "time": "2026-01-01T00:00:00Z", "value": i}


class Crash(BaseException):
    """The process ends here."""


class HostileDisk(MemoryDisk):
    """Ends the process in the middle of some call; then what was not synced is there, or not, as the test says."""

    def __init__(self, files: dict[str, bytearray] | None = None, *, crash_at: int = -1, part: float = 0.5) -> None:
        super().__init__()
        self.files = files or {}
        self.synced = {name: len(data) for name, data in self.files.items()}
        self.crash_at, self.part, self.calls, self.dead = crash_at, part, 0, False

    def _crashes(self) -> bool:
        if self.dead:
            raise Crash  # whatever a dying process still tries, it does not reach the disk
        self.calls += 1
        self.dead = self.calls - 1 == self.crash_at
        return self.dead

    def append(self, name: str, data: bytes) -> None:
        if self._crashes():
            super().append(name, data[: int(len(data) * self.part)])
            raise Crash
        super().append(name, data)
        if self._crashes():
            raise Crash

    def sync(self, name: str) -> None:
        if self._crashes():
            raise Crash
        self.synced[name] = len(self.files[name])

    def remove(self, name: str) -> None:
        if self._crashes():
            raise Crash
        super().remove(name)

    def after(self, *, power_lost: bool) -> dict[str, bytearray]:
        """The files as the next process finds them."""
        if not power_lost:
            return self.files
        return {name: data[: self.synced.get(name, 0)] for name, data in self.files.items()}


@dataclass
class HostileStream:
    """Each put takes the next of ``faults``; when there are no more, all goes well."""

    faults: list[str] = field(default_factory=list)
    entries: list[Entry] = field(default_factory=list)
    requests: int = 0

    def put(self, entries: Sequence[Entry]) -> list[str | None]:
        self.requests += 1
        keys = [entry.partition_key for entry in entries]
        assert len(set(keys)) == len(keys), "two records of one lane in one request may swap places"
        fault = self.faults.pop(0) if self.faults else ""
        if fault == "down":
            raise UnavailableError("no answer")
        if fault == "crash before":
            raise Crash
        answers: list[str | None] = [None] * len(entries)
        if fault.startswith("refuse"):
            start = int(fault.removeprefix("refuse"))
            answers[start::2] = ["ProvisionedThroughputExceededException"] * len(answers[start::2])
        self.entries += [entry for entry, error in zip(entries, answers, strict=True) if error is None]
        if fault == "lost":
            raise UnavailableError("the answer did not arrive")
        if fault == "crash after":
            raise Crash
        return answers


FAULTS = ("", "", "down", "lost", "refuse0", "refuse1", "crash before", "crash after")


def consumed(entries: Sequence[Entry]) -> dict[str, list[int]]:
    """Events by lane, in the order of the stream, as clean takes them: a pack that comes again is skipped."""
    fences = PackFences()
    out: dict[str, list[int]] = {}
    for entry in entries:
        header, body = packs.split(entry.data)
        if not fences.apply(header.source, header.position, 0):
            continue
        if header.codec == packs.ARROW_ZSTD:
            ids = columns.from_bytes(body)["value"].to_pylist()
        else:
            ids = [msgspec.json.decode(line)["value"] for line in packs.inflate(body, header.codec).splitlines()]
        assert len(ids) == header.count
        out.setdefault(entry.partition_key, []).extend(ids)
    return out


def sent_until_refused(producer: Producer) -> int:
    """How many events the producer takes, from the first on, before its spool is full."""
    for i in count():
        try:
            producer.send(event(i))
        except SpoolFullError:
            return i
    raise AssertionError


def each_once(entries: Sequence[Entry], n: int) -> bool:
    """True when events 0 to n - 1 arrive once each, those of a lane in order."""
    lanes = consumed(entries)
    assert all(ids == sorted(ids) for ids in lanes.values()), "out of order"
    assert sorted(i for ids in lanes.values() for i in ids) == list(range(n))
    return True
