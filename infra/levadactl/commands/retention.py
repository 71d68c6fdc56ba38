"""levada retention."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from levadactl import console
from levadactl.console import JsonOption
from levadactl.errors import LevadactlError


class RetentionError(LevadactlError):
    """The deployment does not delete from the lake."""


def register(app: typer.Typer) -> None:
    """Add this module's command."""
    app.command(epilog="Example: levada retention --dry-run")(retention)


def retention(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Delete from the lake what is older than the policy says, as the schedule does every day.

    Whole days go, and only when all that was made of them is there; what waits is told, with why. Needs a deployment
    with Retention=ENABLED; --dry-run does not.
    """
    from levadactl import loading
    from levadactl.places import Place

    with console.progress("looking through the lake", 0):
        answer = loading.order_archive(Place.current(), {"retention": "look" if dry_run else "due"})["retention"]
    if not dry_run and not answer["enabled"]:
        raise RetentionError(
            "LEVADA_RETENTION is DISABLED here: nothing was deleted. Look at `levada retention --dry-run`, then deploy "
            "with the parameter Retention=ENABLED"
        )
    console.answer(answer, as_json=as_json, human=None if as_json else shown(answer))


def shown(answer: dict[str, Any]) -> Any:
    """The answer for people."""
    columns = ["layer", "domain", "partitions", "first", "last", "objects", "bytes"]
    rows = [[f"{row[name]:,}" if name == "bytes" else row[name] for name in columns] for row in answer["rows"]]
    does = "would be deleted" if answer["dry"] else "deleted"
    lines = [f"{answer['objects']} objects, {answer['bytes']:,} bytes {does}"]
    lines += ["the time did not suffice for all: run it again"] if answer["left"] else []
    if answer["waiting"]:
        lines.append(f"{answer['waiting']} partitions are old enough and wait:")
        lines += [f"  {why}" for why in answer["waiting_for"]]
    if answer["dry"] and not answer["enabled"]:
        lines.append("this deployment deletes nothing from the lake (LEVADA_RETENTION is DISABLED)")
    return console.together(console.table("", columns, rows), "\n".join(lines))
