"""Sensors of machines, one value per row: factory, machine, sensor, metric, value (D3, D13)."""

from __future__ import annotations

from levada.domains.declaration import Domain, Long, Time

SENSOR = Domain(
    name="sensor",
    about="Readings of machine sensors, one value per row; two sensors of a machine never share a series.",
    time=Time(columns=("timestamp",), formats=("iso", "epoch")),
    keys={"site": "factory_id", "unit": "machine_id", "series": "sensor_id"},
    needed=("machine_id", "sensor_id"),
    long=Long(metric="metric", value="value"),
    open_metrics=True,
    optional=("factory_id",),
    sentinels=(-9999.0,),
    missing=("NaN", "NA", "null"),
    silence_s=900,
)
