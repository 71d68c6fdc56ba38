"""Gold for the tests of what is made from it: partials of readings, emitted as aggregate emits them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pyarrow as pa

from levada.aggregate.emit import Emitted, emit
from levada.core.partials import from_rows
from levada.core.positions import ShardToken, pad_sequence
from levada.core.records import MEASUREMENT
from levada.ports import BlobStore
from levadactl.memory import MemoryServingStore

TOKEN = ShardToken(1_700_000_000, 0)
DOMAIN = "sensor"
HOUR_S = 3600
Reading = tuple[str, int, float | None]
"""(series, seconds since 1970, value)"""


def rows(readings: Iterable[Reading], *, tenant: str = "default", metric: str = "mm") -> pa.Table:
    """Canonical rows."""
    found = list(readings)
    texts = {"domain": DOMAIN, "tenant": tenant, "site": "", "unit": "", "metric": metric, "shard": "", "source": ""}
    columns: dict[str, list[Any]] = {name: [text] * len(found) for name, text in texts.items()}
    columns |= {
        "series": [r[0] for r in found],
        "time": [r[1] * 1_000_000 for r in found],
        "value": [r[2] for r in found],
        "row": list(range(len(found))),
        "sequence": [pad_sequence(1)] * len(found),
        "quality": [0] * len(found),
        "event_id": [None] * len(found),
        "position": [0] * len(found),
    }
    arrays = [
        pa.array(columns[f.name], pa.string()).dictionary_encode()
        if pa.types.is_dictionary(f.type)
        else pa.array(columns[f.name], f.type)
        for f in MEASUREMENT
    ]
    return pa.table(arrays, schema=MEASUREMENT)


def partials(readings: Iterable[Reading], *, width_s: int = 60, **named: str) -> pa.Table:
    return from_rows(rows(readings, **named), width_s=width_s, opened=pad_sequence(1), watermark_us=None)


def emitted(
    blobs: BlobStore, generation: int, readings: Iterable[Reading], *, token: ShardToken = TOKEN, **options: Any
) -> None:
    """Put the gold of one emission."""
    closed = partials(readings, **options)
    emit(closed, token, generation, blobs=blobs, serving=MemoryServingStore(), done=Emitted(), fresh=True)
