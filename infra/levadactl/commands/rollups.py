"""levada rollups ls, make."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

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
    """Periods that rollups are made of."""

    hour = "1h"
    day = "1d"
    week = "1w"
    month = "1mo"


FIGURES = ("count", "missing", "min", "mean", "p50", "p95", "max", "stddev", "success_rate")

rollups = typer.Typer(
    name="rollups",
    help="Hours, days, weeks and months of every series, merged from windows: look at them, make them now.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


def register(app: typer.Typer) -> None:
    """Add this module's commands."""
    if not rollups.registered_commands:
        rollups.command(epilog="Example: levada rollups ls --period 1mo --metric co")(ls)
        rollups.command(epilog="Example: levada rollups make --domain air_quality --period 1d --since 2004-03-01")(make)
    app.add_typer(rollups)


def ls(
    domain: DomainOption = AIR,
    period: Annotated[Period, typer.Option("--period", help="Which periods.")] = Period.day,
    since: SinceOption = None,
    until: UntilOption = None,
    series: SeriesOption = None,
    metric: MetricOption = None,
    limit: LimitOption = 20,
    every: AllOption = False,
    as_csv: CsvOption = False,
    as_json: JsonOption = False,
) -> None:
    """Rollups, over the HTTP API, as any client gets them."""
    from levadactl.charts import number

    query = {"domain": domain, "period": period.value, "since": since, "until": until, "series": series}
    show(
        Listing("/v1/rollups", "rollups"),
        Wanted(query | {"metric": metric}, limit, every, as_csv, as_json),
        lambda rows: console.table(
            "",
            ["start", "end", "series", "metric", *FIGURES],
            [
                [row["start"], row["end"], row["series"], row["metric"], *(number(row[name]) for name in FIGURES)]
                for row in rows
            ],
        ),
    )


def make(
    domain: DomainOption = AIR,
    period: Annotated[list[Period] | None, typer.Option("--period", help="Only these periods; repeatable.")] = None,
    since: Annotated[str | None, typer.Option("--since", help="Only gold of this day of UTC and later.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Merge gold that is not in the rollups yet, and make the KPI that this changes, as the schedule does every hour.

    Running it again changes nothing, and nothing is ever made anew from less.
    """
    from levadactl import loading
    from levadactl.places import Place

    order: dict[str, Any] = {"domain": domain} | ({} if since is None else {"since": since})
    order |= {"periods": [one.value for one in period]} if period else {}
    answer = loading.order_archive(Place.current(), {"rollups": order})
    console.answer({name: answer[name] for name in ("rollups", "kpi")}, as_json=as_json)
