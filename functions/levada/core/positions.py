"""Positions: shard tokens, sequence numbers, and the fences that remember what has been applied.

A stream record's position is ordered (shard, sequence number), so its fence is a high-water mark.
A pack's position is ``(source, n)`` with n = 0, 1, 2 … per source, so its fence is a set of intervals: it survives
reordering and resends. So is the fence of rows between two stages: it survives a record that was given up, too.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from levada.core.intervals import Intervals, IntervalSet

SEQUENCE_DIGITS = 56
"""AWS's sequence numbers have 56 digits, other engines' fewer; names are padded so that they sort."""

_SHARD_ID = re.compile(r"shardId-(\d{1,12})")
_TOKEN = re.compile(r"([0-9a-f]{8,})-(\d{12})")


@dataclass(frozen=True, slots=True, order=True)
class ShardToken:
    """A shard of one incarnation of a stream; ``str()`` is its name in keys and rows.

    A stream that was deleted and made again is another stream: its creation time tells them apart.
    """

    created_s: int
    """When the stream was created: whole seconds since 1970-01-01 UTC."""
    number: int

    def __str__(self) -> str:
        return f"{self.created_s:08x}-{self.number:012d}"

    @classmethod
    def of(cls, created_s: int, shard_id: str) -> ShardToken:
        """Raises ValueError when shard_id is not of the form ``shardId-000000000000``."""
        match = _SHARD_ID.fullmatch(shard_id)
        if not match:
            raise ValueError(f"shard id {shard_id!r}: must look like shardId-000000000000")
        return cls(created_s, int(match[1]))

    @classmethod
    def parse(cls, text: str) -> ShardToken:
        """The inverse of ``str()``; raises ValueError."""
        match = _TOKEN.fullmatch(text)
        if not match:
            raise ValueError(f"shard token {text!r}: must look like 65f1c2a0-000000000000")
        return cls(int(match[1], 16), int(match[2]))


def pad_sequence(sequence: str | int) -> str:
    """A sequence number as it stands in names and rows: 56 digits, so that text order is number order."""
    return f"{int(sequence):0{SEQUENCE_DIGITS}d}"


class PackFences:
    """Which packs have been applied: source → the set of their positions, each below 2**63."""

    __slots__ = ("_intervals",)

    def __init__(self) -> None:
        self._intervals = Intervals(number_bytes=8)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PackFences) and self._intervals == other._intervals

    __hash__ = None  # type: ignore[assignment]  # mutable

    def apply(self, source: str, n: int, now_s: int) -> bool:
        """Mark (source, n) as applied; False when it was applied before."""
        return self._intervals.add(source, n, n + 1, now_s)

    def applied(self, source: str) -> IntervalSet:
        """What has been applied of this source."""
        return self._intervals.get(source)

    def inherit(self, other: PackFences) -> None:
        """Take over another shard's fences (a parent after a reshard): the union of both."""
        self._intervals.inherit(other._intervals)

    def expire(self, before_s: int) -> None:
        """Forget sources that nothing has touched since before_s, at last an hour later."""
        self._intervals.expire(before_s)

    def to_bytes(self) -> bytes:
        return self._intervals.to_bytes()

    @classmethod
    def from_bytes(cls, data: bytes) -> PackFences:
        """Raises ConfigError when data is not what ``to_bytes`` gave."""
        new = cls()
        new._intervals.restore(data)
        return new


Position = tuple[str, int]
"""(padded sequence number, row of that record)."""
START: Position = ("", -1)
"""Before every row of a lane."""


def position(sequence: str | int, row: int) -> Position:
    """Raises ValueError or TypeError for what is no position: nothing that another process sent is one at its word."""
    if (sequence, row) == START:
        return START
    if not 0 <= int(sequence) < 10**SEQUENCE_DIGITS:
        raise ValueError(f"sequence number {sequence!r}: must have at most {SEQUENCE_DIGITS} digits")
    if not -1 <= row < _ROWS - 1:
        raise ValueError(f"row {row!r}: must be -1 to {_ROWS - 2}")
    return pad_sequence(sequence), int(row)


def _number(at: Position) -> int:
    """Positions as numbers, in their order."""
    sequence, row = at
    return (int(sequence) + 1) * _ROWS + row + 1 if sequence else 0


def _position(number: int) -> Position:
    sequence, row = divmod(number, _ROWS)
    return (pad_sequence(sequence - 1), row - 1) if sequence else START


_ROWS = 1 << 32


class RowFences:
    """Which rows of each upstream lane have been applied: lane → stretches ``(after, until]`` of positions.

    A record says what it holds: all rows of its lane behind ``after``, up to ``until``. One lane's records come in
    order or again, and so make one stretch; one that was given up leaves a gap, and is still new when it comes at last.
    """

    __slots__ = ("_intervals",)

    def __init__(self) -> None:
        self._intervals = Intervals(number_bytes=28)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RowFences) and self._intervals == other._intervals

    __hash__ = None  # type: ignore[assignment]  # mutable

    def applied(self, lane: str) -> list[tuple[Position, Position]]:
        """The stretches (after, until) that have been applied of the lane, in order."""
        spans = self._intervals.get(lane).spans()
        return [(_position(start - 1), _position(end - 1)) for start, end in spans]

    def end(self, lane: str) -> Position:
        """The last applied position of the lane; ``START`` when there is none."""
        return max((until for _, until in self.applied(lane)), default=START)

    def seen(self, lane: str, after: Position, until: Position) -> list[tuple[Position, Position]]:
        """Those that overlap this one."""
        low, high = _number(after) + 1, _number(until) + 1
        spans = self._intervals.get(lane).spans()
        return [(_position(start - 1), _position(end - 1)) for start, end in spans if start < high and low < end]

    def add(self, lane: str, after: Position, until: Position, now_s: int) -> None:
        """Mark the rows behind after, up to until, as applied; after < until."""
        self._intervals.add(lane, _number(after) + 1, _number(until) + 1, now_s)

    def inherit(self, other: RowFences) -> None:
        self._intervals.inherit(other._intervals)

    def behind(self, others: Iterable[RowFences], since_s: int) -> int:
        """How many lanes, touched since then, end behind the last position that any of these others has."""
        reached: dict[bytes, int] = {}
        for other in others:
            for lane, _, end in other._intervals.ends():
                reached[lane] = max(end, reached.get(lane, 0))
        return sum(end > reached.get(lane, 0) for lane, at_s, end in self._intervals.ends() if at_s >= since_s)

    def expire(self, before_s: int) -> None:
        """Forget lanes that nothing has touched since before_s, at last an hour later."""
        self._intervals.expire(before_s)

    def to_bytes(self) -> bytes:
        return self._intervals.to_bytes()

    @classmethod
    def from_bytes(cls, data: bytes) -> RowFences:
        """Raises ConfigError when data is not what ``to_bytes`` gave."""
        new = cls()
        new._intervals.restore(data)
        return new
