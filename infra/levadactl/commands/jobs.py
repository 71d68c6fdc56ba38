"""levada jobs, events."""

from __future__ import annotations

from typing import Annotated

import typer

from levadactl import console
from levadactl.commands.options import LimitOption, SinceOption, UntilOption
from levadactl.console import JsonOption

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
    as_json: JsonOption = False,
) -> None:
    """The latest state of each job, newest first, over the HTTP API."""
    query = {"from": since, "to": until, "status": status, "app": app, "site": site, "parent": parent}
    name = "subjobs" if sub or parent else "jobs"
    _show(f"/v1/{name}", name, query, limit, SHOWN, as_json=as_json)


def events(
    domain: Annotated[str, typer.Option("--domain", help="Whose events.")],
    kind: Annotated[str | None, typer.Option("--type", help="Only this event type.")] = None,
    entity: Annotated[str | None, typer.Option("--entity", help="Only this entity's.")] = None,
    since: SinceOption = None,
    until: UntilOption = None,
    limit: LimitOption = 20,
    as_json: JsonOption = False,
) -> None:
    """What happened, in order of time, over the HTTP API."""
    query = {"domain": domain, "event_type": kind, "entity_id": entity, "since": since, "until": until}
    _show("/v1/events", "events", query, limit, EVENT, as_json=as_json)


def _show(
    path: str, name: str, query: dict[str, str | None], limit: int, columns: tuple[str, ...], *, as_json: bool
) -> None:
    from levadactl.http import get
    from levadactl.places import Place

    asked = {k: v for k, v in (query | {"limit": str(limit)}).items() if v is not None}
    found = get(Place.current().api_url, path, asked)
    human = console.table("", list(columns), [[row.get(column) for column in columns] for row in found[name]])
    console.answer(found, as_json=as_json, human=None if as_json else human)
