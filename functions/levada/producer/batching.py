"""Events that wait to be packed, by lane, and the packs that are made of them. Standard library and msgspec."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from operator import attrgetter, itemgetter
from typing import Any

import msgspec

from levada.core import packs
from levada.core.packs import MAX_PACK_BYTES, NDJSON_GZIP, NDJSON_ZSTD, Header, partition_key
from levada.domains.declaration import Domain
from levada.ingest.lanes import UNREADABLE, lane_columns, lane_of_item
from levada.ports import Entry
from levada.producer.spool import Pack

MAX_BODY_BYTES = MAX_PACK_BYTES - packs.MAX_HEADER_BYTES
KNOWN_KEYS = 65_536
"""Lanes that are remembered by key, at most."""


def light_codec() -> str:
    """zstd where it is installed, else the gzip of the standard library."""
    return NDJSON_ZSTD if find_spec("zstandard") else NDJSON_GZIP


class Lanes:
    """Which lane an event goes to: that of its series, remembered by the texts of its key columns."""

    def __init__(self, domain: Domain, tenant: str) -> None:
        self._domain, self._tenant = domain, tenant
        self._columns = lane_columns(domain)
        self._known: dict[Any, int] = {}
        """Only all-text keys are in it, so that no other value finds one."""
        self._key: Callable[[Mapping[str, Any]], Any] = itemgetter(*self._columns) if self._columns else _no_key
        self._keys = msgspec.json.Decoder(
            msgspec.defstruct(
                "Keys",
                [(f"f{i}", Any, None) for i in range(len(self._columns))],
                rename={f"f{i}": name for i, name in enumerate(self._columns)},
            )
        )
        names = [f"f{i}" for i in range(len(self._columns))]
        self._fields: Callable[[Any], Any] = attrgetter(*names) if names else _no_key

    def of(self, item: Mapping[str, Any]) -> int:
        """The lane of one event."""
        try:
            lane = self._known.get(self._key(item))
        except (KeyError, TypeError):  # a key is missing, or no text
            lane = None
        return self._asked(item) if lane is None else lane

    def of_all(self, items: Sequence[Mapping[str, Any]]) -> list[int]:
        """The lane of each."""
        try:
            found = list(map(self._known.get, map(self._key, items)))
        except (KeyError, TypeError):
            return list(map(self.of, items))
        return [self._asked(item) if lane is None else lane for lane, item in zip(found, items, strict=True)]

    def _asked(self, item: Mapping[str, Any]) -> int:
        lane = lane_of_item(item, self._domain, self._tenant)
        # texts only: 1, 1.0 and True are one key of a dict, and three series
        if all(type(item.get(name)) is str for name in self._columns):
            if len(self._known) >= KNOWN_KEYS:
                self._known.clear()
            self._known[self._key(item)] = lane
        return lane

    def of_line(self, line: bytes) -> int:
        """The lane of one JSON text; what cannot be read has a lane of its own, and ``clean`` says what is wrong."""
        try:
            found = self._keys.decode(line)
            lane = self._known.get(self._fields(found))
        except (msgspec.DecodeError, UnicodeDecodeError):
            return UNREADABLE
        except TypeError:  # a key that is an object or an array
            lane = None
        if lane is None:
            lane = self._asked({name: getattr(found, f"f{i}") for i, name in enumerate(self._columns)})
        return lane


def _no_key(_: object) -> tuple[()]:
    return ()


@dataclass(slots=True)
class Buffer:
    """JSON texts by lane, in the order in which they came."""

    lines: dict[int, list[bytes]] = field(default_factory=dict)
    rows: int = 0
    size: int = 0
    """Of all texts, bytes."""
    since_s: float = 0.0
    """When the first of them came."""

    def add(self, lane: int, line: bytes, now_s: float) -> None:
        if not self.rows:
            self.since_s = now_s
        mine = self.lines.get(lane)
        if mine is None:
            self.lines[lane] = [line]
        else:
            mine.append(line)
        self.rows += 1
        self.size += len(line)

    def add_all(self, lanes: Sequence[int], lines: Sequence[bytes], now_s: float) -> None:
        """``add`` each."""
        if not self.rows:
            self.since_s = now_s
        for lane in set(lanes) - self.lines.keys():
            self.lines[lane] = []
        mine = self.lines
        for lane, line in zip(lanes, lines, strict=True):
            mine[lane].append(line)
        self.rows += len(lines)
        self.size += sum(map(len, lines))

    def clear(self) -> None:
        self.lines, self.rows, self.size = {}, 0, 0


@dataclass(slots=True, kw_only=True)
class Maker:
    """Makes packs with the positions that come next; they count only once the spool has taken them."""

    domain: str
    tenant: str
    session: str
    position: Callable[[int], int]
    """Lane → position of its next pack."""
    made: list[Pack] = field(default_factory=list)
    _next: dict[int, int] = field(default_factory=dict)

    def add(self, lane: int, rows: int, codec: str, body: bytes) -> None:
        n = self._next.get(lane)
        n = self.position(lane) if n is None else n
        self._next[lane] = n + 1
        header = Header(
            domain=self.domain,
            tenant=self.tenant,
            source=f"producer/{self.domain}/{self.tenant}/{self.session}#{lane:02d}",
            position=n,
            count=rows,
            codec=codec,
        )
        self.made.append(Pack(lane, n, rows, Entry(partition_key(lane), packs.encode(header, body))))

    def add_lines(self, buffer: Buffer, pack_rows: int, codec: str) -> None:
        for lane, lines in sorted(buffer.lines.items()):
            for start in range(0, len(lines), pack_rows):
                for n, body in bodies(lines[start : start + pack_rows], codec):
                    self.add(lane, n, codec, body)


def bodies(lines: Sequence[bytes], codec: str) -> Iterator[tuple[int, bytes]]:
    """(lines in it, body) of as many packs as they need; no line alone is too long (``check_line``)."""
    body = packs.compress(b"\n".join(lines) + b"\n", codec)
    if len(body) <= MAX_BODY_BYTES or len(lines) == 1:
        yield len(lines), body
        return
    half = len(lines) // 2
    yield from bodies(lines[:half], codec)
    yield from bodies(lines[half:], codec)


def check_line(line: bytes) -> bytes:
    """Raises ValueError for a line that no pack can hold, whatever it compresses to, or that is several."""
    if len(line) > MAX_LINE_BYTES:
        raise ValueError(f"event of {len(line)} bytes: at most {MAX_LINE_BYTES}")
    return line


MAX_LINE_BYTES = MAX_BODY_BYTES - 65_536
"""What a codec adds to bytes that cannot be compressed is far less than the difference."""
