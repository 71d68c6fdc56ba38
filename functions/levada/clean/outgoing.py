"""Canonical rows on their way to the clean stream: one ordered lane per tenant and bucket of the series key."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc

from levada.clean.shapes import Origin, Part
from levada.core import columns, packs
from levada.core.packs import ARROW_ZSTD, MAX_PACK_BYTES, Header, lane_of, partition_key
from levada.core.positions import Position, RowFences, ShardToken
from levada.ports import Entry

MAX_ROWS = 40_000
"""Canonical rows in one record; about 10 bytes each when compressed."""
SEPARATOR = "\x1f"


Place = tuple[int, int]
"""Record of the batch, by index, and source row of it."""


@dataclass(frozen=True, slots=True)
class Chain:
    """Where the last record of each lane ended: the next one holds all rows behind that."""

    lanes: RowFences
    now_s: int
    moved: dict[str, Position] = field(default_factory=dict)
    """Ends that are not in ``lanes`` yet."""

    def end(self, lane: str) -> Position:
        return self.moved.get(lane) or self.lanes.end(lane)

    def move(self, lane: str, until: Position) -> None:
        self.moved[lane] = until

    def forget(self) -> None:
        """All moves since the last ``keep``."""
        self.moved.clear()

    def keep(self) -> None:
        for lane, until in self.moved.items():
            self.lanes.add(lane, self.lanes.end(lane), until, self.now_s)
        self.moved.clear()


def entries(
    part: Part, token: ShardToken, origin: Origin, chain: Chain, too_large: dict[Place, str]
) -> Iterator[Entry]:
    """The records to publish, each lane's in the order of the raw stream, no source row cut in two; moves the chain.

    Rows that no record holds, each by itself, are left out and put into ``too_large``: where they stand, and why.
    """
    if not part.rows.num_rows:
        return
    step = max(1, MAX_ROWS // max(1, part.per_row))
    for tenant, lane, rows in _lanes(part, origin):
        for some in _cut(rows, step):
            yield from _encode(part, some, token, origin, (tenant, lane), chain, too_large)


def lane_name(token: str, domain: str, tenant: str, lane: int, *, event: bool = False) -> str:
    """What the next stage's fence knows this lane by: rows in it come in the order of the raw stream."""
    return f"{token}#{domain}#{tenant}#{'e' if event else ''}{lane:02d}"


def _lanes(part: Part, origin: Origin) -> Iterator[tuple[str, int, pa.Table]]:
    rows = part.rows
    tenants = pa.array(origin.tenants, pa.string()).take(rows["rec"].combine_chunks())
    parts = [rows[name].cast(pa.string()).combine_chunks() for name in part.lane_parts]
    names = pc.binary_join_element_wise(tenants, *parts, SEPARATOR).dictionary_encode()
    groups: dict[tuple[str, int], list[int]] = {}
    for code, name in enumerate(names.dictionary.to_pylist()):
        tenant = name.partition(SEPARATOR)[0]
        groups.setdefault((tenant, lane_of(f"{part.domain.name}{SEPARATOR}{name}")), []).append(code)
    if len(groups) == 1:
        yield *next(iter(groups)), rows
        return
    for (tenant, lane), codes in groups.items():
        yield tenant, lane, rows.filter(pc.is_in(names.indices, pa.array(codes, names.indices.type)))


def _cut(rows: pa.Table, step: int) -> Iterator[pa.Table]:
    """Pieces of ``step`` rows, or more where a source row would be cut in two."""
    start = 0
    while start < rows.num_rows:
        end = _boundary(rows, start, min(rows.num_rows, start + step))
        yield rows.slice(start, end - start)
        start = end


def _boundary(rows: pa.Table, start: int, at: int) -> int:
    """The last place from start + 1 to ``at`` where a source row begins, else the first one behind."""
    n: int = rows.num_rows
    ends = (*range(at, start, -1), *range(at + 1, n)) if at < n else ()
    end: int
    for end in ends:
        if any(rows[name][end - 1].as_py() != rows[name][end].as_py() for name in ("row", "rec")):
            return end
    return n


def _encode(
    part: Part,
    rows: pa.Table,
    token: ShardToken,
    origin: Origin,
    where: tuple[str, int],
    chain: Chain,
    too_large: dict[Place, str],
) -> Iterator[Entry]:
    tenant, lane = where
    table, last = part.canonical(rows, origin), _at(rows, rows.num_rows - 1, origin)
    name = lane_name(str(token), part.domain.name, tenant, lane, event=part.is_event)
    extra: dict[str, object] = {"after": chain.end(name), "first": _at(rows, 0, origin), "last": last}
    header = Header(
        domain=part.domain.name,
        tenant=tenant,
        source=name,
        position=0,
        count=table.num_rows,
        codec=ARROW_ZSTD,
        extra=extra | ({"kind": "event"} if part.is_event else {}),
    )
    data = packs.encode(header, columns.to_bytes(table))
    if len(data) <= MAX_PACK_BYTES:
        chain.move(name, last)
        yield Entry(partition_key(lane), data)
        return
    half = _boundary(rows, 0, max(1, rows.num_rows // 2))
    if half == rows.num_rows:
        place = rows["rec"][0].as_py(), rows["row"][0].as_py()
        too_large[place] = f"makes a record of {len(data)} bytes: at most {MAX_PACK_BYTES}"
        return
    yield from _encode(part, rows.slice(0, half), token, origin, where, chain, too_large)
    yield from _encode(part, rows.slice(half), token, origin, where, chain, too_large)


def _at(rows: pa.Table, i: int, origin: Origin) -> Position:
    return origin.sequences[rows["rec"][i].as_py()], rows["row"][i].as_py()
