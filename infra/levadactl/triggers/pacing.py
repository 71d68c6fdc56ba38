"""How often shards are read: often while records come, once a second when all is quiet.

MiniStack keeps every shard iterator for five minutes and looks through all of them at each Kinesis call, puts
included (1.3 ms per 1,000). GetRecords always makes a new one, so the number of reads is what must be kept low.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds between two reads of a shard, by the time since the last record of any shard."""

    hot_s: float = 0.1
    hot_for_s: float = 3.0
    warm_s: float = 0.2
    warm_for_s: float = 30.0
    cold_s: float = 1.0
    """AWS's own base rate."""
    most_iterators: int = 2000
    """With so many alive, all shards together are read no faster than so many expire; a burst may double them."""
    iterator_life_s: float = 300.0


class ReadClock:
    """Shared by all shards of a runner: a record in one stream soon brings some in the next."""

    def __init__(self, pace: Pace, monotonic: Callable[[], float]) -> None:
        self._pace = pace
        self._monotonic = monotonic
        self._last_record_s = monotonic()
        self._made: deque[float] = deque()

    @property
    def iterators(self) -> int:
        """Iterators that the endpoint may still hold."""
        oldest_s = self._monotonic() - self._pace.iterator_life_s
        while self._made and self._made[0] < oldest_s:
            self._made.popleft()
        return len(self._made)

    def read(self, iterators: int) -> None:
        """A read begins that makes so many iterators."""
        self._made.extend([self._monotonic()] * iterators)

    def have_records(self) -> bool:
        """Some shard had records; True when all was cold before, so that every shard is due at once."""
        was_cold = self._quiet_s() > self._pace.warm_for_s
        self._last_record_s = self._monotonic()
        return was_cold

    def delay_s(self, shards: int) -> float:
        """Seconds to the next read of a shard that had nothing more to give, when ``shards`` are read in all."""
        pace, quiet_s = self._pace, self._quiet_s()
        delay_s = pace.hot_s if quiet_s <= pace.hot_for_s else pace.warm_s
        if quiet_s > pace.warm_for_s:
            delay_s = pace.cold_s
        if self.iterators >= pace.most_iterators:
            delay_s = max(delay_s, shards * pace.iterator_life_s / pace.most_iterators)
        return delay_s

    def _quiet_s(self) -> float:
        return self._monotonic() - self._last_record_s
