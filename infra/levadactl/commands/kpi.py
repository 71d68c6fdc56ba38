"""levada kpi."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

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
    as_json: JsonOption = False,
) -> None:
    """Capability of series that have specification limits (levada limits set), over the HTTP API."""
    from levadactl.charts import number
    from levadactl.http import get
    from levadactl.places import Place

    query = {"domain": domain, "period": period.value, "since": since, "until": until, "series": series}
    query |= {"metric": metric, "limit": str(limit)}
    found = get(Place.current().api_url, "/v1/kpi", {k: v for k, v in query.items() if v is not None})
    human = console.table(
        "",
        ["start", "end", "series", "metric", *FIGURES, "within"],
        [
            [row["start"], row["end"], row["series"], row["metric"], *(number(row[n]) for n in FIGURES), row["within"]]
            for row in found["kpi"]
        ],
    )
    console.answer(found, as_json=as_json, human=None if as_json else human)
