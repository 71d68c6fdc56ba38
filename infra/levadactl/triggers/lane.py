"""One ordered lane: records wait, are cut into a batch, and leave by success or by being discarded, in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, replace

from levadactl.triggers.event import FRAME_BYTES, PAYLOAD_LIMIT_BYTES
from levadactl.triggers.mapping import FOREVER, Mapping
from levadactl.triggers.model import Backoff, Condition, Failed, Record, Returned

NEVER = float("-inf")


@dataclass(frozen=True, slots=True)
class Batch:
    """Records that travel together, and what has happened to them so far."""

    records: tuple[Record, ...]
    retries: int = 0
    """Retries used up by the first record; throttles and splits use up none."""
    invokes: int = 0
    stalls: int = 0
    """Calls in a row that did not reach the function, or messages that did not reach the destination."""
    not_before_s: float = NEVER
    last: Returned | Failed | None = None
    condition: Condition | None = None
    """Set when the records are to be discarded."""


@dataclass(frozen=True, slots=True)
class Rules:
    """The part of a mapping that a lane needs, with the retention of the stream folded in."""

    mapping: Mapping
    backoff: Backoff
    max_age_s: float | None

    def expired(self, record: Record, now_s: float) -> bool:
        """Older than the maximum record age; exactly as old is not older."""
        return self.max_age_s is not None and now_s - record.arrival_s > self.max_age_s

    def exhausted(self, retries: int) -> bool:
        """True when so many retries are more than the mapping allows."""
        return self.mapping.maximum_retry_attempts != FOREVER and retries > self.mapping.maximum_retry_attempts


class Lane:
    """Holds at most one open command; what leaves always leaves as a prefix, so ``done_through`` says it all."""

    def __init__(self, rules: Rules, done_through: int = -1) -> None:
        self.rules = rules
        self.done_through = done_through
        """Every record of this lane up to this position was delivered or discarded."""
        self.busy = False
        self._queue: deque[tuple[Record, float, int]] = deque()
        self._queue_bytes = 0
        self._work: deque[Batch] = deque()

    @property
    def idle(self) -> bool:
        """True when no record is waiting or under way."""
        return not self._queue and not self._work

    def push(self, record: Record, size_bytes: int, now_s: float) -> None:
        """Add the next record; ``size_bytes`` is its share of the event."""
        self._queue.append((record, now_s, size_bytes))
        self._queue_bytes += size_bytes + 1

    def take(self, now_s: float, *, flush: bool) -> Batch | None:
        """The batch to invoke with, or (``condition`` set) to discard; None while there is nothing to do yet.

        ``flush``: no more records can come, so the batching window does not matter.
        """
        if self.busy:
            return None
        self._expire(now_s)
        if not self._work and self._queue and self._ready(now_s, flush):
            self._work.append(Batch(self._cut()))
        if not self._work or self._work[0].not_before_s > now_s:
            return None
        self.busy = True
        return self._work[0]

    def wake_s(self, *, flush: bool) -> float | None:
        """When ``take`` may next give something, if no record comes before; None = not by waiting."""
        if self.busy or self.idle:
            return None
        head = self._work[0] if self._work else None
        first = head.records[0] if head else self._queue[0][0]
        if head is not None:
            at_s = head.not_before_s
        else:
            at_s = NEVER if flush else self._queue[0][1] + self.rules.mapping.batching_window_s
        if self.rules.max_age_s is not None and (head is None or head.condition is None):
            # Just past the age: at the age itself the record is still allowed.
            at_s = min(at_s, first.arrival_s + self.rules.max_age_s + 0.001)
        return at_s

    def succeed(self) -> None:
        """The open batch was delivered."""
        self._leave(self._work.popleft().records)

    def split_at(self, index: int, answer: Returned, now_s: float) -> None:
        """Partial response: records before ``index`` (>= 1) are done, the rest comes again.

        The count of retries is that of the first record still open, so it starts afresh when the checkpoint moves.
        With bisect the cut itself is the split and uses up nothing; otherwise the redelivery is the first retry.
        """
        batch = self._work.popleft()
        bisect = self.rules.mapping.bisect_on_error
        rest = Batch(batch.records[index:], retries=0, invokes=batch.invokes + 1, last=answer)
        self._work.appendleft(replace(rest, not_before_s=now_s) if bisect else self._retried(rest, now_s))
        self._leave(batch.records[:index])

    def fail(self, answer: Returned | Failed, now_s: float) -> bool:
        """The whole open batch failed; True when it was bisected instead of retried."""
        batch = replace(self._work.popleft(), stalls=0, last=answer)
        batch = replace(batch, invokes=batch.invokes + 1)
        self.busy = False
        if self.rules.mapping.bisect_on_error and len(batch.records) > 1:
            middle = len(batch.records) // 2
            whole = replace(batch, not_before_s=now_s)
            self._work.appendleft(replace(whole, records=batch.records[middle:]))
            self._work.appendleft(replace(whole, records=batch.records[:middle]))
            return True
        self._work.appendleft(self._retried(batch, now_s))
        return False

    def stall(self, now_s: float) -> None:
        """The open command did not get through; it comes again after a while, without using up a retry."""
        batch = self._work.popleft()
        stalls = batch.stalls + 1
        not_before_s = now_s + self.rules.backoff.delay_s(stalls)
        self._work.appendleft(replace(batch, stalls=stalls, not_before_s=not_before_s))
        self.busy = False

    def _retried(self, batch: Batch, now_s: float) -> Batch:
        if self.rules.exhausted(batch.retries + 1):
            return replace(batch, condition=Condition.RETRIES, not_before_s=now_s)
        retries = batch.retries + 1
        return replace(batch, retries=retries, not_before_s=now_s + self.rules.backoff.delay_s(retries))

    def _leave(self, records: tuple[Record, ...]) -> None:
        self.busy = False
        self.done_through = records[-1].position

    def _expire(self, now_s: float) -> None:
        if self._work:
            head = self._work[0]
            if head.condition is not None:
                return
            old = _prefix(head.records, self.rules, now_s)
            if not old:
                return
            self._work.popleft()
            if old < len(head.records):
                self._work.appendleft(replace(head, records=head.records[old:]))
            expired = replace(head, records=head.records[:old], not_before_s=NEVER, stalls=0)
        else:
            waiting = [entry[0] for entry, _ in zip(self._queue, range(self.rules.mapping.batch_size), strict=False)]
            old = _prefix(waiting, self.rules, now_s)
            if not old:
                return
            expired = Batch(tuple(self._pop() for _ in range(old)))
        self._work.appendleft(replace(expired, condition=Condition.AGE))

    def _ready(self, now_s: float, flush: bool) -> bool:
        window_over = now_s >= self._queue[0][1] + self.rules.mapping.batching_window_s
        full = len(self._queue) >= self.rules.mapping.batch_size
        return flush or window_over or full or self._queue_bytes + FRAME_BYTES > PAYLOAD_LIMIT_BYTES

    def _cut(self) -> tuple[Record, ...]:
        records: list[Record] = []
        size = FRAME_BYTES
        while self._queue and len(records) < self.rules.mapping.batch_size:
            size += self._queue[0][2] + (1 if records else 0)
            if records and size > PAYLOAD_LIMIT_BYTES:
                break
            records.append(self._pop())
        return tuple(records)

    def _pop(self) -> Record:
        record, _, size_bytes = self._queue.popleft()
        self._queue_bytes -= size_bytes + 1
        return record


def _prefix(records: Iterable[Record], rules: Rules, now_s: float) -> int:
    count = 0
    for record in records:
        if not rules.expired(record, now_s):
            break
        count += 1
    return count
