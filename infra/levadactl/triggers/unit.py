"""One mapping as the runner serves it: its machine, its iterators, and when each shard is read again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

from levadactl.triggers.aws import Aws, ReadPage, Source, code_of, said
from levadactl.triggers.failure_record import iso_ms
from levadactl.triggers.files import JsonLog
from levadactl.triggers.machine import Machine
from levadactl.triggers.model import Answer, Backoff, Command, Failed, Invoke, Read, Throttled, Unavailable
from levadactl.triggers.pacing import ReadClock
from levadactl.triggers.workers import Workers

RETRY = Backoff(first_s=0.2, factor=2.0, max_s=30.0)
READ_RETRY = Backoff(first_s=0.2, factor=2.0, max_s=5.0)
EXPIRY_MARGIN_S = 3600.0


@dataclass(slots=True)
class _Reading:
    iterator: str | None = None
    next_at_s: float = 0.0
    """On the monotonic clock."""
    busy: bool = False
    errors: int = 0
    behind_ms: int = 0


@dataclass(frozen=True, slots=True)
class Shop:
    """What every unit needs of its runner."""

    aws: Aws
    readers: Workers
    callers: Workers
    log: JsonLog
    clock: Callable[[], float]
    monotonic: Callable[[], float]
    reads: ReadClock
    shards: Callable[[], int]
    """Shards that are read in all."""
    wake_all: Callable[[], None]
    """Make every shard of every mapping due."""


class Unit:
    """Drives one machine; every method runs in the control thread."""

    def __init__(self, source: Source, state: dict[str, Any] | None, shop: Shop) -> None:
        self.source = source
        self.shop = shop
        self.machine = Machine(source.mapping, backoff=RETRY, retention_s=source.retention_s, state=state)
        self.retiring = False
        """Set to stop reading and invoking; what is in flight is still awaited."""
        self.dirty = state is None
        """True when positions moved since they were saved."""
        self._reading: dict[str, _Reading] = {}
        self.list_shards(source)

    @property
    def readable(self) -> int:
        """Shards that have not ended."""
        return sum(1 for shard_id in self.machine.shards if not self.machine.ended(shard_id))

    @property
    def busy(self) -> bool:
        """True while a function or a destination is being called."""
        return bool(self.machine.in_flight)

    def list_shards(self, source: Source) -> None:
        """Take in the shards as they are now."""
        before = set(self.machine.shards)
        listed = {info.shard_id for info in source.shards}
        # MiniStack forgets a parent at once. What a read under way brings is the last of it: do not drop it yet.
        last_pages = [self.machine.info(shard_id) for shard_id in sorted(self._reading_now() - listed)]
        self.machine.list_shards([*last_pages, *source.shards], self.shop.clock())
        new, gone = set(self.machine.shards) - before, before - set(self.machine.shards)
        self.dirty |= bool(new or gone)
        for shard_id in sorted(new):
            self._log("shard_found", shard=shard_id)
        self._reading = {shard_id: self._reading.get(shard_id, _Reading()) for shard_id in self.machine.shards}

    def step(self) -> None:
        """Start every read and every command that is due."""
        if self.retiring:
            return
        at_s = self.shop.monotonic()
        for read in self.machine.reads():
            reading = self._reading[read.shard_id]
            if not reading.busy and reading.next_at_s <= at_s:
                self._read(read, reading)
        for command in self.machine.poll(self.shop.clock()):
            self._start(command)

    def wait_s(self) -> float:
        """Seconds until ``step`` may have something to do, if nothing comes in before."""
        if self.retiring:
            return 60.0
        at_s = self.shop.monotonic()
        waits = [self._reading[read.shard_id] for read in self.machine.reads()]
        seconds = [reading.next_at_s - at_s for reading in waits if not reading.busy]
        wake_s = self.machine.wake_s()
        if wake_s is not None:
            seconds.append(wake_s - self.shop.clock())
        return max(0.0, min(seconds, default=60.0))

    def status(self) -> dict[str, Any]:
        """JSON-able: the mapping and each shard's position, age, and counters (since the runner started)."""
        mapping = self.source.mapping
        return {
            "function": mapping.function_arn.split(":function:")[-1],
            "stream": mapping.stream_name,
            "stream_arn": mapping.stream_arn,
            "stream_created_at": iso_ms(self.source.created_s),
            "enabled": mapping.enabled,
            "shards": [self._shard_status(shard_id) for shard_id in self.machine.shards],
        }

    def _shard_status(self, shard_id: str) -> dict[str, Any]:
        stats = asdict(self.machine.stats(shard_id))
        age_ms = max(int(self.machine.lag_s(shard_id, self.shop.clock()) * 1000), self._reading[shard_id].behind_ms)
        stats["last_iterator_age_ms"] = int(stats.pop("iterator_age_s") * 1000)
        return {
            "shard": shard_id,
            "position": self.machine.checkpoint(shard_id),
            "iterator_age_ms": age_ms,
            "in_flight": sum(1 for command in self.machine.in_flight if command.shard_id == shard_id),
            "waiting": self.machine.waiting_in(shard_id),
            "ended": self.machine.ended(shard_id),
            **stats,
        }

    def _reading_now(self) -> set[str]:
        return {shard_id for shard_id, reading in self._reading.items() if reading.busy}

    def wake(self) -> None:
        """Read every shard that is not waiting after an error at once."""
        for reading in self._reading.values():
            if not reading.errors:
                reading.next_at_s = 0.0

    # -- reading ---------------------------------------------------------------------------------------------------

    def _read(self, read: Read, reading: _Reading) -> None:
        reading.busy = True
        age_s = self.shop.clock() - self.source.created_s
        if age_s > self.source.retention_s - EXPIRY_MARGIN_S:
            # MiniStack's iterators are indexes: once old records expire, one that is kept would skip new records.
            reading.iterator = None
        self.shop.reads.read(1 if reading.iterator is not None else 2)
        job = partial(self.shop.aws.read, self.source.mapping.stream_arn, read, reading.iterator)
        self.shop.readers.submit(job, partial(self._have_read, read.shard_id))

    def _have_read(self, shard_id: str, page: ReadPage | None, error: BaseException | None) -> None:
        reading = self._reading.get(shard_id)
        if reading is None or shard_id not in self.machine.shards:
            return
        reading.busy = False
        if page is None:
            self._read_failed(shard_id, reading, error)
            return
        if reading.errors:
            self._log("reading_again", shard=shard_id)
        reading.errors = 0
        reading.iterator = page.iterator
        reading.behind_ms = page.behind_ms
        before = self.machine.checkpoint(shard_id)
        self.machine.feed(shard_id, page.records, self.shop.clock(), end=page.end)
        self.dirty |= page.end or self.machine.checkpoint(shard_id) != before
        if page.records and self.shop.reads.have_records():
            self.shop.wake_all()
        # More is there for certain; otherwise a read right after one that found records rarely finds any.
        pause_s = 0.0 if page.behind_ms > 0 else self.shop.reads.delay_s(self.shop.shards())
        reading.next_at_s = self.shop.monotonic() + pause_s

    def _read_failed(self, shard_id: str, reading: _Reading, error: BaseException | None) -> None:
        reading.iterator = None
        reading.errors += 1
        reading.next_at_s = self.shop.monotonic() + READ_RETRY.delay_s(reading.errors)
        if reading.errors == 1 and code_of(error) != "ExpiredIteratorException":
            self._log("read_failed", shard=shard_id, error=said(error))

    # -- commands --------------------------------------------------------------------------------------------------

    def _start(self, command: Command) -> None:
        if isinstance(command, Invoke):
            call = partial(self.shop.aws.invoke, self.source.mapping.function_name, command.event)
            self.shop.callers.submit(call, partial(self._answered, command))
            return
        self._log(
            "discarding",
            shard=command.shard_id,
            condition=command.condition,
            first=command.records[0].sequence_number,
            last=command.records[-1].sequence_number,
            records=len(command.records),
            destination=command.destination,
        )
        if command.destination is None:
            self.machine.discarded(command.id, self.shop.clock())
            self.dirty = True
            return
        send = partial(self.shop.aws.send, command.destination, command.body)
        self.shop.callers.submit(send, partial(self._sent, command.id))

    def _answered(self, command: Invoke, answer: Answer | None, error: BaseException | None) -> None:
        if answer is None:
            answer = Unavailable(said(error))
        self.machine.answer(command.id, answer, self.shop.clock())
        self.dirty = True
        if isinstance(answer, Failed | Throttled | Unavailable):
            self._log(
                "invocation_failed",
                shard=command.shard_id,
                kind=type(answer).__name__.lower(),
                detail=answer.detail,
                first=command.records[0].sequence_number,
                records=len(command.records),
                attempt=command.attempt,
            )

    def _sent(self, command_id: int, accepted: bool | None, error: BaseException | None) -> None:
        if error is not None:
            self._log("destination_unreachable", error=said(error))
        elif not accepted:
            self._log("destination_refused", destination=self.source.mapping.on_failure_destination)
        self.machine.discarded(
            command_id, self.shop.clock(), delivered=bool(accepted), refused=error is None and not accepted
        )
        self.dirty = True

    def _log(self, event: str, **fields: Any) -> None:
        quiet = event in ("shard_found", "reading_again")
        write = self.shop.log.info if quiet else self.shop.log.warning
        mapping = self.source.mapping
        write(event, function=mapping.function_arn.split(":function:")[-1], stream=mapping.stream_name, **fields)
