"""The producer: takes events, writes them down with their positions, sends them in order, repeats what failed.

Pure but for its ports: a sink, a clock, a disk. ``connect`` puts it together for a stream of AWS.
"""

from __future__ import annotations

import contextlib
import secrets
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import msgspec

from levada.core.errors import UnavailableError
from levada.core.publishing import publish
from levada.domains.declaration import Domain
from levada.ports import Clock, Entry, RecordSink
from levada.producer.batching import Buffer, Lanes, Maker, check_line, light_codec
from levada.producer.disk import Disk, MemoryDisk
from levada.producer.errors import SpoolFullError
from levada.producer.spool import Group, Spool

if TYPE_CHECKING:
    import pyarrow as pa

BASE_DELAY_S = 0.2
MAX_DELAY_S = 30.0
MAX_PACK_ROWS = 10_000
CHUNK_EVENTS = 500
"""Events that ``send_all`` takes at a time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """When packs are made, and how much may wait."""

    pack_rows: int = 500
    """Events of one pack, as JSON texts."""
    table_pack_rows: int = 5_000
    """Rows of one pack of a table."""
    buffer_bytes: int = 8 * 1024 * 1024
    """JSON texts that wait for their pack; then packs are made, however few events each has."""
    interval_s: float = 1.0
    """An event waits no longer for its pack."""
    spool_bytes: int = 1024 * 1024 * 1024
    """Packs that wait for the stream; then nothing more is taken. In memory where there is no folder."""
    attempts: int = 5
    """How often ``flush`` and ``close`` try a stream that does not answer."""
    sync: bool = True
    """Each group of packs survives a loss of power before it is sent; else the end of the process only."""

    def __post_init__(self) -> None:
        for name in ("pack_rows", "table_pack_rows", "buffer_bytes", "spool_bytes", "attempts"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)}: must be at least 1")
        if self.pack_rows > 10_000 or self.table_pack_rows > 100_000:
            raise ValueError(
                f"pack_rows={self.pack_rows}, table_pack_rows={self.table_pack_rows}: at most 10000, 100000"
            )


@dataclass(slots=True)
class Stats:
    """What one producer has done. ``taken`` = ``buffered`` + ``written``; ``written`` + ``recovered`` = ``sent`` +
    what waits."""

    taken: int = 0
    """Events given to it."""
    buffered: int = 0
    """Events of them that are in no pack yet: the end of the process would lose them."""
    written: int = 0
    """Events in packs that will be sent, whatever happens."""
    recovered: int = 0
    """Events found in the spool at the start."""
    sent: int = 0
    """Events that the stream has acknowledged."""
    waiting: int = 0
    """Events in packs that are not acknowledged."""
    packs: int = 0
    """Acknowledged ones."""
    bytes: int = 0
    """Of acknowledged packs."""
    retries: int = 0
    """Requests that failed as a whole, and entries that were refused."""


class Producer:
    """Events of one domain and tenant to one stream. Safe to use from several threads.

    Args:
        sink: the raw stream.
        disk: where packs wait; memory for None: then what waits is lost with the process.
        new_session: makes a name that nothing else ever has, at most 64 characters of a-z, 0-9 and -.

    Raises SpoolError, SpoolDamagedError.
    """

    def __init__(
        self,
        sink: RecordSink,
        clock: Clock,
        domain: Domain,
        *,
        tenant: str = "default",
        disk: Disk | None = None,
        limits: Limits | None = None,
        new_session: Callable[[], str] = lambda: secrets.token_hex(8),
    ) -> None:
        self._sink, self._clock, self._domain, self._tenant = sink, clock, domain, tenant
        self.limits = limits or Limits()
        self._spool = Spool(
            disk or MemoryDisk(),
            (domain.name, tenant),
            new_session=new_session,
            max_bytes=self.limits.spool_bytes,
            sync=self.limits.sync,
        )
        self._volatile, self._closed = disk is None, False
        self._lanes, self._buffer, self._codec = Lanes(domain, tenant), Buffer(), light_codec()
        self._encode = msgspec.json.Encoder().encode
        self._mark = self._spool.mark
        self._outgoing = _Outgoing(sink)
        self._failures, self._not_before_s = 0, 0.0
        self._guard = threading.RLock()
        self.stats = Stats()
        self.stats.recovered = self.stats.waiting = sum(group.rows for group in self._spool.waiting)

    # ------------------------------------------------------------------ taking
    @property
    def mark(self) -> Any:
        """The mark of the last event that will be sent, whatever happens: where a reader of some input goes on."""
        return self._spool.mark

    def send(self, event: Mapping[str, Any], *, mark: Any = None) -> None:
        """Take one event.

        Args:
            event: what the domain's declaration reads; any value that JSON can hold. NaN becomes null.
            mark: where the caller's input stands after this event; JSON values. Kept with it: see ``mark``.

        Raises:
            SpoolFullError: it was not taken.
            TypeError: it holds what JSON cannot; ValueError: it is too large.
            ConfigError: the stream is not there; the event was taken, and waits.
        """
        line = check_line(self._encode(event))
        with self._guard:
            self._add(self._lanes.of(event), line, mark)

    def send_line(self, line: bytes, *, mark: Any = None) -> None:
        """Take one event as JSON text, as it stands; ``send`` says what is raised. What is broken is taken too: it
        ends in quarantine, where somebody can see it."""
        line = check_line(line.strip())
        if b"\n" in line:
            raise ValueError("line holds a line end: must be one event")
        with self._guard:
            self._add(self._lanes.of_line(line), line, mark)

    def send_all(self, events: Iterable[Mapping[str, Any]]) -> None:
        """``send`` each of them, faster. When it raises, ``stats.taken`` says how many of them were taken."""
        rest = iter(events)
        while chunk := list(islice(rest, CHUNK_EVENTS)):
            lines = list(map(check_line, map(self._encode, chunk)))
            with self._guard:
                self._make_room()
                self._buffer.add_all(self._lanes.of_all(chunk), lines, self._clock.now_s())
                self._took(len(chunk))

    def send_table(self, table: pa.Table, *, mark: Any = None) -> None:
        """Take a table: a column per source column. Written down at once, with what was sent before it.

        Raises as ``send`` does: it is taken as a whole or not at all.
        """
        with self._guard:
            self._write(table, self._mark if mark is None else mark)
            self.stats.taken += table.num_rows
            self._drain()

    def _add(self, lane: int, line: bytes, mark: Any) -> None:
        self._make_room()
        self._buffer.add(lane, line, self._clock.now_s())
        if mark is not None:
            self._mark = mark
        self._took(1)

    def _make_room(self) -> None:
        if self._full():
            self._write(None, self._mark)

    def _took(self, n: int) -> None:
        self.stats.taken += n
        self.stats.buffered += n
        if self._full() or self._clock.now_s() - self._buffer.since_s >= self.limits.interval_s:
            self.tick()

    def _full(self) -> bool:
        buffer = self._buffer
        return buffer.rows >= self.limits.pack_rows * len(buffer.lines) > 0 or buffer.size >= self.limits.buffer_bytes

    def _write(self, table: pa.Table | None, mark: Any) -> None:
        """Make packs of all that is buffered, then of the table, and write them down as one group."""
        self._spool.check_room()
        maker = Maker(
            domain=self._domain.name, tenant=self._tenant, session=self._spool.session, position=self._spool.position
        )
        maker.add_lines(self._buffer, self.limits.pack_rows, self._codec)
        if table is not None and table.num_rows:
            from levada.producer.tables import add_table

            add_table(table, self._domain, self._tenant, self.limits.table_pack_rows, maker)
        if not maker.made and mark == self._spool.mark:
            return
        self._spool.append(maker.made, mark)
        rows = sum(pack.rows for pack in maker.made)
        self._mark = mark
        self._buffer.clear()
        self.stats.buffered = 0
        self.stats.written += rows
        self.stats.waiting += rows

    # ------------------------------------------------------------------ sending
    def tick(self) -> None:
        """Make packs of events that have waited long enough, and try to send what waits, once. Never sleeps long.

        ``connect`` calls it in the background. Raises ConfigError when the stream is not there.
        """
        with self._guard:
            waited_s = self._clock.now_s() - self._buffer.since_s
            if self._full() or (self._buffer.rows and waited_s >= self.limits.interval_s):
                with contextlib.suppress(SpoolFullError):  # they stay buffered; when that is full nothing is taken
                    self._write(None, self._mark)
            self._drain()

    def persist(self) -> None:
        """Write down all that was taken: when this returns it will be sent, whatever happens. Raises SpoolFullError."""
        with self._guard:
            self._write(None, self._mark)

    def flush(self) -> bool:
        """``persist``, then send all that waits; a stream that does not answer is tried ``limits.attempts`` times.

        Returns whether nothing waits any more. Raises SpoolFullError, ConfigError.
        """
        with self._guard:
            self._drain(force=True)  # makes room
            self._write(None, self._mark)
            for _ in range(self.limits.attempts):
                self._drain(force=True)
                if not self._spool.waiting:
                    return True
                self._clock.sleep(max(0.0, self._not_before_s - self._clock.now_s()))
            return False

    def close(self) -> None:
        """``flush``, then let go of the folder. What still waits stays there for the next producer.

        Raises UnavailableError when something waits and there is no folder: it is lost.
        """
        with self._guard:
            if self._closed:
                return
            self._closed = True
            try:
                done = self.flush()
            finally:
                self._spool.close()
            if not done and self._volatile:
                raise UnavailableError(f"{self.stats.waiting} events were not sent, and there is no spool folder")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _drain(self, *, force: bool = False) -> None:
        """Send groups in order until nothing waits or the stream fails; then not again before a while."""
        if not force and self._clock.now_s() < self._not_before_s:
            return
        while self._spool.waiting:
            if not self._outgoing.groups:
                self._outgoing.load(self._spool)
            try:
                done = publish(self._outgoing, self._outgoing.left(), self._clock)
            except UnavailableError:
                self._failures += 1
                self.stats.retries += 1
                delay_s = min(MAX_DELAY_S, BASE_DELAY_S * 2**self._failures) * (0.5 + self._clock.jitter() / 2)
                self._not_before_s = self._clock.now_s() + delay_s
                return
            self._failures, self._not_before_s = 0, 0.0
            self.stats.retries += done.retries
            self._acknowledge()

    def _acknowledge(self) -> None:
        groups, self._outgoing.groups = self._outgoing.groups, []
        self._spool.acknowledge(groups[-1].number)
        for group in groups:
            self.stats.sent += group.rows
            self.stats.waiting -= group.rows
            self.stats.packs += group.packs
            self.stats.bytes += group.size


class _Outgoing:
    """Groups on their way: a sink that remembers what was acknowledged, so that only the rest is sent again."""

    def __init__(self, sink: RecordSink) -> None:
        self._sink = sink
        self.groups: list[Group] = []
        self._left: dict[int, Entry] = {}
        """By the entry's id: the same bytes may be there twice."""

    def load(self, spool: Spool) -> None:
        """Take the first groups that wait, a few MB of them; in memory while they are on their way."""
        groups: list[Group] = []
        left: dict[int, Entry] = {}
        size = 0
        for group in spool.waiting:
            if groups and size + group.size > CHUNK_BYTES:
                break
            size += group.size
            groups.append(group)
            left |= {id(entry): entry for entry in spool.entries(group)}
        self.groups, self._left = groups, left

    def left(self) -> list[Entry]:
        return list(self._left.values())

    def put(self, entries: Sequence[Entry]) -> list[str | None]:
        answers = self._sink.put(entries)
        for entry, error in zip(entries, answers, strict=True):
            if error is None:
                del self._left[id(entry)]
        return answers


CHUNK_BYTES = 5_000_000
"""Groups that are sent together: about one request's worth for each record of a lane."""
