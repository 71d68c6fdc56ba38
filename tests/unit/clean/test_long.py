"""Long sources: one value per row, the metric's name in a column (D3, D6, D13)."""

from __future__ import annotations

import pytest

from levada.core.records import MEASUREMENT
from levada.domains.declaration import Domain, Long, Metric, Time
from levada.domains.sensor import SENSOR
from levadactl.testing import Cleaned

AIR = Domain(
    name="air",
    time=Time(columns=("utc",), formats=("iso",)),
    keys={"site": "city", "series": "station"},
    long=Long(metric="parameter", value="value", uom="unit", uoms={("ppm", "ppb"): (1000.0, 0.0)}),
    metrics={"pm25": Metric("pm2_5", 0, 1000, uom="µg/m³"), "o3": Metric("ozone", 0, 500, uom="ppb")},
    sentinels=(-999.0,),
    missing=("NA",),
)


def table(cleaned: Cleaned, *rows: tuple[str, str, str]) -> bytes:
    parameter, value, unit = (list(column) for column in zip(*rows, strict=True))
    n = len(rows)
    times = [f"2025-12-01T00:00:{i:02d}Z" for i in range(n)]
    same = {"utc": times, "city": ["Porto"] * n, "station": [" A "] * n}
    return cleaned.table(same | {"parameter": parameter, "value": value, "unit": unit})


def test_each_row_is_judged_by_the_limits_of_its_own_metric() -> None:
    cleaned = Cleaned(AIR)

    cleaned.run([table(cleaned, ("pm25", "12,5", "µg/m³"), ("o3", "0.04", "ppm"), ("o3", "501", "ppb"),
                       ("pm25", "-999", ""), ("pm25", "NA", ""), ("o3", "", ""))])  # fmt: skip

    found = sorted((r["time"].second, r["metric"], r["value"], r["quality"]) for r in cleaned.rows("silver/"))
    assert found == [
        (0, "pm2_5", 12.5, 0),
        (1, "ozone", 40.0, 0),
        (2, "ozone", None, 4),
        (3, "pm2_5", None, 2),
        (4, "pm2_5", None, 1),
        (5, "ozone", None, 1),
    ]
    counts = cleaned.counters()
    assert (counts["rows"], counts["measurements"], counts["values"]) == (6, 6, 2)
    assert (counts["missing"], counts["missing:pm2_5"], counts["out_of_range:ozone"]) == (3, 2, 1)


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (("pm10", "1", ""), "unknown_metric"),
        (("pm25", "1", "ppm"), "unknown_uom"),
        (("pm25", "many", ""), "not_a_number"),
        (("", "1", ""), "missing_field"),
    ],
)
def test_a_bad_row_goes_to_quarantine_and_its_neighbours_on(row: tuple[str, str, str], reason: str) -> None:
    cleaned = Cleaned(AIR)

    summary = cleaned.run([table(cleaned, ("pm25", "1", ""), row, ("o3", "2", ""))])

    assert (summary.rows, summary.quarantined) == (2, 1)
    assert cleaned.refused() == {reason: 1}
    assert {r["row"] for r in cleaned.rows("silver/")} == {0, 2}


def test_two_sensors_of_a_machine_never_share_a_series() -> None:
    """D13: the old key left the sensor out."""
    cleaned = Cleaned(SENSOR)
    base: dict[str, object] = {
        "domain": "sensor",
        "timestamp": "2025-12-01T00:00:00Z",
        "factory_id": "f1",
        "machine_id": "m1",
    }

    cleaned.json(*(base | {"sensor_id": s, "metric": "temperature", "value": v} for s, v in (("a", 1), ("b", "2.5"))))

    assert cleaned.measured() == {("m1", "a", "temperature"): 1.0, ("m1", "b", "temperature"): 2.5}


def test_the_rows_published_are_canonical_and_each_lane_is_in_the_order_of_the_stream() -> None:
    cleaned = Cleaned(SENSOR)
    rows: list[dict[str, object]] = [
        {"timestamp": "2025-12-01T00:00:00Z", "machine_id": "m", "sensor_id": f"s{i % 3}", "metric": "a", "value": i}
        for i in range(30)
    ]
    cleaned.run([cleaned.pack(*rows[:20]), cleaned.pack(*rows[20:], n=1)])

    found = []
    for header, published in cleaned.published():
        assert published.schema.equals(MEASUREMENT)
        assert "kind" not in (header.extra or {})
        places = list(zip(published["sequence"].to_pylist(), published["row"].to_pylist(), strict=True))
        assert places == sorted(places)
        assert [list(places[0]), list(places[-1])] == [(header.extra or {})["first"], (header.extra or {})["last"]]
        found += published["value"].to_pylist()
    assert sorted(found) == list(range(30))


def test_unknown_names_become_metrics_of_an_open_long_source_with_their_unit() -> None:
    open_air = Domain(name="air", time=AIR.time, keys=AIR.keys, long=AIR.long, open_metrics=True)
    cleaned = Cleaned(open_air)

    cleaned.run([table(cleaned, ("Nitrate", "1", "mg/l"), ("NITRATE", "2", "µg/l"), ("pH", "7", ""))])

    assert {r["metric"] for r in cleaned.rows("silver/")} == {"nitrate_mg_l", "nitrate_µg_l", "ph"}
