"""Sets of whole numbers as intervals, and thousands of them by name in one bytes object."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from operator import itemgetter
from struct import Struct

from levada.core import fixed
from levada.core.errors import ConfigError


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
    def restored(cls, spans: Iterable[Iterable[int]]) -> IntervalSet:
        """What ``spans`` gave, taken at its word."""
        new = cls()
        new._spans = [(start, end) for start, end in spans]
        return new

    def spans(self) -> list[list[int]]:
        """JSON form: ``[[start, end], …]`` in order."""
        return [[s, e] for s, e in self._spans]


EXPIRY_STEP_S = 3600
"""Names expire by the hour: then most batches need not look whether one has."""
_HEAD = Struct(">I")
_NEVER = 0xFFFFFFFF


class Intervals:
    """Interval sets by name, each with the time when it was last touched.

    Kept as bytes: ``<bound on the oldest time, uint32>`` and one record ``<digest of the name, 16 bytes><touched,
    uint32, seconds><start><end>`` per interval, ascending. A batch reads and writes the names that it touches only.
    """

    __slots__ = ("_changed", "_oldest_s", "_record", "_records", "_size")

    def __init__(self, *, number_bytes: int) -> None:
        """number_bytes: of a start or an end."""
        self._size = number_bytes
        self._record = Struct(f">{fixed.DIGEST_BYTES}sI{number_bytes}s{number_bytes}s")
        self._records = b""
        self._changed: dict[bytes, tuple[IntervalSet, int]] = {}
        """Digest → what differs from the records since they were read."""
        self._oldest_s = _NEVER
        """Nothing was touched before this, seconds."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Intervals) and self._folded() == other._folded()

    __hash__ = None  # type: ignore[assignment]  # mutable

    def get(self, name: str) -> IntervalSet:
        """A copy."""
        return IntervalSet.restored(self._get(fixed.digest(name))[0].spans())

    def add(self, name: str, start: int, end: int, now_s: int) -> bool:
        """Add ``[start, end)``; False when all of it was there already."""
        key = fixed.digest(name)
        numbers, touched_s = self._get(key)
        added = numbers.add(start, end)
        self._changed[key] = numbers, max(now_s, touched_s)
        self._oldest_s = min(self._oldest_s, now_s)
        return added

    def inherit(self, other: Intervals) -> None:
        """Become the union of both."""
        self._oldest_s = min(self._oldest_s, other._oldest_s)
        theirs = other._folded()
        if not self._records and not self._changed:
            self._records = theirs
            return
        for key, touched_s, start, end in self._read(theirs):
            numbers, when_s = self._get(key)
            numbers.add(start, end)
            self._changed[key] = numbers, max(touched_s, when_s)

    def expire(self, before_s: int) -> None:
        """Forget names that nothing has touched since before_s, at last an hour later."""
        before_s -= before_s % EXPIRY_STEP_S
        if self._oldest_s >= before_s:
            return
        kept = [record for record in self._record.iter_unpack(self._folded()) if record[1] >= before_s]
        self._records = b"".join(self._record.pack(*record) for record in kept)
        self._oldest_s = min((record[1] for record in kept), default=_NEVER)

    def ends(self) -> Iterator[tuple[bytes, int, int]]:
        """(digest of the name, when it was touched, end) of every interval."""
        for key, touched_s, _, end in self._read(self._folded()):
            yield key, touched_s, end

    def to_bytes(self) -> bytes:
        return _HEAD.pack(self._oldest_s) + self._folded()

    def restore(self, data: bytes) -> None:
        """Become what ``to_bytes`` gave. Raises ConfigError when it did not give that."""
        body = len(data) - _HEAD.size
        if body < 0 or body % self._record.size:
            raise ConfigError(f"fences of {len(data)} bytes: must be {_HEAD.size} and {self._record.size} per interval")
        (self._oldest_s,) = _HEAD.unpack_from(data)
        self._records, self._changed = data[_HEAD.size :], {}

    def _read(self, records: bytes) -> Iterator[tuple[bytes, int, int, int]]:
        for key, touched_s, start, end in self._record.iter_unpack(records):
            yield key, touched_s, int.from_bytes(start), int.from_bytes(end)

    def _get(self, key: bytes) -> tuple[IntervalSet, int]:
        """(numbers, touched); empty and 0 when the name is not known."""
        if (known := self._changed.get(key)) is not None:
            return known
        start, end = fixed.find(self._records, self._record.size, key)
        found = list(self._read(self._records[start:end]))
        return IntervalSet.restored((first, behind) for _, _, first, behind in found), found[0][1] if found else 0

    def _folded(self) -> bytes:
        """The records with the changes, which are none from then on."""
        if self._changed:
            changes = {key: self._packed(key, *changed) for key, changed in self._changed.items()}
            self._records = fixed.spliced(self._records, self._record.size, changes)
            self._changed = {}
        return self._records

    def _packed(self, key: bytes, numbers: IntervalSet, touched_s: int) -> bytes:
        pack, size = self._record.pack, self._size
        return b"".join(pack(key, touched_s, a.to_bytes(size), e.to_bytes(size)) for a, e in numbers.spans())
