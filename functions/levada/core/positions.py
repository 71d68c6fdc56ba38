"""Positions: shard tokens, sequence numbers, and the fences that remember what has been applied.

A stream record's position is ordered (shard, sequence number), so its fence is a high-water mark.
A pack's position is ``(source, n)`` with n = 0, 1, 2 … per source, so its fence is a set of intervals:
it survives reordering and resends.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

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
        return any(start <= n < end for start, end in self._spans)

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
        if any(s <= start and end <= e for s, e in self._spans):
            return False
        touching = [(s, e) for s, e in self._spans if s <= end and start <= e]
        apart = [(s, e) for s, e in self._spans if not (s <= end and start <= e)]
        merged = (min([start, *(s for s, _ in touching)]), max([end, *(e for _, e in touching)]))
        self._spans = sorted([*apart, merged])
        return True

    def update(self, other: IntervalSet) -> None:
        for start, end in other._spans:
            self.add(start, end)

    @classmethod
    def restored(cls, spans: Iterable[Iterable[int]]) -> IntervalSet:
        """What ``spans`` gave, taken at its word: a checkpoint holds thousands of sets, all read at each batch."""
        new = cls()
        new._spans = [(start, end) for start, end in spans]
        return new

    def spans(self) -> list[list[int]]:
        """JSON form: ``[[start, end], …]`` in order."""
        return [[s, e] for s, e in self._spans]


@dataclass(slots=True)
class PackFences:
    """Which packs have been applied: source → interval set, each with the time it was last touched."""

    sets: dict[str, IntervalSet] = field(default_factory=dict)
    touched_s: dict[str, int] = field(default_factory=dict)

    def apply(self, source: str, n: int, now_s: int) -> bool:
        """Mark (source, n) as applied; False when it was applied before."""
        self.touched_s[source] = max(now_s, self.touched_s.get(source, 0))
        return self.sets.setdefault(source, IntervalSet()).add(n)

    def inherit(self, other: PackFences) -> None:
        """Take over another shard's fences (a parent after a reshard): the union of both."""
        for source, spans in other.sets.items():
            self.sets.setdefault(source, IntervalSet()).update(spans)
            self.touched_s[source] = max(self.touched_s.get(source, 0), other.touched_s.get(source, 0))

    def expire(self, before_s: int) -> None:
        """Forget sources that nothing has touched since before_s."""
        for source in [s for s, t in self.touched_s.items() if t < before_s]:
            del self.sets[source], self.touched_s[source]

    def to_json(self) -> dict[str, list[object]]:
        return {s: [self.touched_s[s], spans.spans()] for s, spans in sorted(self.sets.items())}

    @classmethod
    def from_json(cls, raw: dict[str, list[object]]) -> PackFences:
        fences = cls()
        for source, (touched, spans) in raw.items():
            fences.sets[source] = IntervalSet.restored(spans)  # type: ignore[arg-type]  # as to_json wrote it
            fences.touched_s[source] = int(touched)  # type: ignore[call-overload]
        return fences


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
