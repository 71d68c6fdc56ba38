"""What the tests of ingest share: a small domain, the stage in memory, and what is on the stream after it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from levada.clean.decode import LINE, RAW, REASON, decode
from levada.clean.normalise import normalise
from levada.core import columns, packs
from levada.core.errors import UnavailableError
from levada.core.kinesis_event import StreamRecord
from levada.core.packs import ARROW_ZSTD, Header
from levada.domains.air_quality import AIR_QUALITY
from levada.domains.declaration import Domain, Metric, Time
from levada.ingest import files
from levada.ingest.files import FilesDeps, Outcome
from levada.ingest.parts import Part
from levada.ports import Entry
from levadactl.memory import ManualClock, MemoryBlobStore, MemorySink, MemoryTopology

TINY = Domain(
    name="tiny",
    time=Time(columns=("t",), formats=("%Y-%m-%d",)),
    metrics={"a": Metric("a"), "b": Metric("b")},
    keys={"series": "id"},
)
HEADER = b"t;id;a;b"
DOMAINS = {"tiny": TINY, "air_quality": AIR_QUALITY}
KEY = "landing/tiny/file.csv"


@dataclass
class Stage:
    """The file stage on ports in memory; settings may be changed between two loads."""

    blobs: MemoryBlobStore = field(default_factory=MemoryBlobStore)
    sink: MemorySink = field(default_factory=MemorySink)
    topology: MemoryTopology = field(default_factory=MemoryTopology)
    clock: ManualClock = field(default_factory=ManualClock)
    block_bytes: int = files.BLOCK_BYTES
    block_rows: int = files.BLOCK_ROWS
    pack_rows: int = 500
    left_s: float = 900.0

    def deps(self) -> FilesDeps:
        return FilesDeps(
            blobs=self.blobs,
            sink=self.sink,
            topology=self.topology,
            clock=self.clock,
            domains=DOMAINS,
            tenant="default",
            raw_stream="raw",
            pack_rows=self.pack_rows,
            fence_horizon_h=48,
            block_bytes=self.block_bytes,
            block_rows=self.block_rows,
        )

    def load(self, body: bytes | None = None, key: str = KEY) -> Outcome:
        """Land the body, unless it is None, and load what is there."""
        if body is not None:
            self.blobs.objects[key] = body
        return files.load(key, self.deps(), remaining_s=lambda: self.left_s)

    def ledger(self) -> str:
        """Key of the only ledger."""
        (found,) = [key for key in self.blobs.objects if key.startswith("checkpoints/ingest/")]
        return found

    def quarantined(self) -> list[str]:
        return [key for key in self.blobs.objects if key.startswith("quarantine/")]


class CrashingSink(MemorySink):
    """Fails once at each of the calls named, before or after it took the entries."""

    def __init__(self, before: set[int], after: set[int]) -> None:
        super().__init__()
        self._before, self._after, self._calls = before, after, 0

    def put(self, entries: Sequence[Entry]) -> list[str | None]:
        self._calls += 1
        if self._calls in self._before:
            raise UnavailableError("crashed before the put")
        answers = super().put(entries)
        if self._calls in self._after:
            raise UnavailableError("crashed after the put")
        return answers


class CrashingStore(MemoryBlobStore):
    """Fails once at each of the conditional puts named, before or after it was done."""

    def __init__(self, before: set[int], after: set[int]) -> None:
        super().__init__()
        self._before, self._after, self._calls = before, after, 0

    def put_if(self, key: str, body: bytes, *, etag: str | None) -> str:
        self._calls += 1
        if self._calls in self._before:
            raise UnavailableError("crashed before the put")
        new = super().put_if(key, body, etag=etag)
        if self._calls in self._after:
            raise UnavailableError("crashed after the put")
        return new


def by_position(entries: Sequence[Entry]) -> dict[tuple[str, int], bytes]:
    """The distinct packs: (source, n) → bytes. Two packs that share a position must be the same."""
    out: dict[tuple[str, int], bytes] = {}
    for entry in entries:
        header = packs.split(entry.data)[0]
        assert entry.partition_key == packs.partition_key(int(header.source.rpartition("#")[2]))
        assert out.setdefault((header.source, header.position), entry.data) == entry.data
    return out


def table_of(part: Part) -> pa.Table:
    """Its rows; a part of NDJSON has none."""
    assert part.rows is not None
    return part.rows


def headers(entries: Sequence[Entry]) -> list[Header]:
    return [packs.split(entry.data)[0] for entry in entries]


def rows_of(entries: Sequence[Entry]) -> list[dict[str, Any]]:
    """Every row of every Arrow pack, good and bad, by line."""
    rows: list[dict[str, Any]] = []
    for entry in entries:
        header, body = packs.split(entry.data)
        if header.codec == ARROW_ZSTD:
            found = columns.from_bytes(body).to_pylist()
            assert len(found) == header.count
            rows.extend(found)
    return sorted(rows, key=lambda r: int(r[LINE]))


def good(rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    return [r for r in rows if REASON not in r]


def bad(rows: Sequence[Mapping[str, Any]]) -> list[tuple[int, str, str]]:
    """(line, slug, raw) of each."""
    return [(r[LINE], r[REASON].partition(": ")[0], r[RAW]) for r in rows if REASON in r]


def canonical(
    entries: Sequence[Entry], domain: Domain
) -> tuple[list[dict[str, Any]], list[tuple[int | None, str, bytes]]]:
    """What clean makes of the packs: valid rows in order of time, and (line, reason, payload) of those refused."""
    decoded = []
    for i, entry in enumerate(entries):
        record = StreamRecord(i, 0, entry.data)
        decoded.append((i, decode(record, packs.split(entry.data)[0], DOMAINS, "default")))
    wide, refused = normalise(domain, decoded, latest_us=2**62)
    rows = wide.rows.drop_columns(["rec", "row"]).to_pylist() if wide.rows.num_rows else []
    return rows, [(r.line, r.reason, r.payload) for r in refused]
