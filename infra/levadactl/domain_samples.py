"""Payloads of every domain, good ones and each kind of bad one: for event files, the docs and the tests."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Item = Mapping[str, Any]
AT = "2025-12-01T00:00:00Z"
NO_DAY = "2025-02-31T00:00:00Z"
FUTURE = "2099-01-01T00:00:00Z"


@dataclass(frozen=True, slots=True)
class Sample:
    """JSON items of one domain, without the field ``domain``."""

    good: tuple[Item, ...]
    """The first is the one that the docs show."""
    bad: Mapping[str, Item]
    """Reason slug of the quarantine → an item that is refused for it; a name behind ``/`` tells equal ones apart."""
    columns: tuple[str, ...] = field(default=())
    """Header line of the same as a CSV file; the fields of all good items when empty."""

    def header(self) -> tuple[str, ...]:
        return self.columns or tuple(dict.fromkeys(name for item in self.good for name in item))


def _air(**changed: Any) -> Item:
    fields = {"Date": "2025-12-01", "Time": "00:00:00", "CO(GT)": 2.6, "PT08.S1(CO)": 1360, "NMHC(GT)": 150}
    fields |= {"C6H6(GT)": 11.9, "PT08.S2(NMHC)": 1046, "NOx(GT)": 166, "PT08.S3(NOx)": 1056, "NO2(GT)": 113}
    fields |= {"PT08.S4(NO2)": 1692, "PT08.S5(O3)": 1268, "T": 13.6, "RH": 48.9, "AH": 0.7578}
    return fields | changed


def _unit(**changed: Any) -> Item:
    return {"timestamp": AT, "unit": "unit-01", "voltage": 230.4, "current": 17.25, "temperature": 48.5} | changed


def _sensor(**changed: Any) -> Item:
    fields = {"timestamp": AT, "factory_id": "factory-1", "machine_id": "m1", "sensor_id": "s1"}
    return fields | {"metric": "temperature", "value": 61.5} | changed


def _job(**changed: Any) -> Item:
    fields = {"idempotency_key": "job-1-0", "time": AT, "site": "koper", "app": "render", "entity": "job"}
    return fields | {"id": "job-1", "event": "started"} | changed


def _device(**changed: Any) -> Item:
    return {"timestamp": AT, "device_id": "pump-7", "site": "koper", "status": "degraded"} | changed


def _sweep(**changed: Any) -> Item:
    fields = {"timestamp": AT, "factory_id": "factory-1", "machine_id": "m1", "metric": "vibration"}
    return fields | {"sweep_id": "sweep-1", "readings": [2.4, 2.6, 2.5]} | changed


def _lab(**changed: Any) -> Item:
    fields = {"sampled_at": AT, "station": "st-3", "sample": "2025-1201", "analyte": "Nitrate"}
    return fields | {"value": 4.2, "unit": "mg/l"} | changed


def _shop(event_type: str, **changed: Any) -> Item:
    return {"timestamp": AT, "event_type": event_type, "customer_id": "c-17"} | changed


def _sale(**changed: Any) -> Item:
    items = [
        {"product_id": "p-1", "category": "toys", "quantity": 2, "price": 3.5},
        {"product_id": "p-2", "category": "books", "quantity": 1, "price": 12.0},
    ]
    return _shop("transaction", transaction_id="t-1", items=items, **changed)


TIMES = ("not_a_time", "future_time")


def _timed(make: Any, column: str) -> dict[str, Item]:
    return {"not_a_time": make(**{column: NO_DAY}), "future_time": make(**{column: FUTURE})}


SAMPLES: Mapping[str, Sample] = {
    "air_quality": Sample(
        (_air(), _air(Time="01:00:00", T="")),
        {
            "not_a_time": _air(Date="2025-02-31"),
            "future_time": _air(Date="2099-01-01"),
            "not_a_number": _air(T="warm"),
            "not_a_text": _air(Time=["00:00:00"]),
        },
    ),
    "telemetry": Sample(
        (_unit(), _unit(unit="unit-02", temperature=None)),
        _timed(_unit, "timestamp")
        | {
            "missing_field": _unit(unit=""),
            "no_known_field": {"timestamp": AT, "unit": "unit-01", "voltage": "high"},
            "not_a_text": _unit(unit=["unit-01"]),
        },
    ),
    "sensor": Sample(
        (_sensor(), _sensor(sensor_id="s2", value=-9999)),
        _timed(_sensor, "timestamp")
        | {
            "missing_field": _sensor(sensor_id=""),
            "missing_field/metric": _sensor(metric=""),
            "not_a_number": _sensor(value="hot"),
            "not_a_text": _sensor(machine_id={"id": "m1"}),
        },
    ),
    "jobs": Sample(
        (
            _job(),
            _job(event="metric", idempotency_key="job-1-1", metrics={"cpu_s": 12.5, "rss_mib": 800}),
            _job(entity="subjob", id="sub-1", parent="job-1", event="progress", idempotency_key="sub-1-0", progress=50),
            _job(event="finished", idempotency_key="job-1-2", duration_s=61.5),
        ),
        _timed(_job, "time")
        | {
            "missing_field": _job(site=""),
            "missing_field/id": _job(id=""),
            "unknown_event_type": _job(event="exploded"),
            "not_a_number": _job(duration_s="long"),
            "not_a_text": _job(id=["job-1"]),
        },
    ),
    "device": Sample(
        (_device(), _device(status="", health_score=0.93), _device(status=""), _device(status="ok")),
        _timed(_device, "timestamp")
        | {
            "missing_field": _device(device_id=""),
            "not_a_number": _device(health_score="fine"),
            "not_a_text": _device(status=["ok"]),
        },
    ),
    "sweep": Sample(
        (_sweep(),),
        _timed(_sweep, "timestamp")
        | {
            "missing_field": _sweep(machine_id=""),
            "no_readings": _sweep(readings=[]),
            "not_a_list": _sweep(readings={"a": 1}),
            "not_a_list/text": _sweep(readings=["fast"]),
            "not_a_text": _sweep(metric=["vibration"]),
        },
    ),
    "lab": Sample(
        (_lab(), _lab(analyte="pH", value="7,1", unit="")),
        _timed(_lab, "sampled_at")
        | {
            "missing_field": _lab(sample=""),
            "missing_field/analyte": _lab(analyte=""),
            "not_a_number": _lab(value="clear"),
            "not_a_text": _lab(station=["st-3"]),
        },
    ),
    "shop": Sample(
        (
            _sale(),
            _shop("page_view", session_id="s-1"),
            _shop("product_view", product_id="p-1", category="toys"),
            _shop("search", query="wooden train"),
            _shop("add_to_cart", product_id="p-1", category="toys", quantity=1, price=3.5),
            _shop("remove_from_cart", product_id="p-1", category="toys", quantity=1, price=3.5),
            _shop("cart_abandonment", session_id="s-1"),
        ),
        _timed(_sale, "timestamp")
        | {
            "missing_field": _shop("page_view", customer_id=""),
            "missing_field/transaction": dict(_sale()) | {"transaction_id": ""},
            "unknown_event_type": _shop("teleport"),
            "no_items": dict(_sale()) | {"items": []},
            "bad_item": dict(_sale()) | {"items": [{"product_id": "p-1", "quantity": 0, "price": 3.5}]},
            "not_a_number": _shop("add_to_cart", product_id="p-1", price="cheap"),
            "not_a_text": _shop("search", query={"q": 1}),
        },
    ),
}


def reason_of(name: str) -> str:
    """The slug of a key of ``Sample.bad``."""
    return name.partition("/")[0]
