"""levada run."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

import typer

from levadactl import console
from levadactl.console import JsonOption
from levadactl.errors import LevadactlError


class Duty(StrEnum):
    """What archive does by the clock."""

    idle = "idle"
    compact = "compact"
    rollups = "rollups"
    retention = "retention"


ORDERS: dict[Duty, dict[str, Any]] = {
    Duty.idle: {},
    Duty.compact: {"compact": "due"},
    Duty.rollups: {"rollups": "due"},
    Duty.retention: {"retention": "due"},
}
"""What the template's schedules send; a test compares."""


def register(app: typer.Typer) -> None:
    """Add this module's command."""
    app.command(epilog="Example: levada run idle rollups --idle-after 0")(run)


def run(
    duties: Annotated[list[Duty], typer.Argument(help="One or more of them, done in this order.")],
    idle_after: Annotated[
        int | None,
        typer.Option(
            "--idle-after", min=0, max=86_400, help="Close windows of shards without rows for so many seconds."
        ),
    ] = None,
    domain: Annotated[str | None, typer.Option("--domain", help="For compact: only this domain, with --date.")] = None,
    date: Annotated[str | None, typer.Option("--date", help="For compact: only this day, as YYYY-MM-DD.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Do now what the schedules do by the clock. Doing it once more changes nothing.

    idle (every minute): emit what could not be emitted, close windows of idle shards, and look for anomalies in them.
    compact (every hour): make the many small objects of a day few. rollups (every hour): hours, days, weeks, months,
    KPI, silent series. retention (every day): delete what the policy says may go, where that is switched on.
    """
    from levadactl.loading import LoadError, order_archive
    from levadactl.places import Place

    orders = {duty: _order(duty, idle_after, domain, date) for duty in dict.fromkeys(duties)}
    if (domain or date) and Duty.compact not in orders:
        raise LevadactlError("--domain, --date: are for compact; levada rollups make has a --domain of its own")
    place, answers, failed = Place.current(), dict[str, Any](), dict[str, str]()
    with console.progress(f"running {', '.join(orders)}", len(orders), unit="duties") as advance:
        for duty, order in orders.items():
            try:
                answers[duty.value] = order_archive(place, order)
            except LoadError as err:  # the others do not wait for it
                failed[duty.value] = str(err)
            advance(1)
    console.answer(answers | ({"failed": failed} if failed else {}), as_json=as_json)
    if failed:
        raise typer.Exit(1)


def _order(duty: Duty, idle_after: int | None, domain: str | None, date: str | None) -> dict[str, Any]:
    order = dict(ORDERS[duty])
    if idle_after is not None:
        order["idle_after_s"] = idle_after
    if duty is Duty.compact and (domain or date):
        if not (domain and date):
            raise LevadactlError(f"--domain {domain} --date {date}: of a partition, both must be given")
        order["compact"] = {"domain": domain, "date": date}
    return order
