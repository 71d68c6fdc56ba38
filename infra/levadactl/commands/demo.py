"""levada demo."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from levadactl import console
from levadactl.console import JsonOption

if TYPE_CHECKING:
    from rich.console import RenderableType

    from levada.domains.declaration import Domain
    from levadactl.demonstrating import Demo

CHART_WIDTH = 64


def register(app: typer.Typer) -> None:
    """Add this module's command."""
    app.command(epilog="Example: levada demo --data AirQualityUCI.csv")(demo)


def demo(
    data: Annotated[
        Path | None,
        typer.Option("--data", exists=True, dir_okay=False, help="A file of domain air_quality; else a made-up one."),
    ] = None,
    rows: Annotated[int | None, typer.Option("--rows", min=1, help="Readings to make up, instead of 9,357.")] = None,
    as_json: JsonOption = False,
) -> None:
    """From a raw file to exact windows, on an empty stack of its own. Exit status 1 when a window is wrong.

    Replaces the last demo's stack, never one that `levada up` started; leaves it running to look around.
    """
    from levadactl import demonstrating
    from levadactl.domains import domain_named
    from levadactl.errors import LevadactlError

    if data is not None and rows is not None:
        raise LevadactlError(f"--rows {rows}: is for made-up readings; {data} has its own")
    domain = domain_named("air_quality")
    found = demonstrating.run(
        domain,
        data=data.resolve() if data else None,
        rows=rows,
        say=console.say,
        bar=lambda what, total, unit: console.progress(what, total, unit=unit),
    )
    console.answer(found.to_json(), as_json=as_json, human=None if as_json else report(found, domain))
    if found.report.mismatches:
        raise typer.Exit(1)


def report(found: Demo, domain: Domain) -> RenderableType:
    """What a person sees at the end."""
    from levadactl import charts, demonstrating
    from levadactl.charts import number

    rows = demonstrating.per_metric(found, domain)
    means = demonstrating.daily_means(found.windows)
    table = console.table(
        "",
        ["metric", "windows", "missing", "out of range", "min", "mean", "max"],
        [
            [
                row["metric"],
                row["windows"],
                row["missing"],
                row["out_of_range"],
                *(number(row[name]) for name in ("min", "mean", "max")),
            ]
            for row in rows
        ],
    )
    width = max((len(row["metric"]) for row in rows), default=0)
    lines = [f"  {row['metric']:<{width}}  {charts.sparkline(means[row['metric']], CHART_WIDTH)}" for row in rows]
    first = rows[0]["metric"]
    plotted = [f"  {line}" for line in charts.plot(means[first], width=CHART_WIDTH)]
    chart = [f"Daily mean of {first}:", *plotted, "", "Daily means, each from its lowest to its highest:", *lines, ""]
    return console.together(_summary(found), table, "\n".join(chart), _next(found))


def _summary(found: Demo) -> str:
    answer = found.to_json()
    wrong = answer["verify"]["mismatches"]
    verdict = "0 mismatches" if not wrong else f"{wrong} MISMATCHES: {answer['verify']['examples'][:2]}"
    return "\n".join(
        [
            "",
            f"{found.file.name}: {answer['rows_read']} rows, {answer['bad_rows']} broken, {answer['empty_rows']} empty",
            (
                f"  {answer['measurements']} measurements = {answer['values']} values + {answer['missing']} missing"
                f" + {answer['out_of_range']} out of range"
            ),
            (
                f"  {answer['quarantined']} records in quarantine, {answer['silver_rows']} rows in silver"
                f" ({answer['silver_dates']} days), {answer['windows']} windows in gold"
            ),
            (
                f"  {answer['verify']['windows']} windows by one DuckDB query over the file: {verdict}"
                f" ({answer['seconds']} s)"
            ),
        ]
    )


def _next(found: Demo) -> str:
    return "\n".join(
        [
            "The demo's stack is still running. Try:",
            "  levada windows --metric co --width 86400 --limit 7",
            "  levada peek --from-start --limit 2",
            f"  curl '{found.place.api_url}/v1/series?domain=air_quality'",
            "Stop it with: levada down",
        ]
    )
