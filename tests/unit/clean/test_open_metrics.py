"""Open metrics: whatever column holds a number is a metric (A12)."""

from __future__ import annotations

import pyarrow as pa

from levada.clean.measured import MAX_OPEN_COLUMNS
from levada.domains.telemetry import TELEMETRY
from levadactl.testing import Cleaned

AT = "2025-12-01T00:00:00Z"


def item(unit: str = "u1", **values: object) -> dict[str, object]:
    return {"domain": "telemetry", "timestamp": AT, "unit": unit, **values}


def test_every_number_of_an_object_is_a_metric_and_text_is_none() -> None:
    cleaned = Cleaned(TELEMETRY)

    cleaned.json(item(temp=1.5, rpm="1200", state="ok", on=True, nested={"a": 1}, none=None), item("u2", big=2**70))

    assert cleaned.measured() == {("u1", "", "temp"): 1.5, ("u1", "", "rpm"): 1200.0, ("u2", "", "big"): float(2**70)}
    assert [cleaned.counters()[name] for name in ("rows", "measurements", "values")] == [2, 3, 3]


def test_columns_give_the_same_as_objects() -> None:
    columns, objects = Cleaned(TELEMETRY), Cleaned(TELEMETRY)
    columns.run(
        [
            columns.table(
                {"timestamp": [AT, AT], "unit": ["u1", "u2"], "temp": ["1,5", ""], "state": ["ok", "7"]}
                | {"n": pa.array([None, 3])}
            )
        ]
    )
    objects.json(item("u1", temp=1.5, state="ok"), item("u2", state=7, n=3))

    assert (
        columns.measured()
        == objects.measured()
        == {
            ("u1", "", "temp"): 1.5,
            ("u2", "", "state"): 7.0,
            ("u2", "", "n"): 3.0,
        }
    )


def test_a_row_is_judged_by_itself_whatever_stands_beside_it() -> None:
    rows = [item(temp="n/a"), item(temp=1.0), item("u2", other="x", temp="2")]
    together, apart = Cleaned(TELEMETRY), Cleaned(TELEMETRY)

    together.run([together.pack(*rows)])
    for n, row in enumerate(rows):
        apart.run([apart.pack(row, n=n)])

    assert together.measured() == apart.measured()
    assert together.refused() == apart.refused() == {"no_known_field": 1}


def test_what_is_no_row_goes_to_quarantine_with_its_reason() -> None:
    cleaned = Cleaned(TELEMETRY)
    many = item() | {f"m{i}": i for i in range(MAX_OPEN_COLUMNS + 1)}

    cleaned.run(
        [cleaned.pack(item("", a=1), item(a=1) | {"timestamp": "soon"}, item() | {"unit": [1]}, many, 5, item(a=2))]
    )

    assert cleaned.refused() == {
        "missing_field": 1,
        "not_a_time": 1,
        "not_a_text": 1,
        "too_many_columns": 1,
        "not_an_object": 1,
    }
    assert cleaned.measured() == {("u1", "", "a"): 2.0}
    assert cleaned.counters()["rows"] + cleaned.counters()["quarantined"] == 6


def test_epoch_and_iso_times_stand_side_by_side() -> None:
    cleaned = Cleaned(TELEMETRY)

    cleaned.json(item(a=1), item(a=2) | {"timestamp": 1764547260}, item(a=3) | {"timestamp": 1764547320123})

    times = sorted(row["time"].isoformat() for row in cleaned.rows("silver/"))
    assert times == [
        "2025-12-01T00:00:00+00:00",
        "2025-12-01T00:01:00+00:00",
        "2025-12-01T00:02:00.123000+00:00",
    ]
