"""levada reprocess."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from levadactl import console
from levadactl.commands.options import AIR, DeclaredOption, micros
from levadactl.console import JsonOption

if TYPE_CHECKING:
    from levadactl.reprocessing.run import Report

KINDS = ("changed", "added", "removed", "same")
MAX_DAYS = 20
"""Days that are listed for people."""


def register(app: typer.Typer) -> None:
    """Add this module's command."""
    app.command(epilog="Example: levada reprocess --domain air_quality --since 2004-03-10 --until 2004-03-12 --apply")(
        reprocess
    )


def reprocess(
    domain: DeclaredOption = AIR,
    since: Annotated[
        str | None, typer.Option("--since", help="From the day of UTC of this time on: 2004-03-10, or -7d.")
    ] = None,
    until: Annotated[str | None, typer.Option("--until", help="Only days that begin before; like --since.")] = None,
    apply: Annotated[
        bool, typer.Option("--apply", help="Put it into effect, not only show what would differ.")
    ] = False,
    expect: Annotated[
        str | None, typer.Option("--expect", help="With --apply: only these changes, by the digest that was shown.")
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="With --apply: make days anew that do not differ, too.")
    ] = False,
    wait_s: Annotated[
        float, typer.Option("--wait", min=0, help="Seconds to wait for rows that are under way between the stages.")
    ] = 60.0,
    as_json: JsonOption = False,
) -> None:
    """Make days anew from bronze, by the code that is here: after a domain has changed, or a fault was mended.

    Shows what would differ: windows, rows, statistics. With --apply whole days of silver, events, windows and rollups
    are replaced, each at once; run again it finds nothing to do. Exit status 1 when days had to be left alone.
    """
    from levadactl.domains import the_one
    from levadactl.places import Place
    from levadactl.reprocessing.places import ports_of
    from levadactl.reprocessing.ports import Days
    from levadactl.reprocessing.run import reprocess as run

    if (expect is not None or everything) and not apply:
        raise typer.BadParameter("--expect and --all go with --apply")
    chosen, days = the_one(domain), Days.touched(micros("since", since), micros("until", until))
    report = run(
        ports_of(Place.current(), chosen),
        days,
        lambda what, total, unit: console.progress(what, total, unit=unit),
        apply=apply,
        expected=expect,
        unchanged=everything,
        wait_s=wait_s,
    )
    console.answer(report.to_json(), as_json=as_json, human=None if as_json else words(report, applied=apply))
    if report.left:
        raise typer.Exit(1)


def words(report: Report, *, applied: bool) -> Any:
    """The answer for people."""
    told, differing = report.to_json(), report.differing
    windows = told["windows"]
    lines = [
        f"{told['records']} records of bronze; {told['days']} days, {len(differing)} differ",
        f"windows: {windows['windows']} now; " + ", ".join(f"{windows[kind]} {kind}" for kind in KINDS),
    ]
    before = told["rows"]["before"]
    lines += [f"rows of {layer}: {before[layer]} now, {n} from bronze" for layer, n in told["rows"]["after"].items()]
    for name in ("refused", "statistics", "metrics"):
        if counts := ", ".join(f"{one} {n}" for one, n in sorted(told[name].items())):
            lines.append(f"{name}: {counts}")
    parts: list[Any] = ["\n".join(lines)]
    if differing:
        parts.append(_table(report))
    parts += [f"  {example}" for example in told["examples"]]
    parts += [f"left alone: {date}: {why}" for date, why in sorted(report.left.items())]
    parts.append(_end(report, applied=applied))
    return console.together(*parts)


def _table(report: Report) -> Any:
    from levadactl.charts import sparkline

    differing = report.differing
    rows = [
        [
            day.date,
            *(getattr(day, name) for name in ("windows", "changed", "added", "removed")),
            sum(one.rows for one in day.before.values()),
            sum(one.rows for one in day.after.values()),
        ]
        for day in differing[:MAX_DAYS]
    ]
    table = console.table("", ["day", "windows", "changed", "added", "removed", "rows now", "rows anew"], rows)
    counts = [float(day.changed + day.added + day.removed) for day in report.days]
    more = f"and {len(differing) - MAX_DAYS} days more\n" if len(differing) > MAX_DAYS else ""
    return console.together(
        table, f"{more}windows that differ, {report.days[0].date} to {report.days[-1].date}: {sparkline(counts)}"
    )


def _end(report: Report, *, applied: bool) -> str:
    if applied:
        finished = f", {len(report.finished)} that an earlier run had begun" if report.finished else ""
        return f"made anew: {len(report.applied)} days{finished}"
    if not report.differing:
        return "nothing to do"
    return f"nothing is changed yet; to put it into effect: the same with --apply --expect {report.digest}"
