"""levada verify."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from levadactl import console
from levadactl.console import JsonOption

if TYPE_CHECKING:
    from levadactl.verify import Report


def register(app: typer.Typer) -> None:
    """Add this module's command."""
    app.command(epilog="Example: levada verify --file AirQualityUCI.csv")(verify)


def verify(
    file: Annotated[
        Path | None,
        typer.Option(
            "--file", exists=True, dir_okay=False, help="The one file that was loaded. Without it: all of bronze."
        ),
    ] = None,
    domain: Annotated[str, typer.Option("--domain", help="Which domain.")] = "air_quality",
    as_json: JsonOption = False,
) -> None:
    """Compare what levada holds with one DuckDB query over what it was given. Exit status 1 when they differ.

    Every window of gold and of the serving table: count, missing, min, max, first and last exactly, sum and mean to
    1e-9. Silver: every measurement once, under its date.
    """
    from levadactl.domains import domain_named
    from levadactl.places import Place
    from levadactl.verify import verify_place

    report = verify_place(Place.current(), domain_named(domain), file=file)
    console.answer(report.to_json(), as_json=as_json, human=words(report))
    if report.mismatches:
        raise typer.Exit(1)


def words(report: Report) -> str:
    """The verdict for people."""
    silver = report.silver
    lines = [
        f"{report.windows} windows by DuckDB over {report.source}: {report.mismatches} mismatches",
        f"  gold     {report.gold.found} windows, {report.gold.mismatches} differ",
        f"  serving  {report.serving.found} windows, {report.serving.mismatches} differ",
        (
            f"  silver   {silver.distinct} of {silver.expected} measurements in {silver.dates} days, "
            f"{silver.duplicates} twice, {silver.misplaced} under a wrong date"
        ),
    ]
    if report.open:
        lines.append(f"  {report.open} windows are still open; archive closes them when no more rows come")
    gone = {layer: n for layer, n in report.retained.counts().items() if n}
    if gone:
        days = ", ".join(f"{n} days of {layer}" for layer, n in gone.items())
        lines.append(f"  not compared, since retention has taken them: {days}")
    if report.orphans:
        lines.append(f"  {report.orphans} silver objects were never committed; readers take distinct rows")
    if report.truth.refused:
        lines.append(f"  rows that cannot be read: {', '.join(f'{n} {r}' for r, n in report.truth.refused.items())}")
    if report.drained is False:
        lines.append("  the streams are not read to their ends yet: `levada status --lag`, then verify again")
    lines += [f"  {example}" for example in report.examples]
    return "\n".join(lines)
