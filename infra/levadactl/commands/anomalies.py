"""levada anomalies, levada alerts."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

import typer

from levadactl import console
from levadactl.commands.options import (
    AIR,
    DomainOption,
    LimitOption,
    MetricOption,
    SeriesOption,
    SinceOption,
    UntilOption,
)
from levadactl.console import JsonOption


class Severity(StrEnum):
    """From the least to the most."""

    info = "info"
    warning = "warning"
    error = "error"
    critical = "critical"


class Rule(StrEnum):
    """What may find an anomaly."""

    we1 = "we1"
    we2 = "we2"
    we3 = "we3"
    we4 = "we4"
    zscore = "zscore"
    silent = "silent"


RuleOption = Annotated[Rule | None, typer.Option("--rule", help="Only those of this rule.")]
SeverityOption = Annotated[Severity | None, typer.Option("--severity", help="Those of this severity and worse.")]


def register(app: typer.Typer) -> None:
    """Add this module's commands."""
    app.command(epilog="Example: levada anomalies --since 2004-03-10 --severity warning")(anomalies)
    app.command(epilog="Example: levada alerts --since -24h")(alerts)


def anomalies(
    domain: DomainOption = AIR,
    since: SinceOption = None,
    until: UntilOption = None,
    series: SeriesOption = None,
    metric: MetricOption = None,
    rule: RuleOption = None,
    severity: SeverityOption = None,
    limit: LimitOption = 50,
    as_json: JsonOption = False,
) -> None:
    """Windows that stood out of their series as they closed, over the HTTP API."""
    from levadactl.charts import number

    found = _get("anomalies", domain, since, until, series, metric, rule, severity, limit)
    numbers = ("value", "lower", "upper", "z")
    rows = [
        [r["time"], r["series"], r["metric"], r["rule"], r["severity"], *(number(r[n]) for n in numbers), r["detail"]]
        for r in found["anomalies"]
    ]
    human = console.table("", ["window", "series", "metric", "rule", "severity", *numbers, "what"], rows)
    console.answer(found, as_json=as_json, human=None if as_json else human)


def alerts(
    domain: DomainOption = AIR,
    since: SinceOption = None,
    until: UntilOption = None,
    series: SeriesOption = None,
    metric: MetricOption = None,
    rule: RuleOption = None,
    severity: SeverityOption = None,
    limit: LimitOption = 50,
    as_json: JsonOption = False,
) -> None:
    """Anomalies that somebody should have heard of, those of one series and rule drawn together; over the HTTP API."""
    found = _get("alerts", domain, since, until, series, metric, rule, severity, limit)
    rows = [
        [r["opened"], r["last"], r["count"], r["series"], r["metric"], r["rule"], r["severity"], r["detail"]]
        for r in found["alerts"]
    ]
    human = console.table("", ["opened", "last", "anomalies", "series", "metric", "rule", "severity", "what"], rows)
    console.answer(found, as_json=as_json, human=None if as_json else human)


def _get(
    what: str,
    domain: str,
    since: str | None,
    until: str | None,
    series: str | None,
    metric: str | None,
    rule: Rule | None,
    severity: Severity | None,
    limit: int,
) -> dict[str, Any]:
    from levadactl import http
    from levadactl.places import Place

    asked = {"domain": domain, "since": since, "until": until, "series": series, "metric": metric}
    asked |= {"rule": rule and rule.value, "severity": severity and severity.value, "limit": str(limit)}
    return http.get(Place.current().api_url, f"/v1/{what}", {k: v for k, v in asked.items() if v is not None})
