"""Options that several commands have: which series, which time, how many."""

from __future__ import annotations

from typing import Annotated

import typer

AIR = "air_quality"
DomainOption = Annotated[str, typer.Option("--domain", help="Whose series.")]
SeriesOption = Annotated[str | None, typer.Option("--series", help="Only this series.")]
MetricOption = Annotated[str | None, typer.Option("--metric", help="Only this metric.")]
SinceOption = Annotated[str | None, typer.Option("--since", help="2004-03-10, 2004-03-10T18:00:00Z, or -24h.")]
UntilOption = Annotated[str | None, typer.Option("--until", help="What begins before; like --since.")]
LimitOption = Annotated[int, typer.Option("--limit", min=1, max=10_000, help="How many.")]
