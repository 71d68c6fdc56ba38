"""Air quality: hourly readings of a gas multi-sensor and its reference analyser, as UCI publishes them.

The published file has ``;`` between fields, a decimal comma, day-first dates, times like ``18.00.00`` and -200 for
"no value". Copies in circulation use ``,`` with quoted decimals, a BOM, ``-`` in dates, ISO times, decimal points:
all of them give the same rows. Limits: requirements B12.
"""

from __future__ import annotations

from levada.domains.declaration import Domain, Metric, Time

AIR_QUALITY = Domain(
    name="air_quality",
    about="Hourly readings of a gas multi-sensor and its reference analyser, as UCI publishes them.",
    time=Time(
        columns=("Date", "Time"),
        formats=("%d-%m-%Y %H:%M:%S", "%Y-%m-%d %H:%M:%S", "%d-%m-%Y %H:%M", "%Y-%m-%d %H:%M"),
    ),
    metrics={
        "CO(GT)": Metric("co", 0, 50),  # mg/m³
        "PT08.S1(CO)": Metric("pt08_s1_co", 0),  # sensor response, tin oxide
        "NMHC(GT)": Metric("nmhc"),  # µg/m³
        "C6H6(GT)": Metric("c6h6", 0, 200),  # µg/m³
        "PT08.S2(NMHC)": Metric("pt08_s2_nmhc", 0),
        "NOx(GT)": Metric("nox", 0, 1000),  # ppb
        "PT08.S3(NOx)": Metric("pt08_s3_nox", 0),
        "NO2(GT)": Metric("no2", 0, 400),  # µg/m³
        "PT08.S4(NO2)": Metric("pt08_s4_no2", 0),
        "PT08.S5(O3)": Metric("pt08_s5_o3", 0),
        "T": Metric("temperature", -40, 60),  # °C
        "RH": Metric("relative_humidity", 0, 100),  # %
        "AH": Metric("absolute_humidity", 0, 50),  # g/m³
    },
    sentinels=(-200.0,),
    constants={"series": "station-1"},
    window_s=3600,
    lateness_s=3600,
)
