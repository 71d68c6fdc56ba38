"""For tests of domains, ours and others': one domain under the clean stage, on stores in memory.

from levadactl.testing import Cleaned

def test_a_reading_of_the_pump_is_a_measurement() -> None:
    cleaned = Cleaned(PUMP)
    cleaned.json({"at": "2026-01-01T00:00:00Z", "pump": "p1", "bar": 2.5})
    assert cleaned.measured() == {("p1", "", "bar"): 2.5}
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from levada.clean import stage
from levada.clean.state import CleanState
from levada.core import columns, kinesis_event, packs, parquet
from levada.core.checkpoint import Checkpoint
from levada.core.packs import ARROW_ZSTD, NDJSON_GZIP, Header
from levada.domains.declaration import Domain
from levadactl.events import kinesis
from levadactl.memory import ManualClock, MemoryDeps

NOW_S = 1_767_225_600.0
"""2026-01-01: what the stage takes for now, unless told otherwise."""


class Cleaned:
    """What one domain becomes; each call is one batch of the raw stream."""

    def __init__(self, domain: Domain, *, tenant: str = "default", now_s: float = NOW_S) -> None:
        self.domain, self.tenant = domain, tenant
        self.memory = MemoryDeps(clock=ManualClock(now_s))
        self.sent = 0

    def run(self, bodies: Sequence[bytes]) -> stage.Summary:
        """Records of the raw stream, whatever they are."""
        first, self.sent = self.sent + 1, self.sent + len(bodies)
        return self.again(bodies, first)

    def again(self, bodies: Sequence[bytes], first: int) -> stage.Summary:
        """A redelivery: the first of them had this sequence number."""
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
        batch = kinesis_event.parse(kinesis(bodies, first=first))
        return stage.Summary() if batch is None else stage.run(batch, deps)

    def json(self, *items: object) -> stage.Summary:
        """Each as a plain record."""
        return self.run([json.dumps(item).encode() for item in items])

    def pack(self, *items: object, n: int = 0) -> bytes:
        """A pack of NDJSON, the n-th of its source."""
        body = packs.compress(b"\n".join(json.dumps(item).encode() for item in items), NDJSON_GZIP)
        return packs.encode(self._header(n, len(items), NDJSON_GZIP), body)

    def table(self, values: Mapping[str, Any], n: int = 0) -> bytes:
        """A pack of columns: lists of texts, as a CSV file gives them, or pyarrow arrays."""
        made = pa.table({k: v if isinstance(v, pa.Array) else pa.array(v, pa.string()) for k, v in values.items()})
        return packs.encode(self._header(n, made.num_rows, ARROW_ZSTD), columns.to_bytes(made))

    def _header(self, n: int, count: int, codec: str) -> Header:
        name = self.domain.name
        return Header(domain=name, tenant=self.tenant, source="test#01", position=n, count=count, codec=codec)

    def rows(self, prefix: str) -> list[dict[str, Any]]:
        """Rows below ``silver/``, ``events/`` or ``quarantine/``."""
        found = [blob.key for blob in self.memory.blobs.list(prefix)]
        return [row for key in found for row in parquet.from_bytes(self.memory.blobs.objects[key]).to_pylist()]

    def measured(self) -> dict[tuple[str, str, str], float | None]:
        """(unit, series, metric) → value, of silver."""
        return {(row["unit"], row["series"], row["metric"]): row["value"] for row in self.rows("silver/")}

    def refused(self) -> Counter[str]:
        """Rows in quarantine, by reason."""
        return Counter(row["reason"] for row in self.rows("quarantine/"))

    def counters(self) -> Counter[str]:
        """What the checkpoint has counted of the domain."""
        (blob,) = self.memory.blobs.list("checkpoints/clean/")
        state = CleanState.from_header(Checkpoint.peek(self.memory.blobs.objects[blob.key]))
        return state.counters.get(self.domain.name, Counter())

    def published(self) -> list[tuple[Header, pa.Table]]:
        """Records of the clean stream."""
        split = [packs.split(entry.data) for entry in self.memory.clean.entries]
        return [(header, columns.from_bytes(body)) for header, body in split]
