"""levada late ls."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from levadactl import console
from levadactl.commands.listing import AllOption, CsvOption, Listing, Rows, Wanted, show
from levadactl.commands.options import AIR, DomainOption, LimitOption, MetricOption, SeriesOption
from levadactl.console import JsonOption

if TYPE_CHECKING:
    from rich.console import RenderableType

late = typer.Typer(
    name="late",
    help="Rows that come after their window has closed: whose, how many, and by how much.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


def register(app: typer.Typer) -> None:
    """Add this module's commands."""
    if not late.registered_commands:
        late.command(epilog="Example: levada late ls --since -1h")(ls)
    app.add_typer(late)


@late.callback()
def _group() -> None:
    """A group even while it has one command."""


def ls(
    domain: DomainOption = AIR,
    since: Annotated[str | None, typer.Option("--since", help="Whose last late row came since: -1h.")] = None,
    series: SeriesOption = None,
    metric: MetricOption = None,
    limit: LimitOption = 20,
    every: AllOption = False,
    as_csv: CsvOption = False,
    as_json: JsonOption = False,
) -> None:
    """Series with late rows, most of them first: all are merged into their windows; over the HTTP API."""
    query = {"domain": domain, "since": since, "series": series, "metric": metric}
    show(Listing("/v1/late", "late", "after"), Wanted(query, limit, every, as_csv, as_json), _table)


def _table(found: Rows) -> RenderableType:
    rows = [
        [
            *(row[name] for name in ("tenant", "series", "metric", "rows", "beyond")),
            str(timedelta(seconds=row["largest_s"])),
            *(row[name] for name in ("last_time", "since", "last")),
        ]
        for row in found
    ]
    names = ["tenant", "series", "metric", "late rows", "beyond", "by up to", "last event", "since", "last came"]
    return console.table("", names, rows)
