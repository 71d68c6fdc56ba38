"""Letters: the distinct records and rows that quarantine holds, each with an id that stays the same."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pyarrow as pa

from levada.core import parquet, redrive
from levada.core.packs import is_pack
from levada.core.quarantine import SCHEMA
from levada.core.redrive import Root
from levada.ports import BlobStore
from levadactl.deadletters import plain

QUARANTINE = "quarantine/"
READERS = 8
ID_DIGITS = 16
INGEST, CLEAN, AGGREGATE = "ingest", "clean", "aggregate"


@dataclass(frozen=True)
class Letter:
    """One record, or one row of a record, that was refused. Fields as in ``core/quarantine.py``."""

    key: str
    """The quarantine object that it stands in; the first one where several hold it."""
    stage: str
    reason: str
    detail: str
    domain: str
    tenant: str
    payload: bytes
    shard: str
    sequence: str
    source: str
    position: int | None
    row: int
    line: int | None
    arrived_us: int
    trace: str

    @cached_property
    def root(self) -> Root:
        """Where it stood when it came first, and how often it has been redriven since."""
        return redrive.root_of(self.source, self.position or 0, self.row)

    @cached_property
    def whole(self) -> bool:
        """Is it a whole record, which may hold many rows?"""
        if self.stage != CLEAN or self.row:
            return self.stage != CLEAN
        return is_pack(self.payload) or (plain.is_origin(self.root) and len(plain.lines(self.payload)) != 1)

    @cached_property
    def id(self) -> str:
        """The same in every object that holds the letter, and at any time."""
        parts = [self.stage, self.shard, self.sequence, self.source, self.position, self.row, self.whole]
        if self.stage == INGEST:  # the same file may land again
            parts.append(self.arrived_us)
        text = "\x1f".join(map(str, parts))
        return hashlib.sha256(text.encode()).hexdigest()[:ID_DIGITS]

    @property
    def at(self) -> tuple[str, str]:
        """Shard token and padded sequence number of its record."""
        return self.shard, self.sequence


def read(blobs: BlobStore, stage: str = "") -> list[Letter]:
    """Every letter once, in order of its object and place there; of one stage only if named."""
    found: dict[str, Letter] = {}
    for key, body in bodies(blobs, f"{QUARANTINE}stage={stage}/" if stage else QUARANTINE):
        for letter in of_object(key, body):
            found.setdefault(letter.id, letter)
    return list(found.values())


def of_object(key: str, body: bytes) -> Iterator[Letter]:
    table = parquet.from_bytes(body, SCHEMA.names)
    table = table.set_column(SCHEMA.names.index("arrived"), "arrived_us", table["arrived"].cast(pa.int64()))
    for row in table.to_pylist():
        yield Letter(key=key, **_without_nulls(row))


def _without_nulls(row: Mapping[str, Any]) -> dict[str, Any]:
    texts = ("detail", "domain", "tenant", "shard", "sequence", "source", "trace")
    made = dict(row) | {name: row[name] or "" for name in texts}
    return made | {"row": row["row"] or 0, "payload": row["payload"] or b""}


def bodies(blobs: BlobStore, prefix: str) -> Iterator[tuple[str, bytes]]:
    """(key, body) of every object under prefix, in order of key; one that vanishes meanwhile is left out."""
    names = [blob.key for blob in blobs.list(prefix)]
    with ThreadPoolExecutor(READERS) as pool:
        for key, body in zip(names, pool.map(lambda name: _get(blobs, name), names), strict=True):
            if body is not None:
                yield key, body


def _get(blobs: BlobStore, key: str) -> bytes | None:
    try:
        return blobs.get(key)[0]
    except KeyError:
        return None
