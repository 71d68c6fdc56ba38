"""Air quality of many stations, one value per row: long, each parameter in a unit of its own, -999 for no value."""

from levada.domains.declaration import Domain, Long, Metric, Time

OPENAQ = Domain(
    name="openaq",
    about="Measurements in the form of OpenAQ's archive.",
    time=Time(columns=("utc",), formats=("iso",)),
    keys={"site": "city", "series": "location"},
    long=Long(metric="parameter", value="value", uom="unit", uoms={("ppm", "ppb"): (1000, 0)}),
    metrics={
        "pm25": Metric("pm2_5", 0, 1000, uom="µg/m³"),
        "pm10": Metric("pm10", 0, 2000, uom="µg/m³"),
        "o3": Metric("ozone", 0, 500, uom="ppb"),
    },
    sentinels=(-999.0,),
    window_s=3600,
    lateness_s=86_400,
)
