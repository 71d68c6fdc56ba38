"""Runs of the clean stage for tests of shapes: what goes in, and what lies in the lake and on the clean stream then."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from levada.clean import stage
from levada.clean.state import CleanState
from levada.core import columns, packs, parquet
from levada.core.checkpoint import Checkpoint
from levada.core.packs import ARROW_ZSTD, NDJSON_GZIP, Header
from levada.domains.declaration import Domain
from levadactl.memory import MemoryDeps
from tests.builders import batch

CHECKPOINT = "checkpoints/clean/6553f100-000000000000"


class Cleaned:
    """The stage with one domain, on stores in memory."""

    def __init__(self, domain: Domain, tenant: str = "default") -> None:
        self.domain, self.tenant = domain, tenant
        self.memory = MemoryDeps()
        self.sent = 0

    def run(self, bodies: Sequence[bytes]) -> stage.Summary:
        deps = stage.CleanDeps(
            blobs=self.memory.blobs,
            sink=self.memory.clean,
            topology=self.memory.topology,
            clock=self.memory.clock,
            domains={self.domain.name: self.domain},
            tenant=self.tenant,
            max_skew_s=600,
            fence_horizon_h=48,
        )
        first, self.sent = self.sent + 1, self.sent + len(bodies)
        return stage.run(batch(bodies, first=first), deps)

    def json(self, *items: object) -> stage.Summary:
        """Each as a plain record."""
        return self.run([json.dumps(item).encode() for item in items])

    def pack(self, *items: object, n: int = 0) -> bytes:
        body = packs.compress(b"\n".join(json.dumps(item).encode() for item in items), NDJSON_GZIP)
        return packs.encode(self._header(n, len(items), NDJSON_GZIP), body)

    def table(self, values: Mapping[str, Any], n: int = 0) -> bytes:
        """A pack of columns, text as a CSV file gives it unless pa.arrays are given."""
        made = pa.table({k: v if isinstance(v, pa.Array) else pa.array(v, pa.string()) for k, v in values.items()})
        return packs.encode(self._header(n, made.num_rows, ARROW_ZSTD), columns.to_bytes(made))

    def _header(self, n: int, count: int, codec: str) -> Header:
        name = self.domain.name
        return Header(domain=name, tenant=self.tenant, source="test#01", position=n, count=count, codec=codec)

    def rows(self, prefix: str) -> list[dict[str, Any]]:
        found = [b.key for b in self.memory.blobs.list(prefix)]
        return [row for key in found for row in parquet.from_bytes(self.memory.blobs.objects[key]).to_pylist()]

    def measured(self) -> dict[tuple[str, str, str], float | None]:
        """(unit, series, metric) → value, of silver."""
        return {(r["unit"], r["series"], r["metric"]): r["value"] for r in self.rows("silver/")}

    def refused(self) -> Counter[str]:
        return Counter(row["reason"] for row in self.rows("quarantine/"))

    def counters(self) -> Counter[str]:
        state = CleanState.from_header(Checkpoint.peek(self.memory.blobs.objects[CHECKPOINT]))
        return state.counters[self.domain.name]

    def published(self) -> list[tuple[Header, pa.Table]]:
        split = [packs.split(entry.data) for entry in self.memory.clean.entries]
        return [(header, columns.from_bytes(body)) for header, body in split]
