"""Laboratory samples: station, sample, analyte, value and its unit of measurement, one analyte per row (D6)."""

from __future__ import annotations

from levada.domains.declaration import Domain, Long, Time, Watch

LAB = Domain(
    name="lab",
    about="Analytes of samples by station; a metric's name ends in its unit, so that two units never mix.",
    time=Time(columns=("sampled_at",), formats=("iso", "epoch")),
    keys={"site": "station"},
    long=Long(metric="analyte", value="value", uom="unit", event_id="sample"),
    open_metrics=True,
    needed=("station", "sample"),
    optional=("unit",),
    missing=("NaN", "NA", "n.d.", "null"),
    window_s=3600,
    lateness_s=86_400,
    watch=(Watch(estimate=20),),  # Western Electric rules, by the first 20 samples where no control limits are set
)
