"""levada dlq ls, show, redrive."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from levadactl import console
from levadactl.console import JsonOption

if TYPE_CHECKING:
    from levadactl.deadletters.counts import Report

dlq = typer.Typer(
    name="dlq",
    help="Records that could not be read, and batches that were given up: look at them, send them again.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


def register(app: typer.Typer) -> None:
    """Add this module's commands."""
    if not dlq.registered_commands:
        dlq.command(epilog="Example: levada dlq ls --json")(ls)
        dlq.command(epilog="Example: levada dlq show 3f9a")(show)
        dlq.command(epilog="Example: levada dlq redrive --reason unknown_domain --dry-run")(redrive)
    app.add_typer(dlq)


def ls(as_json: JsonOption = False) -> None:
    """Everything outstanding, by stage, domain and reason."""
    from levadactl.deadletters import listing
    from levadactl.deadletters.aws import ports_of
    from levadactl.places import Place

    found = listing.overview(ports_of(Place.current()))
    console.answer(found, as_json=as_json, human=None if as_json else _overview(found))


def _overview(found: dict[str, Any]) -> Any:
    if not (found["groups"] or found["batches"] or found["calls"]):
        return "no dead letters"
    parts = []
    if found["groups"]:
        parts.append(
            console.table(
                "refused records and rows",
                ["stage", "domain", "reason", "count", "first", "last", "id", "example"],
                [
                    [
                        *(one[n] for n in ("stage", "domain", "reason", "count", "first", "last")),
                        *one["example"].values(),
                    ]
                    for one in found["groups"]
                ],
            )
        )
    if found["batches"]:
        names = ("condition", "function", "batches", "records", "in_stream", "lost", "first", "last")
        rows = [[*(one[n] for n in names), " ".join(one["ids"][:3])] for one in found["batches"]]
        parts.append(console.table("discarded batches", [*names, "ids"], rows))
    if found["calls"]:
        fields = ("id", "condition", "function", "time")
        rows = [[*(one[n] for n in fields), " ".join(one["keys"])] for one in found["calls"]]
        parts.append(console.table("failed calls", [*fields, "files"], rows))
    return console.together(*parts)


def show(
    letter: Annotated[str, typer.Argument(metavar="ID", help="As `ls` names it, or the beginning of it.")],
    as_json: JsonOption = False,
) -> None:
    """One dead letter: payload (text, or hex), reason, detail, stage, position, time, trace."""
    from levadactl.deadletters import listing
    from levadactl.deadletters.aws import ports_of
    from levadactl.places import Place

    console.answer(listing.show(ports_of(Place.current()), letter), as_json=as_json)


def redrive(
    reason: Annotated[
        str | None, typer.Option("--reason", help="Only these; of a batch or call its condition.")
    ] = None,
    domain: Annotated[str | None, typer.Option("--domain", help="Only rows and records of this domain.")] = None,
    letter: Annotated[str | None, typer.Option("--id", help="Only this one, as `ls` names it.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="All of them.")] = False,
    rate: Annotated[str | None, typer.Option("--rate", help="Records a second at most, such as 100/s.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would pass now, and what not.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Send dead letters again, each once, however often this is repeated or interrupted.

    Rows and records that would be refused again stay where they are. Exit status 1 when something chosen does.
    """
    from levadactl.deadletters.aws import ports_of
    from levadactl.deadletters.sending import Choice
    from levadactl.deadletters.sending import redrive as run
    from levadactl.places import Place

    if everything == bool(reason or domain or letter):
        raise typer.BadParameter("choose by --reason, --domain and --id, or --all, and not both")
    pace = _rate(rate)

    def progress(total: int) -> AbstractContextManager[console.Advance]:
        return console.progress("trying" if dry_run else "redriving", total, unit="records")

    choice = Choice(reason=reason, domain=domain, id=letter)
    report = run(ports_of(Place.current()), choice, dry_run=dry_run, rate=pace, progress=progress)
    console.answer(report.to_json(), as_json=as_json, human=None if as_json else _words(report))
    if any(one.failing for one in (report.letters, report.files, report.batches, report.calls)):
        raise typer.Exit(1)


def _rate(text: str | None) -> float | None:
    if text is None:
        return None
    try:
        rate = float(text.removesuffix("/s"))
    except ValueError:
        rate = 0.0
    if not rate > 0:
        raise typer.BadParameter(f"--rate {text!r}: must be a number of records a second above 0, such as 100/s")
    return rate


def _words(report: Report) -> str:
    lines = ["nothing was sent: this is what would happen now"] if report.dry_run else []
    did = "would pass" if report.dry_run else "sent"
    letters, batches = report.letters, report.batches
    if letters.selected:
        n = letters.passing if report.dry_run else letters.sent
        lines.append(
            f"records and rows: {n} of {letters.selected} {did}, with {letters.rows} rows{_why(letters.failing)}"
        )
    if letters.refused_rows:
        lines.append(f"  rows in them that would be refused alone{_why(letters.refused_rows)}")
    if report.files.selected:
        n = report.files.passing if report.dry_run else report.files.sent
        lines.append(f"files: {n} of {report.files.selected} {did}{_why(report.files.failing)}")
    if batches.selected:
        n = batches.records if report.dry_run else batches.sent
        lines.append(
            f"discarded batches: {batches.selected} with {batches.records} records in the stream, {n} "
            f"{'to send' if report.dry_run else 'sent'}, {batches.rows} rows{_why(batches.failing)}"
        )
        if batches.published:
            lines.append(f"  {batches.published} of the rows are in windows already; they go into the lake only")
        if batches.applied:
            lines.append(f"  {batches.applied} records had been committed before they were given up")
        if batches.lost:
            lines.append(f"  {batches.lost} records are no longer in the stream: they cannot be redriven from here")
    if report.calls.selected:
        lines.append(f"calls: {report.calls.selected}, {report.calls.sent} done{_why(report.calls.failing)}")
    return "\n".join(lines) or "no dead letter is outstanding that fits"


def _why(failing: dict[str, int]) -> str:
    return "; not: " + ", ".join(f"{n} {reason}" for reason, n in sorted(failing.items())) if failing else ""
