"""Positions: shard tokens, sequence numbers, and the fences that remember what has been applied.

A stream record's position is ordered (shard, sequence number), so its fence is a high-water mark.
A pack's position is ``(source, n)`` with n = 0, 1, 2 … per source, so its fence is a set of intervals:
it survives reordering and resends.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from dataclasses import dataclass, field
from operator import itemgetter
from struct import Struct

from levada.core import fixed
from levada.core.errors import ConfigError

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


class IntervalSet:
    """A set of whole numbers >= 0 kept as sorted, disjoint, non-adjacent ``[start, end)`` intervals."""

    __slots__ = ("_spans",)

    def __init__(self, spans: Iterable[Iterable[int]] = ()) -> None:
        self._spans: list[tuple[int, int]] = []
        for start, end in spans:
            self.add(start, end)

    def __contains__(self, n: int) -> bool:
        at = bisect_right(self._spans, n, key=itemgetter(0)) - 1
        return at >= 0 and n < self._spans[at][1]

    def __len__(self) -> int:
        return sum(end - start for start, end in self._spans)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, IntervalSet) and self._spans == other._spans

    def __repr__(self) -> str:
        return f"IntervalSet({self._spans})"

    __hash__ = None  # type: ignore[assignment]  # mutable

    def add(self, start: int, end: int | None = None) -> bool:
        """Add ``[start, end)`` (one number without end); False when all of it was there already."""
        end = start + 1 if end is None else end
        if start < 0 or end <= start:
            raise ValueError(f"interval [{start}, {end}): must be 0 <= start < end")
        spans = self._spans
        low = bisect_left(spans, start, key=itemgetter(1))
        high = bisect_right(spans, end, lo=low, key=itemgetter(0))
        if low < high:  # these overlap it or stand beside it
            if spans[low][0] <= start and end <= spans[low][1]:
                return False
            start, end = min(start, spans[low][0]), max(end, spans[high - 1][1])
        spans[low:high] = [(start, end)]
        return True

    def update(self, other: IntervalSet) -> None:
        for start, end in other._spans:
            self.add(start, end)

    @classmethod
    def restored(cls, spans: Iterable[tuple[int, int]]) -> IntervalSet:
        """What ``spans`` gave, taken at its word."""
        new = cls()
        new._spans = list(spans)
        return new

    def spans(self) -> list[list[int]]:
        """JSON form: ``[[start, end], …]`` in order."""
        return [[s, e] for s, e in self._spans]


EXPIRY_STEP_S = 3600
"""Fences expire by the hour: then most batches need not look whether one has."""


class PackFences:
    """Which packs have been applied: source → interval set, each with the time it was last touched.

    Kept as bytes: ``<bound on the oldest time, uint32>`` and one record ``<digest of the source, 16 bytes><touched,
    uint32, seconds><start, uint64><end, uint64>`` per interval, ascending. A batch reads and writes its own sources.
    """

    __slots__ = ("_changed", "_oldest_s", "_records")

    _HEAD = Struct(">I")
    _RECORD = Struct(">16sIQQ")
    _NEVER = 0xFFFFFFFF

    def __init__(self) -> None:
        self._records = b""
        self._changed: dict[bytes, tuple[IntervalSet, int]] = {}
        """Digest → what differs from the records since they were read."""
        self._oldest_s = self._NEVER
        """No fence was touched before this, seconds."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PackFences) and self._folded() == other._folded()

    __hash__ = None  # type: ignore[assignment]  # mutable

    def __len__(self) -> int:
        """How many intervals: at least one per source."""
        return len(self._folded()) // self._RECORD.size

    def apply(self, source: str, n: int, now_s: int) -> bool:
        """Mark (source, n) as applied, n < 2**63; False when it was applied before."""
        key = fixed.digest(source)
        applied, touched_s = self._get(key)
        self._changed[key] = applied, max(now_s, touched_s)
        self._oldest_s = min(self._oldest_s, now_s)
        return applied.add(n)

    def applied(self, source: str) -> IntervalSet:
        """A copy of what has been applied of this source."""
        return IntervalSet.restored(self._get(fixed.digest(source))[0]._spans)

    def inherit(self, other: PackFences) -> None:
        """Take over another shard's fences (a parent after a reshard): the union of both."""
        self._oldest_s = min(self._oldest_s, other._oldest_s)
        theirs = other._folded()
        if not self._records and not self._changed:
            self._records = theirs
            return
        for key, touched_s, start, end in self._RECORD.iter_unpack(theirs):
            mine, when_s = self._get(key)
            mine.add(start, end)
            self._changed[key] = mine, max(touched_s, when_s)

    def expire(self, before_s: int) -> None:
        """Forget sources that nothing has touched since before_s, at last an hour later."""
        before_s -= before_s % EXPIRY_STEP_S
        if self._oldest_s >= before_s:
            return
        kept = [record for record in self._RECORD.iter_unpack(self._folded()) if record[1] >= before_s]
        self._records = b"".join(self._RECORD.pack(*record) for record in kept)
        self._oldest_s = min((record[1] for record in kept), default=self._NEVER)

    def to_bytes(self) -> bytes:
        return self._HEAD.pack(self._oldest_s) + self._folded()

    @classmethod
    def from_bytes(cls, data: bytes) -> PackFences:
        """Raises ConfigError when data is not what ``to_bytes`` gave."""
        body = len(data) - cls._HEAD.size
        if body < 0 or body % cls._RECORD.size:
            raise ConfigError(f"pack fences of {len(data)} bytes: must be 4 and {cls._RECORD.size} for each interval")
        fences = cls()
        (fences._oldest_s,) = cls._HEAD.unpack_from(data)
        fences._records = data[cls._HEAD.size :]
        return fences

    def _get(self, key: bytes) -> tuple[IntervalSet, int]:
        """(applied, touched) of a source; empty and 0 when it is not known."""
        if (known := self._changed.get(key)) is not None:
            return known
        start, end = fixed.find(self._records, self._RECORD.size, key)
        found = list(self._RECORD.iter_unpack(self._records[start:end]))
        return IntervalSet.restored((first, behind) for _, _, first, behind in found), found[0][1] if found else 0

    def _folded(self) -> bytes:
        """The records with the changes, which are none from then on."""
        if self._changed:
            pack = self._RECORD.pack
            changes = {
                key: b"".join(pack(key, touched_s, start, end) for start, end in applied._spans)
                for key, (applied, touched_s) in self._changed.items()
            }
            self._records = fixed.spliced(self._records, self._RECORD.size, changes)
            self._changed = {}
        return self._records


@dataclass(slots=True)
class RowFences:
    """How far rows of each upstream lane have been applied: ``<raw token>#<lane>`` → (sequence, row).

    Rows of one lane arrive in the order of the raw stream, or again; never ahead of a gap. So a high-water
    mark is enough, and it compares as text because sequence numbers are padded.
    """

    marks: dict[str, tuple[str, int]] = field(default_factory=dict)
    touched_s: dict[str, int] = field(default_factory=dict)

    def mark(self, lane: str) -> tuple[str, int]:
        """The last applied (padded sequence number, row) of the lane; ("", -1) when there is none."""
        return self.marks.get(lane, ("", -1))

    def advance(self, lane: str, to: tuple[str, int], now_s: int) -> None:
        self.marks[lane] = max(to, self.mark(lane))
        self.touched_s[lane] = max(now_s, self.touched_s.get(lane, 0))

    def inherit(self, other: RowFences) -> None:
        for lane, mark in other.marks.items():
            self.advance(lane, mark, other.touched_s.get(lane, 0))

    def expire(self, before_s: int) -> None:
        for lane in [name for name, t in self.touched_s.items() if t < before_s]:
            del self.marks[lane], self.touched_s[lane]

    def to_json(self) -> dict[str, list[object]]:
        return {lane: [self.touched_s[lane], *mark] for lane, mark in sorted(self.marks.items())}

    @classmethod
    def from_json(cls, raw: dict[str, list[object]]) -> RowFences:
        fences = cls()
        for lane, (touched, sequence, row) in raw.items():
            fences.marks[lane] = (str(sequence), int(row))  # type: ignore[call-overload]  # as to_json wrote it
            fences.touched_s[lane] = int(touched)  # type: ignore[call-overload]
        return fences
