"""levada jobs, events."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from levadactl import console
from levadactl.commands.listing import AllOption, CsvOption, Listing, Rows, Wanted, show
from levadactl.commands.options import LimitOption, SinceOption, UntilOption
from levadactl.console import JsonOption

if TYPE_CHECKING:
    from rich.console import RenderableType

SHOWN = ("time", "site", "entity_id", "parent_id", "app", "status", "event_type", "duration_s")
EVENT = ("time", "site", "entity_type", "entity_id", "event_type", "severity", "value")


def register(app: typer.Typer) -> None:
    """Add this module's commands."""
    app.command(epilog="Example: levada jobs --status running,failed --app render")(jobs)
    app.command(epilog="Example: levada events --domain jobs --type error --since -24h")(events)


def jobs(
    sub: Annotated[bool, typer.Option("--sub", help="Subjobs instead.")] = False,
    since: Annotated[str | None, typer.Option("--from", help="Last heard of at or after: -24h, a day, a time.")] = None,
    until: Annotated[str | None, typer.Option("--to", help="Last heard of before; like --from.")] = None,
    status: Annotated[str | None, typer.Option("--status", help="Only these, with commas between.")] = None,
    app: Annotated[str | None, typer.Option("--app", help="Part of the application's name.")] = None,
    site: Annotated[str | None, typer.Option("--site", help="Only this site.")] = None,
    parent: Annotated[str | None, typer.Option("--parent", help="Only subjobs of this job.")] = None,
    limit: LimitOption = 20,
    every: AllOption = False,
    as_csv: CsvOption = False,
    as_json: JsonOption = False,
) -> None:
    """The latest state of each job, newest first, over the HTTP API."""
    query = {"from": since, "to": until, "status": status, "app": app, "site": site, "parent": parent}
    name = "subjobs" if sub or parent else "jobs"
    show(Listing(f"/v1/{name}", name, "to"), Wanted(query, limit, every, as_csv, as_json), partial(_table, SHOWN))


def events(
    domain: Annotated[str, typer.Option("--domain", help="Whose events.")],
    kind: Annotated[str | None, typer.Option("--type", help="Only this event type.")] = None,
    entity: Annotated[str | None, typer.Option("--entity", help="Only this entity's.")] = None,
    since: SinceOption = None,
    until: UntilOption = None,
    limit: LimitOption = 20,
    every: AllOption = False,
    as_csv: CsvOption = False,
    as_json: JsonOption = False,
) -> None:
    """What happened, in order of time, over the HTTP API."""
    query = {"domain": domain, "event_type": kind, "entity_id": entity, "since": since, "until": until}
    show(Listing("/v1/events", "events"), Wanted(query, limit, every, as_csv, as_json), partial(_table, EVENT))


def _table(columns: Sequence[str], rows: Rows) -> RenderableType:
    return console.table("", columns, [[row.get(column) for column in columns] for row in rows])
