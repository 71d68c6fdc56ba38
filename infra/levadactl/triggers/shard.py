"""One shard under a mapping: what was read of it, its lanes, and the checkpoint below which all is done."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from levadactl.triggers.event import Envelope
from levadactl.triggers.filters import wanted
from levadactl.triggers.lane import Lane, Rules
from levadactl.triggers.model import Position, Record, ShardInfo

FILTERED = -1
"""In the place of a lane: the record was not wanted and is done."""


@dataclass(slots=True)
class ShardStats:
    """Counters since the machine was made; they are not part of the exported state."""

    delivered: int = 0
    """Records in batches that succeeded, wholly or up to the checkpoint."""
    batches: int = 0
    """Invocations that moved the checkpoint."""
    invocations: int = 0
    retries: int = 0
    """Invocations that were not the first of their records."""
    failures: int = 0
    """Invocations that failed, wholly or from a record on."""
    splits: int = 0
    throttles: int = 0
    filtered: int = 0
    discarded: int = 0
    late_answers: int = 0
    """Answers that came after the command had been answered already (zombies)."""
    undelivered_messages: int = 0
    """On-failure messages that the destination refused; the records were discarded all the same."""
    last_result: str = "No records processed"
    iterator_age_s: float = 0.0
    """AWS's metric: age of the last record of the last batch when the function had finished with it."""


class Shard:
    """Feeds records to lanes in order; the checkpoint is the last record before the first unfinished one."""

    def __init__(self, info: ShardInfo, start: Position, rules: Rules, envelope: Envelope) -> None:
        self.info = info
        self.start = start
        self.rules = rules
        self.envelope = envelope
        self.stats = ShardStats()
        self.lanes = [Lane(rules) for _ in range(rules.mapping.parallelization_factor)]
        self.checkpoint: str | None = None
        self.end_seen = False
        """GetRecords said that no more records can come."""
        self.gone = False
        """ListShards no longer names it."""
        self.waiting_bytes = 0
        self._constant_bytes = envelope.constant_bytes()
        self._fed: str | None = None
        self._ledger: deque[tuple[Record, int, int]] = deque()

    @property
    def waiting(self) -> int:
        """Records read and not yet done."""
        return len(self._ledger)

    @property
    def closed(self) -> bool:
        """No more records can be read from it."""
        return self.end_seen or self.gone

    @property
    def ended(self) -> bool:
        """Closed, and every record done: its children may start."""
        return self.closed and not self._ledger

    @property
    def position(self) -> Position:
        """Where the next read begins."""
        if self._fed is not None:
            return Position("AFTER_SEQUENCE_NUMBER", sequence_number=self._fed)
        return self.start

    def oldest_waiting(self) -> Record | None:
        """The first record that is not done yet."""
        return self._ledger[0][0] if self._ledger else None

    def feed(self, records: Iterable[Record], now_s: float) -> int:
        """Take records in stream order, without those fed before or before the start; returns how many were new."""
        through = int(self._fed) if self._fed is not None else -1
        new = 0
        for record in records:
            if record.position <= through or (self._fed is None and self._before_start(record)):
                continue
            through = record.position
            self._fed = record.sequence_number
            new += 1
            self._place(record, now_s)
        self.settle()
        return new

    def settle(self) -> None:
        """Move the checkpoint over everything that is done."""
        while self._ledger:
            record, lane, size_bytes = self._ledger[0]
            if lane != FILTERED and self.lanes[lane].done_through < record.position:
                return
            self._ledger.popleft()
            self.waiting_bytes -= size_bytes
            self.checkpoint = record.sequence_number

    def export(self) -> dict[str, Any]:
        """JSON-able: enough to go on after a restart without losing a record (some may come twice)."""
        ahead = {}
        for index, lane in enumerate(self.lanes):
            if lane.done_through > (int(self.checkpoint) if self.checkpoint is not None else -1):
                ahead[str(index)] = str(lane.done_through)
        return {
            "start": {"kind": self.start.kind, "timestamp_s": self.start.timestamp_s},
            "parents": list(self.info.parents),
            "position": self.checkpoint,
            "ahead": ahead,
            "ended": self.end_seen and not self._ledger,
        }

    def restore(self, state: dict[str, Any], *, same_lanes: bool) -> None:
        """Continue from what ``export`` gave; ``same_lanes``: it was exported with as many lanes."""
        self.checkpoint = self._fed = state["position"]
        self.end_seen = bool(state["ended"])
        if same_lanes:
            for index, through in state["ahead"].items():
                self.lanes[int(index)].done_through = int(through)

    def _before_start(self, record: Record) -> bool:
        # Clients cut the timestamp to whole seconds, so the first read may begin too early.
        return self.start.timestamp_s is not None and record.arrival_s < self.start.timestamp_s

    def _place(self, record: Record, now_s: float) -> None:
        if not wanted(self.rules.mapping.filter_patterns, record, self.envelope):
            self.stats.filtered += 1
            self._ledger.append((record, FILTERED, 0))
            return
        index = lane_of(record.partition_key, len(self.lanes))
        size_bytes = self.envelope.record_bytes(record, self._constant_bytes)
        self._ledger.append((record, index, size_bytes))
        self.waiting_bytes += size_bytes
        if record.position > self.lanes[index].done_through:
            self.lanes[index].push(record, size_bytes, now_s)


def lane_of(partition_key: str, lanes: int) -> int:
    """Lane of a partition key within its shard.

    Not the hash that picks the shard: inside one shard that one covers only a slice of its range.
    """
    if lanes == 1:
        return 0
    return int.from_bytes(hashlib.md5(partition_key.encode(), usedforsecurity=False).digest()[8:], "big") % lanes
