"""GET /v1/jobs and /v1/subjobs: the latest state of each, newest first (C4)."""

from __future__ import annotations

import json
from typing import Any

from aws_lambda_powertools.event_handler import Response

from levada.domains.registry import enabled
from levada.query import answers, entities, parameters, render
from levada.wiring import deps


def get_jobs(event: dict[str, Any]) -> Response[str]:
    return _answer(event, "job", "jobs")


def get_subjobs(event: dict[str, Any]) -> Response[str]:
    return _answer(event, "subjob", "subjobs")


def _answer(event: dict[str, Any], entity_type: str, name: str) -> Response[str]:
    d = deps()
    query = parameters.given(event, entities.PARAMETERS)
    kind = answers.media_type(event, query)
    domains, now_us = enabled(d.config.domains_enabled), int(d.clock.now_s() * 1_000_000)
    wanted = entities.asked(query, domains, d.config.tenant, now_us, entity_type)
    page, columns = entities.page(d.serving, wanted), entities.columns_of(domains[wanted.domain])

    def answer(shown: entities.Page) -> Response[str]:
        rows: list[dict[str, Any]] = shown.rows
        if kind == render.CSV:
            rows = [{column: _cell(row.get(column)) for column in columns} for row in rows]
        return answers.listing(kind, name, rows, columns, shown.following, texts=frozenset(columns))

    return answers.fitting(page, answer, entities.cut)


def _cell(value: Any) -> Any:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list) else value
