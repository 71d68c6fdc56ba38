"""Options that several commands have: which series, which time, how many."""

from __future__ import annotations

from typing import Annotated

import typer

AIR = "air_quality"
DomainOption = Annotated[str, typer.Option("--domain", help="Whose series.")]
DeclaredOption = Annotated[
    str,
    typer.Option("--domain", help="Which domain: its name, module:NAME, or a Python file with a declaration to try."),
]
SeriesOption = Annotated[str | None, typer.Option("--series", help="Only this series.")]
MetricOption = Annotated[str | None, typer.Option("--metric", help="Only this metric.")]
SinceOption = Annotated[str | None, typer.Option("--since", help="2004-03-10, 2004-03-10T18:00:00Z, or -24h.")]
UntilOption = Annotated[str | None, typer.Option("--until", help="What begins before; like --since.")]
LimitOption = Annotated[int, typer.Option("--limit", min=1, max=10_000, help="How many.")]


def micros(name: str, text: str | None) -> int | None:
    """A time as the HTTP API reads it, microseconds since 1970; None for none. Raises ParameterError naming it."""
    from levada.query.parameters import time_us
    from levada.wiring import SystemClock

    return None if text is None else time_us(name, text, int(SystemClock().now_s() * 1_000_000))
