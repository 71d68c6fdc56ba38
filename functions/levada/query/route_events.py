"""GET /v1/events: what happened, and GET /v1/event-rollups: how often and how much, per window (D18)."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from typing import Any

from aws_lambda_powertools.event_handler import Response

from levada.domains.registry import enabled
from levada.query import answers, events, parameters, render, windows
from levada.query.errors import ParameterError
from levada.wiring import deps


def get_events(event: dict[str, Any]) -> Response[str]:
    d = deps()
    query = parameters.given(event, events.PARAMETERS)
    kind = answers.media_type(event, query)
    domains = {name: one for name, one in enabled(d.config.domains_enabled).items() if one.events or one.derive}
    wanted = events.asked(query, domains, d.config.tenant, int(d.clock.now_s() * 1_000_000))
    page, columns = events.page(d.blobs, d.memo, wanted), events.columns_of(wanted.domain)

    def answer(shown: events.Page) -> Response[str]:
        rows = events.shown(shown.rows)
        if kind == render.CSV:
            rows = [row | {"attributes": _text(row["attributes"])} for row in rows]
        else:
            rows = [{name: render.finite(value) for name, value in row.items()} for row in rows]
        return answers.listing(kind, "events", rows, columns, shown.following, texts=frozenset(columns))

    return answers.fitting(page, answer, lambda shown, limit: events.cut(shown.rows, limit))


def get_event_rollups(event: dict[str, Any]) -> Response[str]:
    """Windows over the events of a domain, one series per combination of the rollup's columns.

    The metric is the rollup's; without one, windows of all rollups of the domain.
    """
    d = deps()
    query = parameters.given(event, parameters.WINDOW_PARAMETERS)
    kind = answers.media_type(event, query)
    domains = {name: one for name, one in enabled(d.config.domains_enabled).items() if one.rollups}
    selection, limit = parameters.windows(query, domains, d.config.tenant, int(d.clock.now_s() * 1_000_000))
    known = sorted({rollup.metric for rollup in domains[selection.domain].rollups})
    if selection.metric is not None and selection.metric not in known:
        raise ParameterError("metric", selection.metric, f"one of {', '.join(known)}")
    page = windows.page(d.serving, replace(selection, metrics=frozenset(known)), limit)
    shown = partial(render.windows, rates=domains[selection.domain].rates)
    return answers.paged(page, kind, "windows", render.WINDOW_COLUMNS, shown)


def _text(attributes: Any) -> str | None:
    return None if attributes is None else json.dumps(attributes, ensure_ascii=False)
