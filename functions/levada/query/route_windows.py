"""GET /v1/windows, /v1/latest and /v1/series: windows, the newest of each series, and which series there are."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import partial
from typing import Any

import pyarrow as pa
from aws_lambda_powertools.event_handler import Response

from levada.core.records import SERIES
from levada.domains.registry import enabled
from levada.ports import Items
from levada.query import answers, keyed, latest, open_windows, parameters, render, windows
from levada.wiring import deps

PROVISIONAL = "provisional"


def get_series(event: dict[str, Any]) -> Response[str]:
    d = deps()
    query = parameters.given(event, parameters.SERIES_PARAMETERS)
    kind = answers.media_type(event, query)
    selection = parameters.series(query, enabled(d.config.domains_enabled), d.config.tenant)
    page = keyed.BY_SERIES.page(windows.series_of(d.serving, selection), query)
    return answers.listed(page, keyed.BY_SERIES, kind, "series", SERIES)


def get_windows(event: dict[str, Any]) -> Response[str]:
    d = deps()
    query = parameters.given(event, parameters.WINDOW_PARAMETERS)
    kind = answers.media_type(event, query)
    domains = enabled(d.config.domains_enabled)
    selection, limit = parameters.windows(query, domains, d.config.tenant, int(d.clock.now_s() * 1_000_000))
    rates = domains[selection.domain].rates
    if not parameters.with_open(query):
        page = windows.page(d.serving, selection, limit)
        return answers.paged(page, kind, "windows", render.WINDOW_COLUMNS, partial(render.windows, rates=rates))
    read = open_windows.shards(d.blobs, d.memo)
    page = windows.page(open_windows.WithOpen(d.serving, read), selection, limit)
    columns = (*render.WINDOW_COLUMNS, PROVISIONAL)
    return answers.paged(page, kind, "windows", columns, lambda rows: _marked(rows, read, rates))


def get_latest(event: dict[str, Any]) -> Response[str]:
    """With ``open=true`` the newest may be one to which rows still come."""
    d = deps()
    query = parameters.given(event, latest.PARAMETERS)
    kind = answers.media_type(event, query)
    domains = enabled(d.config.domains_enabled)
    selection = latest.asked(query, domains, d.config.tenant, int(d.clock.now_s() * 1_000_000))
    rates = domains[selection.domain].rates
    read = open_windows.shards(d.blobs, d.memo) if parameters.with_open(query) else None
    serving: Items = d.serving if read is None else open_windows.WithOpen(d.serving, read)
    columns = render.WINDOW_COLUMNS if read is None else (*render.WINDOW_COLUMNS, PROVISIONAL)

    def answer(shown: latest.Page) -> Response[str]:
        rows = render.windows(shown.rows, rates=rates) if read is None else _marked(shown.rows, read, rates)
        return answers.listing(kind, "latest", rows, columns, keyed.cursor(shown.following))

    return answers.fitting(latest.page(serving, selection, query), answer, latest.cut)


def _marked(rows: pa.Table, read: Sequence[open_windows.Shard], rates: Collection[str]) -> list[dict[str, Any]]:
    """Rows as they are shown, with whether each of them may still change in the usual way."""
    marks = open_windows.provisional(rows, read)
    shown = render.windows(rows, rates=rates)
    return [row | {PROVISIONAL: mark} for row, mark in zip(shown, marks, strict=True)]
