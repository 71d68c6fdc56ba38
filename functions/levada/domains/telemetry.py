"""Telemetry of units: a time, a unit, and any number of numeric columns, each a metric of its own (A12)."""

from __future__ import annotations

from levada.domains.declaration import Domain, Time

TELEMETRY = Domain(
    name="telemetry",
    about="Time series of units; every numeric column becomes a metric, under its own name.",
    time=Time(columns=("timestamp",), formats=("iso", "epoch")),
    keys={"unit": "unit"},
    needed=("unit",),
    open_metrics=True,
    missing=("NaN", "NA", "null"),
    silence_s=900,
)
