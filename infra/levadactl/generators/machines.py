"""Sources of readings: telemetry of units, sensors of machines."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from random import Random
from typing import Any

from levadactl.generators.model import Break, Made, Plan, Reading, cut_short

NO_SUCH_DAY = "2026-02-31T12:00:00Z"


def iso(time_us: int) -> str:
    """``2026-11-22T18:00:00.123Z``: milliseconds, as most programs write them."""
    at = datetime.fromtimestamp(time_us // 1_000_000, UTC)
    return f"{at:%Y-%m-%dT%H:%M:%S}.{time_us // 1000 % 1000:03d}Z"


def put(name: str, value: object) -> Break:
    """A Break that sets a field."""

    def spoil(body: dict[str, Any], dice: Random) -> None:  # noqa: ARG001  # a Break
        body[name] = value

    return spoil


class Telemetry:
    """Twenty units, each with four numbers a row; now and then one of them is null (A12)."""

    domain = "telemetry"
    breaks: Mapping[str, Break] = {
        "not_json": cut_short,
        "not_a_time": put("timestamp", NO_SUCH_DAY),
        "missing_field": put("unit", None),
    }
    units = tuple(f"unit-{i:02d}" for i in range(1, 21))

    def events(self, plan: Plan) -> Iterator[Made]:
        dice = Random(f"{plan.seed} telemetry")
        for i in range(plan.events):
            unit, time_us = self.units[i % len(self.units)], plan.time_us(i)
            load = 0.5 + 0.4 * math.sin(i / len(self.units) / 50) + dice.gauss(0, 0.02)
            values: dict[str, float | None] = {
                "voltage": round(230 + dice.gauss(0, 2), 1),
                "current": round(max(0.0, 40 * load + dice.gauss(0, 0.5)), 2),
                "temperature": round(35 + 30 * load + dice.gauss(0, 1), 1),
                "rpm": float(round(1480 + 20 * load + dice.gauss(0, 3))),
            }
            if dice.random() < 0.01:
                values["temperature"] = None
            body = {"timestamp": iso(time_us), "unit": unit, **values}
            there = {name: value for name, value in values.items() if value is not None}  # open metrics: null is none
            readings = tuple(Reading("", unit, "", name, value) for name, value in there.items())
            yield Made(time_us, body, readings, kind="row")


class Sensor:
    """Two factories of five machines with four sensors each, one value a row; -9999 for no value (D3, D13)."""

    domain = "sensor"
    breaks: Mapping[str, Break] = {
        "not_json": cut_short,
        "not_a_time": put("timestamp", NO_SUCH_DAY),
        "not_a_number": put("value", "n/a?"),
        "missing_field": put("sensor_id", ""),
    }
    metrics = (("temperature", 60, 5, 1), ("vibration", 2.5, 0.4, 3), ("pressure", 6.1, 0.2, 2), ("power", 12, 2, 2))

    def events(self, plan: Plan) -> Iterator[Made]:
        dice = Random(f"{plan.seed} sensor")
        for i in range(plan.events):
            time_us = plan.time_us(i)
            factory, machine = f"factory-{1 + i % 2}", f"m{1 + i // 2 % 5}"
            place = i // 10 % 4
            metric, middle, width, digits = self.metrics[place]
            # sensors of one machine share names with those of others, and two of them measure the same thing
            sensor = f"s{1 + (place + i // 40 % 2) % 4}"
            value: float | None = round(dice.gauss(middle, width), digits)
            if dice.random() < 0.005:
                value = None
            body: dict[str, Any] = {"timestamp": iso(time_us), "factory_id": factory, "machine_id": machine}
            body |= {"sensor_id": sensor, "metric": metric, "value": -9999 if value is None else value}
            yield Made(time_us, body, (Reading(factory, machine, sensor, metric, value),), kind=metric)
