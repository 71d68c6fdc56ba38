"""An event source mapping as a pure state machine: no clock, no I/O, no threads.

A driver reads the stream and calls functions; the machine says what comes next::

    machine.list_shards(infos, now)                     what ListShards answers, again and again
    for read in machine.reads(): ...                    then machine.feed(shard_id, records, now, end=...)
    for command in machine.poll(now): ...               Invoke or Discard; carry them out, in any order, at any time
    machine.answer(command.id, Returned(payload), now)  or Failed, Throttled, Unavailable
    machine.discarded(command.id, now)                  the on-failure message was sent
    machine.wake_s()                                    when to poll again if nothing happens before
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from math import floor
from typing import Any

from levadactl.triggers.event import Envelope
from levadactl.triggers.failure_record import failure_body
from levadactl.triggers.lane import Batch, Lane, Rules
from levadactl.triggers.mapping import FOREVER, Mapping
from levadactl.triggers.model import (
    Answer,
    Backoff,
    Command,
    Discard,
    Failed,
    Invoke,
    Position,
    Read,
    Record,
    Returned,
    ShardInfo,
    Start,
    Throttled,
    Unavailable,
)
from levadactl.triggers.responses import failed_from
from levadactl.triggers.shard import Shard, ShardStats

READ_LIMIT = 10_000
WAITING_BYTES = 16 * 1024 * 1024
"""A shard is read no further while this much of it waits; one read adds at most 10 MB."""
STATE_VERSION = 1


@dataclass(frozen=True, slots=True)
class _Open:
    shard: Shard
    lane: Lane
    batch: Batch
    command: Command


class Machine:
    """One mapping over all shards of its stream; deterministic: same calls, same commands."""

    def __init__(
        self,
        mapping: Mapping,
        *,
        backoff: Backoff | None = None,
        retention_s: float | None = None,
        role_arn: str | None = None,
        state: dict[str, Any] | None = None,
    ) -> None:
        """``state`` is what ``export`` gave; ``retention_s`` is how long the stream keeps a record (None: for ever)."""
        self.mapping = mapping
        ages = [float(mapping.maximum_record_age_s)] if mapping.maximum_record_age_s != FOREVER else []
        ages += [retention_s] if retention_s is not None else []
        self._rules = Rules(mapping, backoff or Backoff(), min(ages) if ages else None)
        self._role_arn = role_arn or f"arn:aws:iam::{mapping.account}:role/lambda-role"
        self._shards: dict[str, Shard] = {}
        self._open: dict[int, _Open] = {}
        self._next_id = 1
        self._closed_ids: dict[int, str] = {}
        if state is not None:
            self._restore(state)

    # -- the stream ------------------------------------------------------------------------------------------------

    def list_shards(self, infos: Iterable[ShardInfo], now_s: float) -> None:
        """Tell which shards the stream has now, closed ones that still hold records included.

        At the first listing shards start at the mapping's starting position, later ones at their first record. A
        shard that is no longer named gives no more records; its waiting ones are still delivered.
        """
        listed = {info.shard_id: info for info in infos}
        start = Position("TRIM_HORIZON") if self._shards else self._first_position(now_s)
        for shard_id, info in listed.items():
            if shard_id not in self._shards:
                self._shards[shard_id] = self._shard(info, start)
        for shard_id, shard in list(self._shards.items()):
            shard.gone = shard_id not in listed
            if shard.gone and shard.ended:
                del self._shards[shard_id]

    def reads(self) -> list[Read]:
        """Which shards to read from where: those with room whose parents have ended. Nothing while disabled."""
        if not self.mapping.enabled:
            return []
        room = max(READ_LIMIT, 2 * self.mapping.batch_size * self.mapping.parallelization_factor)
        return [
            Read(shard_id, shard.position, min(READ_LIMIT, room - shard.waiting))
            for shard_id, shard in self._shards.items()
            if not shard.closed
            and shard.waiting <= room // 2
            and shard.waiting_bytes < WAITING_BYTES
            and self._parents_ended(shard)
        ]

    def feed(self, shard_id: str, records: Iterable[Record], now_s: float, *, end: bool = False) -> int:
        """Records of a shard in stream order, as read from a position that ``reads`` gave; returns how many were new.

        ``end``: the shard is closed and this was its last page (NextShardIterator is null).
        """
        shard = self._shards[shard_id]
        new = shard.feed(records, now_s)
        if end:
            shard.end_seen = True
        return new

    # -- the function ----------------------------------------------------------------------------------------------

    def poll(self, now_s: float) -> list[Command]:
        """Commands that are due, at most one open per lane; an id is never used twice."""
        if not self.mapping.enabled:
            return []
        commands: list[Command] = []
        for shard in self._shards.values():
            for index, lane in enumerate(shard.lanes):
                batch = lane.take(now_s, flush=shard.closed)
                if batch is not None:
                    commands.append(self._command(shard, index, batch, now_s))
        return commands

    def wake_s(self) -> float | None:
        """The earliest time at which ``poll`` may give something without further news; may lie in the past."""
        if not self.mapping.enabled:
            return None
        times = [lane.wake_s(flush=shard.closed) for shard in self._shards.values() for lane in shard.lanes]
        return min((at_s for at_s in times if at_s is not None), default=None)

    def answer(self, command_id: int, answer: Answer, now_s: float) -> bool:
        """What an Invoke led to. False (and no effect) when it was answered before: a zombie's late result."""
        open_ = self._open.get(command_id)
        if open_ is None or not isinstance(open_.command, Invoke):
            self._count_late(command_id)
            return False
        self._close(command_id)
        shard, lane, stats = open_.shard, open_.lane, open_.shard.stats
        if isinstance(answer, Throttled | Unavailable):
            stats.throttles += isinstance(answer, Throttled)
            stats.last_result = f"PROBLEM: {type(answer).__name__} {answer.detail}".strip()
            lane.stall(now_s)
            return True
        stats.invocations += 1
        stats.retries += open_.command.attempt > 1
        stats.iterator_age_s = max(0.0, now_s - open_.batch.records[-1].arrival_s)
        self._apply(open_, answer, now_s)
        shard.settle()
        return True

    def discarded(self, command_id: int, now_s: float, *, delivered: bool = True, refused: bool = False) -> bool:
        """How sending a Discard went: delivered; not delivered (comes again after a while); or refused for good.

        A refused message is counted and the lane goes on, as AWS does; otherwise one deleted queue blocks the shard.
        """
        open_ = self._open.get(command_id)
        if open_ is None or not isinstance(open_.command, Discard):
            self._count_late(command_id)
            return False
        self._close(command_id)
        if not delivered and not refused:
            open_.lane.stall(now_s)
            return True
        open_.shard.stats.undelivered_messages += refused
        open_.shard.stats.discarded += len(open_.batch.records)
        open_.lane.succeed()
        open_.shard.settle()
        return True

    # -- looking at it ---------------------------------------------------------------------------------------------

    @property
    def shards(self) -> tuple[str, ...]:
        """Ids of the shards that it knows, ended parents included while the stream names them."""
        return tuple(self._shards)

    @property
    def in_flight(self) -> tuple[Command, ...]:
        """Commands given and not answered."""
        return tuple(open_.command for open_ in self._open.values())

    @property
    def waiting(self) -> int:
        """Records read and not yet delivered or discarded."""
        return sum(shard.waiting for shard in self._shards.values())

    def info(self, shard_id: str) -> ShardInfo:
        """A shard with its parents."""
        return self._shards[shard_id].info

    def waiting_in(self, shard_id: str) -> int:
        """Records of a shard that were read and are not done."""
        return self._shards[shard_id].waiting

    def stats(self, shard_id: str) -> ShardStats:
        """Counters of a shard."""
        return self._shards[shard_id].stats

    def checkpoint(self, shard_id: str) -> str | None:
        """Sequence number up to which all is done; None before the first."""
        return self._shards[shard_id].checkpoint

    def ended(self, shard_id: str) -> bool:
        """True when the shard is closed and all of it is done."""
        return self._shards[shard_id].ended

    def lag_s(self, shard_id: str, now_s: float) -> float:
        """Age of the oldest record that was read and is not done; 0 when there is none."""
        oldest = self._shards[shard_id].oldest_waiting()
        return max(0.0, now_s - oldest.arrival_s) if oldest else 0.0

    def export(self) -> dict[str, Any]:
        """Positions of all shards, JSON-able; ``Machine(mapping, state=...)`` goes on from there."""
        shards = {shard_id: shard.export() for shard_id, shard in self._shards.items()}
        return {"version": STATE_VERSION, "lanes": self.mapping.parallelization_factor, "shards": shards}

    # -- inside ----------------------------------------------------------------------------------------------------

    def _restore(self, state: dict[str, Any]) -> None:
        same_lanes = state["lanes"] == self.mapping.parallelization_factor
        for shard_id, saved in state["shards"].items():
            start = Position(saved["start"]["kind"], timestamp_s=saved["start"]["timestamp_s"])
            shard = self._shard(ShardInfo(shard_id, tuple(saved["parents"])), start)
            shard.restore(saved, same_lanes=same_lanes)
            self._shards[shard_id] = shard

    def _shard(self, info: ShardInfo, start: Position) -> Shard:
        envelope = Envelope(info.shard_id, self.mapping.stream_arn, self.mapping.region, self._role_arn)
        return Shard(info, start, self._rules, envelope)

    def _first_position(self, now_s: float) -> Position:
        match self.mapping.starting_position:
            case Start.TRIM_HORIZON:
                return Position("TRIM_HORIZON")
            case Start.LATEST:
                # Arrival times are whole milliseconds.
                return Position("AT_TIMESTAMP", timestamp_s=floor(now_s * 1000) / 1000)
            case Start.AT_TIMESTAMP:
                return Position("AT_TIMESTAMP", timestamp_s=self.mapping.starting_timestamp_s)

    def _parents_ended(self, shard: Shard) -> bool:
        return all(self._shards[p].ended for p in shard.info.parents if p in self._shards)

    def _command(self, shard: Shard, lane_index: int, batch: Batch, now_s: float) -> Command:
        command_id = self._next_id
        self._next_id += 1
        shard_id = shard.info.shard_id
        command: Command
        if batch.condition is None:
            event = shard.envelope.event(batch.records)
            command = Invoke(command_id, shard_id, lane_index, batch.records, batch.invokes + 1, event)
        else:
            command = Discard(
                command_id,
                shard_id,
                lane_index,
                batch.records,
                batch.condition,
                self.mapping.on_failure_destination,
                failure_body(
                    records=batch.records,
                    shard_id=shard_id,
                    stream_arn=self.mapping.stream_arn,
                    function_arn=self.mapping.function_arn,
                    condition=batch.condition,
                    invoke_count=batch.invokes,
                    request_id=self._request_id(shard_id, batch),
                    last=batch.last,
                    now_s=now_s,
                ),
            )
        self._open[command_id] = _Open(shard, shard.lanes[lane_index], batch, command)
        return command

    def _request_id(self, shard_id: str, batch: Batch) -> str:
        if batch.last is not None and batch.last.request_id:
            return batch.last.request_id
        name = f"{self.mapping.function_arn}/{shard_id}/{batch.records[0].sequence_number}/{batch.invokes}"
        return str(uuid.uuid5(uuid.NAMESPACE_URL, name))

    def _apply(self, open_: _Open, answer: Returned | Failed, now_s: float) -> None:
        lane, stats, count = open_.lane, open_.shard.stats, len(open_.batch.records)
        done = 0
        if isinstance(answer, Returned):
            report = self.mapping.report_batch_item_failures
            done = failed_from(answer.payload, open_.batch.records) if report else count
        stats.delivered += done
        stats.batches += done > 0
        if isinstance(answer, Returned) and done == count:
            stats.last_result = "OK"
            lane.succeed()
            return
        stats.failures += 1
        if isinstance(answer, Returned) and done:
            stats.last_result = f"PARTIAL: {done} of {count} records"
            stats.splits += self.mapping.bisect_on_error
            lane.split_at(done, answer, now_s)
            return
        detail = answer.detail if isinstance(answer, Failed) else "batch item failure at the first record"
        stats.last_result = f"PROBLEM: Function call failed {detail}".strip()
        stats.splits += lane.fail(answer, now_s)

    def _close(self, command_id: int) -> None:
        open_ = self._open.pop(command_id)
        self._closed_ids[command_id] = open_.command.shard_id
        if len(self._closed_ids) > 1000:
            del self._closed_ids[next(iter(self._closed_ids))]

    def _count_late(self, command_id: int) -> None:
        shard_id = self._closed_ids.get(command_id)
        if shard_id in self._shards:
            self._shards[shard_id].stats.late_answers += 1
