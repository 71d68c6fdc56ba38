"""A whole pipeline in memory for the tests of the tools: a file's rows through the real clean and aggregate."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence

import pyarrow as pa

from levada.aggregate import handler as aggregate_handler
from levada.clean import handler as clean_handler
from levada.core import columns, packs
from levada.core.packs import ARROW_ZSTD, Header
from levada.ports import Entry
from levadactl import events, generate
from levadactl.loading import Lake
from levadactl.memory import MemoryDeps

PACK_ROWS = 100


def file_packs(text: str, *, source: str = "file/test") -> list[bytes]:
    """Packs of text columns, as the file ingest makes them, of a CSV with ``;``; rows of separators are left out."""
    lines = [fields for fields in csv.reader(io.StringIO(text), delimiter=";") if any(fields)]
    head, rows = lines[0], lines[1:]
    return [
        _pack(head, rows[start : start + PACK_ROWS], n, source)
        for n, start in enumerate(range(0, len(rows), PACK_ROWS))
    ]


def _pack(head: Sequence[str], rows: Sequence[Sequence[str]], position: int, source: str) -> bytes:
    table = pa.table({name: [fields[i] for fields in rows] for i, name in enumerate(head) if name})
    header = Header(
        domain="air_quality",
        tenant="default",
        source=f"{source}#{events.lane():02d}",
        position=position,
        count=len(rows),
        codec=ARROW_ZSTD,
    )
    return packs.encode(header, columns.to_bytes(table))


def generated(n: int, seed: int = 1) -> str:
    """A generated file's text."""
    return "\r\n".join([generate.HEADER, *(";".join(fields) for fields in generate.rows(seed, n))]) + "\r\n"


def clean(deps: MemoryDeps, records: Sequence[bytes]) -> None:
    """One batch for clean, behind what the raw stream holds already."""
    deps.raw.entries.extend(Entry("lane", data) for data in records)
    first = len(deps.raw.entries) - len(records) + 1
    clean_handler.handler(events.kinesis(records, first=first), None)


def run(deps: MemoryDeps, records: Sequence[bytes], *, batch: int = 4) -> Lake:
    """Send records through clean and aggregate in small batches."""
    for _, bodies in _batches(records, batch):
        clean(deps, bodies)
    aggregate(deps)
    return Lake(deps.blobs, deps.serving)


def aggregate(deps: MemoryDeps) -> None:
    """Deliver everything that is on the clean stream, from its beginning: what was applied is skipped."""
    for start, bodies in _batches([entry.data for entry in deps.clean.entries], 5):
        aggregate_handler.handler(events.kinesis(bodies, stream="clean", first=start + 1), None)


def _batches(bodies: Sequence[bytes], size: int) -> Iterator[tuple[int, Sequence[bytes]]]:
    for start in range(0, len(bodies), size):
        yield start, bodies[start : start + size]
