"""Canonical rows on their way to the clean stream: one ordered lane per tenant and bucket of the series key."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from levada.clean.normalise import Origin, Wide, melt
from levada.core import columns, packs
from levada.core.packs import ARROW_ZSTD, MAX_PACK_BYTES, Header, lane_of, partition_key
from levada.core.positions import Position, RowFences, ShardToken
from levada.ports import Entry

MAX_ROWS = 40_000
"""Canonical rows in one record; about 10 bytes each when compressed."""
SEPARATOR = "\x1f"


@dataclass(frozen=True, slots=True)
class Chain:
    """Where the last record of each lane ended: the next one holds all rows behind that."""

    lanes: RowFences
    now_s: int

    def end(self, lane: str) -> Position:
        return self.lanes.end(lane)

    def move(self, lane: str, until: Position) -> None:
        self.lanes.add(lane, self.lanes.end(lane), until, self.now_s)


def entries(wide: Wide, token: ShardToken, origin: Origin, chain: Chain) -> Iterator[Entry]:
    """The records to publish, each lane's in the order of the raw stream; moves the chain on."""
    if not wide.rows.num_rows:
        return
    step = max(1, MAX_ROWS // max(1, len(wide.domain.metrics)))
    for tenant, lane, rows in _lanes(wide, origin):
        for start in range(0, rows.num_rows, step):
            yield from _encode(wide, rows.slice(start, step), token, origin, tenant, lane, chain)


def lane_name(token: str, domain: str, tenant: str, lane: int) -> str:
    """What the next stage's fence knows this lane by: rows in it come in the order of the raw stream."""
    return f"{token}#{domain}#{tenant}#{lane:02d}"


def _lanes(wide: Wide, origin: Origin) -> Iterator[tuple[str, int, pa.Table]]:
    rows = wide.rows
    tenants = pa.array(origin.tenants, pa.string()).take(rows["rec"].combine_chunks())
    parts = [rows[name].cast(pa.string()).combine_chunks() for name in ("site", "unit", "series")]
    names = pc.binary_join_element_wise(tenants, *parts, SEPARATOR).dictionary_encode()
    groups: dict[tuple[str, int], list[int]] = {}
    for code, name in enumerate(names.dictionary.to_pylist()):
        tenant = name.partition(SEPARATOR)[0]
        groups.setdefault((tenant, lane_of(f"{wide.domain.name}{SEPARATOR}{name}")), []).append(code)
    if len(groups) == 1:
        yield *next(iter(groups)), rows
        return
    for (tenant, lane), codes in groups.items():
        yield tenant, lane, rows.filter(pc.is_in(names.indices, pa.array(codes, names.indices.type)))


def _encode(
    wide: Wide, rows: pa.Table, token: ShardToken, origin: Origin, tenant: str, lane: int, chain: Chain
) -> Iterator[Entry]:
    table = melt(wide, rows, origin)
    name, last = lane_name(str(token), wide.domain.name, tenant, lane), _at(rows, rows.num_rows - 1, origin)
    header = Header(
        domain=wide.domain.name,
        tenant=tenant,
        source=name,
        position=0,
        count=table.num_rows,
        codec=ARROW_ZSTD,
        extra={"after": chain.end(name), "first": _at(rows, 0, origin), "last": last},
    )
    data = packs.encode(header, columns.to_bytes(table))
    if len(data) <= MAX_PACK_BYTES:
        chain.move(name, last)
        yield Entry(partition_key(lane), data)
        return
    half = rows.num_rows // 2
    if not half:
        raise ValueError(f"one row of {wide.domain.name} makes a record of {len(data)} bytes: at most {MAX_PACK_BYTES}")
    yield from _encode(wide, rows.slice(0, half), token, origin, tenant, lane, chain)
    yield from _encode(wide, rows.slice(half), token, origin, tenant, lane, chain)


def _at(rows: pa.Table, i: int, origin: Origin) -> Position:
    return origin.sequences[rows["rec"][i].as_py()], rows["row"][i].as_py()
