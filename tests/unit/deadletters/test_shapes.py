"""Rows of events and of long sources come back as rows of wide ones do, whichever way they came (B24)."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pyarrow as pa
import pytest

from levada.core import columns, packs, parquet
from levada.core.packs import ARROW_ZSTD, Header
from levada.domains.declaration import Domain, Metric
from tests.simulation.shapes import EVENTS, LONG
from tests.unit.deadletters.fakes import Pipeline
from tests.unit.deadletters.steps import outstanding, pack, redriven

WHAT = ("paid", "lost")
AT = "2025-06-01T00:00:00Z"
SHAPES: dict[str, tuple[Domain, Domain, list[dict[str, Any]], str, str]] = {
    "events": (
        replace(EVENTS, name="sim"),
        replace(EVENTS, name="sim", event_types=(*EVENTS.event_types, "lost")),
        [{"t": AT, "order": f"o{n}", "what": WHAT[n % 2], "amount": n, "n": 2, "kind": "x"} for n in range(6)],
        "events/",
        "unknown_event_type",
    ),
    "long": (
        replace(LONG, name="sim"),
        replace(LONG, name="sim", metrics={**LONG.metrics, "c": Metric("c")}),
        [{"t": AT, "sensor": f"s{n}", "m": "c" if n % 2 else "a", "v": n} for n in range(6)],
        "silver/",
        "unknown_metric",
    ),
}


def of_columns(rows: list[dict[str, Any]]) -> bytes:
    table = pa.table({name: pa.array([str(row[name]) for row in rows]) for name in rows[0]})
    header = Header(domain="sim", tenant="default", source="f#02", position=0, count=len(rows), codec=ARROW_ZSTD)
    return packs.encode(header, columns.to_bytes(table))


def held(pipeline: Pipeline, prefix: str) -> list[dict[str, Any]]:
    blobs = pipeline.memory.blobs
    return [row for b in blobs.list(prefix) for row in parquet.from_bytes(blobs.objects[b.key]).to_pylist()]


@pytest.mark.parametrize("way", ["columns", "lines", "plain"])
@pytest.mark.parametrize("shape", SHAPES)
def test_refused_rows_come_back_once_when_their_domain_is_fixed(shape: str, way: str) -> None:
    broken, fixed, rows, prefix, reason = SHAPES[shape]
    pipeline = Pipeline({"sim": broken})
    if way == "plain":
        pipeline.produce(*(json.dumps({"domain": "sim"} | row).encode() for row in rows), key="one")
    else:
        pipeline.produce(of_columns(rows) if way == "columns" else pack(*rows), key="one")
    pipeline.run()
    assert [letter.reason for letter in outstanding(pipeline)] == [reason] * 3
    before = len(held(pipeline, prefix))
    pipeline.domains = {"sim": fixed}

    report = redriven(pipeline)

    assert (report.letters.sent, report.letters.rows, report.letters.failing) == (3, 3, {})
    assert len(held(pipeline, prefix)) == 2 * before
    assert not outstanding(pipeline)
    assert redriven(pipeline).letters.selected == 0
    assert len(held(pipeline, prefix)) == 2 * before
