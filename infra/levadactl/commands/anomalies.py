"""levada anomalies, levada alerts."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from levadactl import console
from levadactl.commands.listing import AllOption, CsvOption, Listing, Wanted, show
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
    every: AllOption = False,
    as_csv: CsvOption = False,
    as_json: JsonOption = False,
) -> None:
    """Windows that stood out of their series as they closed, over the HTTP API."""
    from levadactl.charts import number

    numbers = ("value", "lower", "upper", "z")
    names = ("time", "series", "metric", "rule", "severity")
    show(
        Listing("/v1/anomalies", "anomalies"),
        Wanted(_query(domain, since, until, series, metric, rule, severity), limit, every, as_csv, as_json),
        lambda rows: console.table(
            "",
            ["window", *names[1:], *numbers, "what"],
            [[*(r[n] for n in names), *(number(r[n]) for n in numbers), r["detail"]] for r in rows],
        ),
    )


def alerts(
    domain: DomainOption = AIR,
    since: SinceOption = None,
    until: UntilOption = None,
    series: SeriesOption = None,
    metric: MetricOption = None,
    rule: RuleOption = None,
    severity: SeverityOption = None,
    limit: LimitOption = 50,
    every: AllOption = False,
    as_csv: CsvOption = False,
    as_json: JsonOption = False,
) -> None:
    """Anomalies that somebody should have heard of, those of one series and rule drawn together; over the HTTP API."""
    names = ("opened", "last", "count", "series", "metric", "rule", "severity", "detail")
    show(
        Listing("/v1/alerts", "alerts"),
        Wanted(_query(domain, since, until, series, metric, rule, severity), limit, every, as_csv, as_json),
        lambda rows: console.table(
            "", [*names[:2], "anomalies", *names[3:7], "what"], [[r[n] for n in names] for r in rows]
        ),
    )


def _query(
    domain: str,
    since: str | None,
    until: str | None,
    series: str | None,
    metric: str | None,
    rule: Rule | None,
    severity: Severity | None,
) -> dict[str, str | None]:
    asked = {"domain": domain, "since": since, "until": until, "series": series, "metric": metric}
    return asked | {"rule": rule and rule.value, "severity": severity and severity.value}
