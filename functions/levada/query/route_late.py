"""GET /v1/late: which series come after their windows have closed, by how much, and since when."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from aws_lambda_powertools.event_handler import Response

from levada.aggregate import late
from levada.core.instants import instant
from levada.core.records import SERIES
from levada.domains.registry import enabled
from levada.query import answers, keyed, open_windows, parameters
from levada.query.windows import KEY, Selection, key_of
from levada.wiring import deps

PARAMETERS = ("domain", "tenant", *KEY, "since", "until", "after", "limit", "format")
COLUMNS = (*SERIES, "rows", "within", "beyond", "largest_s", "last_time", "since", "last")

ORDER: keyed.Order[dict[str, Any]] = keyed.Order(lambda row: (-row["rows"], *key_of(row)), (int, str, str, str, str))


def get_late(event: dict[str, Any]) -> Response[str]:
    """Most late rows first. ``since`` and ``until`` are about when the last late row came."""
    d = deps()
    query = parameters.given(event, PARAMETERS)
    kind = answers.media_type(event, query)
    now_us = int(d.clock.now_s() * 1_000_000)
    selection, _ = parameters.windows(query, enabled(d.config.domains_enabled), d.config.tenant, now_us)
    tables = [_selected(shard.late, selection) for shard in open_windows.shards(d.blobs, d.memo)]
    rows = [_shown(row) for row in late.merge(tables, most=None).to_pylist()]
    return answers.listed(ORDER.page(rows, query), ORDER, kind, "late", COLUMNS)


def _selected(rows: pa.Table, at: Selection) -> pa.Table:
    for name in ("domain", "tenant", *KEY):
        if (value := getattr(at, name)) is not None:
            rows = rows.filter(pc.equal(rows[name].cast(pa.string()), value))
    last_us = pc.multiply(rows["last_s"], 1_000_000)
    if at.since_us is not None:
        rows = rows.filter(pc.greater_equal(last_us, at.since_us))
        last_us = pc.multiply(rows["last_s"], 1_000_000)
    return rows if at.until_us is None else rows.filter(pc.less(last_us, at.until_us))


def _shown(row: Mapping[str, Any]) -> dict[str, Any]:
    found = {name: row[name] for name in (*SERIES, "within", "beyond")}
    found |= {"rows": row["within"] + row["beyond"], "largest_s": row["largest_us"] / 1_000_000}
    found |= {"last_time": row["last_time"].isoformat().replace("+00:00", "Z")}
    found |= {"since": instant(row["since_s"] * 1_000_000), "last": instant(row["last_s"] * 1_000_000)}
    return {name: found[name] for name in COLUMNS}
