"""levada kpi."""

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


class Period(StrEnum):
    """Periods that capability is measured over."""

    day = "1d"
    week = "1w"
    month = "1mo"


FIGURES = ("n", "mean", "stddev", "lower", "upper", "cp", "cpk", "pp", "ppk")


def register(app: typer.Typer) -> None:
    """Add this module's commands."""
    app.command(epilog="Example: levada kpi --period 1mo --metric co")(kpi)


def kpi(
    domain: DomainOption = AIR,
    period: Annotated[Period, typer.Option("--period", help="Which periods.")] = Period.month,
    since: SinceOption = None,
    until: UntilOption = None,
    series: SeriesOption = None,
    metric: MetricOption = None,
    limit: LimitOption = 20,
    every: AllOption = False,
    as_csv: CsvOption = False,
    as_json: JsonOption = False,
) -> None:
    """Capability of series that have specification limits (levada limits set), over the HTTP API."""
    from levadactl.charts import number

    query = {"domain": domain, "period": period.value, "since": since, "until": until, "series": series}
    names = ("start", "end", "series", "metric")
    show(
        Listing("/v1/kpi", "kpi"),
        Wanted(query | {"metric": metric}, limit, every, as_csv, as_json),
        lambda rows: console.table(
            "",
            [*names, *FIGURES, "within"],
            [[*(row[name] for name in names), *(number(row[name]) for name in FIGURES), row["within"]] for row in rows],
        ),
    )
