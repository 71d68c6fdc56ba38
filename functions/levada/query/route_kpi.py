"""GET /v1/kpi: capability of series in days, weeks and months, as archive has made it."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from aws_lambda_powertools.event_handler import Response

from levada.core import columns, keys, parquet
from levada.core.instants import instant
from levada.core.kpi import KPI, PERIODS
from levada.core.records import SERIES
from levada.core.vectors import to_numpy
from levada.domains.registry import enabled
from levada.query import answers, parameters, render, stored
from levada.wiring import deps

READ = KPI.append(pa.field("width_s", pa.int64()))
COLUMNS = (*SERIES, "start", "end", *KPI.names[len(SERIES) + 2 :])


def get_kpi(event: dict[str, Any]) -> Response[str]:
    d = deps()
    query = parameters.given(event, stored.PARAMETERS)
    kind = answers.media_type(event, query)
    now_us = int(d.clock.now_s() * 1_000_000)
    wanted = stored.asked(query, enabled(d.config.domains_enabled), d.config.tenant, now_us, periods=PERIODS)
    prefix = keys.kpi_prefix(wanted.selection.domain, wanted.period)
    page = stored.page(d.blobs, d.memo, prefix, wanted, _rows, columns.empty(READ))
    return answers.paged(page, kind, "kpi", COLUMNS, _listed)


def _rows(body: bytes) -> pa.Table:
    table = parquet.from_bytes(body).select(KPI.names).cast(KPI)
    length = pc.subtract(table["window_end"].cast(pa.int64()), table["window_start"].cast(pa.int64()))
    return table.append_column(READ.field("width_s"), pc.divide(length, 1_000_000))


def _listed(rows: pa.Table) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = rows.drop_columns(["window_start", "window_end"]).to_pylist()
    ends = {"start": to_numpy(rows["window_start"]), "end": to_numpy(rows["window_end"])}
    for name, times in ends.items():
        for row, us in zip(found, times.tolist(), strict=True):
            row[name] = instant(us)
    return [{name: render.finite(row[name]) for name in COLUMNS} for row in found]
