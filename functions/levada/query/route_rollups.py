"""GET /v1/rollups: hours, days, weeks and months of series, as archive has merged them."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
from aws_lambda_powertools.event_handler import Response

from levada.core import columns, keys, rollups
from levada.core.rollups import ROLLUP
from levada.domains.registry import enabled
from levada.query import answers, parameters, render, stored
from levada.wiring import deps

COLUMNS = tuple(name for name in render.WINDOW_COLUMNS if name != "revisions")
UNREAD = ("first_time", "first_sequence", "first_row", "last_time", "last_sequence", "last_row", "opened")
"""What merging needs and nobody is shown."""
READ = pa.schema([f for f in ROLLUP if f.name not in UNREAD])


def get_rollups(event: dict[str, Any]) -> Response[str]:
    d = deps()
    query = parameters.given(event, stored.PARAMETERS)
    kind = answers.media_type(event, query)
    now_us = int(d.clock.now_s() * 1_000_000)
    domains = enabled(d.config.domains_enabled)
    wanted = stored.asked(query, domains, d.config.tenant, now_us)
    prefix = keys.rollup_prefix(wanted.selection.domain, wanted.period)
    page = stored.page(d.blobs, d.memo, prefix, wanted, _rows, columns.empty(READ))
    rates = domains[wanted.selection.domain].rates
    return answers.paged(page, kind, "rollups", COLUMNS, lambda rows: render.windows(rows, COLUMNS, rates=rates))


def _rows(body: bytes) -> pa.Table:
    return rollups.from_bytes(body, READ.names)
