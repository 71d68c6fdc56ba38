"""Parts of a file to packs: rows by lane, each lane's packs numbered 0, 1, 2 … over the whole file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from levada.clean.decode import LINE
from levada.clean.forced import SHIFT
from levada.core import columns, packs
from levada.core.jsontext import NOT_JSON
from levada.core.packs import ARROW_ZSTD, MAX_PACK_BYTES, NDJSON_ZSTD, Header, lane_of, partition_key
from levada.domains.declaration import Domain
from levada.ingest.lanes import SEPARATOR, UNREADABLE, lane_of_item, series_key
from levada.ingest.parts import Part, bad_table
from levada.ports import Entry

MAX_BODY_BYTES = MAX_PACK_BYTES - packs.MAX_HEADER_BYTES
MAX_INFLATED_BYTES = 32 * 1024 * 1024
"""A pack inflates to half of what readers allow, at most."""


@dataclass(slots=True)
class Packer:
    """Makes the packs of one file. The same parts give the same packs: plan and content decide, nothing else."""

    domain: Domain
    tenant: str
    content: str
    """sha256 of the file's bytes, hex."""
    pack_rows: int
    positions: dict[int, int] = field(default_factory=dict)
    """Lane → position of its next pack."""
    shift_us: int = 0
    """By how much ``clean`` shall move the times of all rows."""

    def entries(self, part: Part) -> Iterator[Entry]:
        """The packs of the next part; each lane's in the order of the file's lines."""
        if part.rows is not None and part.rows.num_rows:
            for lane, rows in self._lanes(part.rows):
                for start in range(0, rows.num_rows, self.pack_rows):
                    yield from self._arrow(lane, rows.slice(start, self.pack_rows))
        if part.lines:
            for lane, chosen in self._lanes_of_lines(part.lines):
                for start in range(0, len(chosen), self.pack_rows):
                    yield from self._ndjson(lane, part, chosen[start : start + self.pack_rows])
        if part.bad:
            bad = bad_table(part.bad)
            for start in range(0, bad.num_rows, self.pack_rows):
                yield from self._arrow(UNREADABLE, bad.slice(start, self.pack_rows))

    def _lanes(self, rows: pa.Table) -> Iterator[tuple[int, pa.Table]]:
        """(lane, its rows in order), ascending."""
        domain = self.domain
        if not any(column for column, _ in domain.lane_parts):
            yield lane_of_item({}, domain, self.tenant), rows
            return
        parts = [self._key_part(rows, *part) for part in domain.lane_parts]
        names = pc.binary_join_element_wise(*parts, SEPARATOR).combine_chunks().dictionary_encode()
        lanes = pa.array(
            [lane_of(series_key(domain.name, self.tenant, name)) for name in names.dictionary.to_pylist()], pa.int8()
        ).take(names.indices)
        keyed = pa.table({"lane": lanes, LINE: rows[LINE]})
        order = pc.sort_indices(keyed, [("lane", "ascending"), (LINE, "ascending")])
        rows = rows.take(order)
        runs = pc.run_end_encode(lanes.take(order))
        start = 0
        for lane, end in zip(runs.values.to_pylist(), runs.run_ends.to_pylist(), strict=True):
            yield lane, rows.slice(start, end - start)
            start = end

    def _key_part(self, rows: pa.Table, column: str, constant: str) -> pa.ChunkedArray:
        if column not in rows.schema.names:
            return pa.chunked_array([pa.repeat(pa.scalar("" if column else constant), rows.num_rows)])
        text = rows[column].cast(pa.string())
        return pc.fill_null(pc.utf8_trim_whitespace(text), "")

    def _lanes_of_lines(self, lines: Sequence[bytes]) -> Iterator[tuple[int, list[int]]]:
        """(lane, indices of its lines in order), ascending."""
        if not any(column for column, _ in self.domain.lane_parts):
            yield lane_of_item({}, self.domain, self.tenant), list(range(len(lines)))
            return
        groups: dict[int, list[int]] = {}
        decode = msgspec.json.Decoder(dict).decode
        for i, line in enumerate(lines):
            try:
                lane = lane_of_item(decode(line), self.domain, self.tenant)
            except NOT_JSON:  # clean will say what is wrong with it
                lane = UNREADABLE
            groups.setdefault(lane, []).append(i)
        yield from sorted(groups.items())

    def _arrow(self, lane: int, rows: pa.Table) -> Iterator[Entry]:
        n = rows.num_rows
        body = columns.to_bytes(rows) if n == 1 or rows.nbytes <= MAX_INFLATED_BYTES else None
        if n > 1 and (body is None or len(body) > MAX_BODY_BYTES):
            yield from self._arrow(lane, rows.slice(0, n // 2))
            yield from self._arrow(lane, rows.slice(n // 2))
        else:
            yield self._entry(lane, n, ARROW_ZSTD, body or b"", {})

    def _ndjson(self, lane: int, part: Part, chosen: Sequence[int]) -> Iterator[Entry]:
        body = packs.compress(b"\n".join([part.lines[i] for i in chosen]) + b"\n", NDJSON_ZSTD)
        n = len(chosen)
        if n > 1 and len(body) > MAX_BODY_BYTES:
            yield from self._ndjson(lane, part, chosen[: n // 2])
            yield from self._ndjson(lane, part, chosen[n // 2 :])
        else:
            where = [part.numbers[chosen[0]], part.numbers[chosen[-1]]]
            yield self._entry(lane, n, NDJSON_ZSTD, body, {"lines": where})

    def _entry(self, lane: int, count: int, codec: str, body: bytes, extra: dict[str, object]) -> Entry:
        n = self.positions.get(lane, 0)
        self.positions[lane] = n + 1
        if self.shift_us:
            extra = extra | {SHIFT: self.shift_us}
        header = Header(
            domain=self.domain.name,
            tenant=self.tenant,
            source=f"file/{self.domain.name}/{self.tenant}/{self.content[:32]}#{lane:02d}",
            position=n,
            count=count,
            codec=codec,
            extra=extra or None,
        )
        return Entry(partition_key(lane), packs.encode(header, body))
