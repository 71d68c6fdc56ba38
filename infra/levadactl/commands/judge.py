"""levada judge."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer

from levadactl import console
from levadactl.commands.options import (
    AIR,
    DeclaredOption,
    LimitOption,
    MetricOption,
    SeriesOption,
    SinceOption,
    UntilOption,
    micros,
)
from levadactl.console import JsonOption

if TYPE_CHECKING:
    from levadactl.rejudging import Verdict

WORDS = {
    "same": "as told",
    "changed": "told otherwise",
    "only_anew": "not told before",
    "only_told": "told and no longer found",
}


def register(app: typer.Typer) -> None:
    """Add this module's command."""
    app.command(epilog="Example: levada judge --domain air_quality --metric co --since 2004-04-01")(judge)


def judge(
    domain: DeclaredOption = AIR,
    since: SinceOption = None,
    until: UntilOption = None,
    series: SeriesOption = None,
    metric: MetricOption = None,
    limit: LimitOption = 20,
    as_json: JsonOption = False,
) -> None:
    """Judge history anew: what would be an anomaly by the declaration and control limits that are here now.

    Shows what was told otherwise, or not, as the windows closed: after thresholds or limits have changed, after late
    rows, and after days were made anew. Nothing is written, and nobody is told.
    """
    from levada.wiring import SystemClock
    from levadactl import rejudging
    from levadactl.domains import the_one
    from levadactl.loading import Lake
    from levadactl.places import Place

    given = {name: value for name, value in (("series", series), ("metric", metric)) if value is not None}
    wanted = rejudging.Range(micros("since", since), micros("until", until), given)
    chosen, lake = the_one(domain), Lake.of(Place.current())
    gold = rejudging.gold_of(lake, chosen, wanted)
    with console.progress("judging days", len(gold), unit="days") as advance:
        now_s = SystemClock().now_s()
        verdict = rejudging.judge(lake, chosen, wanted, gold, now_s=now_s, most=limit, on_day=lambda: advance(1))
    told = {"windows": verdict.windows, **verdict.counts(), "days": verdict.days, "differing": verdict.differing}
    told |= {"problems": verdict.problems}
    console.answer(told, as_json=as_json, human=None if as_json else _words(verdict))


def _words(verdict: Verdict) -> Any:
    """The answer for people."""
    from levadactl.charts import number, sparkline

    counts = verdict.counts()
    parts: list[Any] = [f"{verdict.windows} windows; " + ", ".join(f"{n} {WORDS[kind]}" for kind, n in counts.items())]
    parts += [f"judged without limits: {problem}" for problem in verdict.problems]
    if verdict.differing:
        numbers = ("value", "lower", "upper", "z")
        names = ["", "window", "series", "metric", "rule", "severity", *numbers, "severity told"]
        rows = [
            [WORDS[one["is"]], *(one[n] for n in ("time", "series", "metric", "rule", "severity"))]
            + [number(one[n]) for n in numbers]
            + [one.get("told", {}).get("severity", "")]
            for one in verdict.differing
        ]
        parts.append(console.table("", names, rows))
        if (more := sum(counts.values()) - counts["same"] - len(rows)) > 0:
            parts.append(f"and {more} more: --limit, or --since")
    if len(verdict.days) > 1:
        days = sorted(verdict.days)
        found = [float(sum(n for kind, n in verdict.days[day].items() if kind != "only_told")) for day in days]
        parts.append(f"anomalies now, {days[0]} to {days[-1]}, days that have any: {sparkline(found)}")
    return console.together(*parts)
