"""GET /v1/anomalies and /v1/alerts: what stood out, and what somebody should have heard of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from aws_lambda_powertools.event_handler import Response

from levada.core import findings
from levada.core.alerts import ALERT
from levada.core.anomalies import ANOMALY
from levada.core.instants import instant
from levada.domains.registry import enabled
from levada.query import answers, listed, parameters
from levada.wiring import deps

ANOMALY_COLUMNS = tuple(ANOMALY.names)
ALERT_COLUMNS = tuple(name for name in ALERT.names if name != "publish")
TIMES = ("time", "opened", "last")


def get_anomalies(event: dict[str, Any]) -> Response[str]:
    return _answer(event, findings.ANOMALIES, ANOMALY_COLUMNS)


def get_alerts(event: dict[str, Any]) -> Response[str]:
    return _answer(event, findings.ALERTS, ALERT_COLUMNS)


def _answer(event: dict[str, Any], kind: str, columns: Sequence[str]) -> Response[str]:
    d = deps()
    query = parameters.given(event, listed.PARAMETERS)
    media = answers.media_type(event, query)
    domains, now_us = enabled(d.config.domains_enabled), int(d.clock.now_s() * 1_000_000)
    page = listed.page(d.serving, kind, listed.asked(query, domains, d.config.tenant, now_us))

    def answer(shown: listed.Page) -> Response[str]:
        rows = [{name: _shown(name, row.get(name)) for name in columns} for row in shown.rows]
        return answers.listing(media, kind, rows, columns, shown.following)

    return answers.fitting(page, answer, listed.cut)


def _shown(name: str, value: Any) -> Any:
    return instant(value) if name in TIMES else value
