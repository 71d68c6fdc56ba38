"""Sources of a factory and its laboratory: devices that report, sweeps of readings, samples (D4–D6)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from random import Random
from typing import Any

from levadactl.generators.machines import NO_SUCH_DAY, iso, put
from levadactl.generators.model import Break, Made, Plan, Reading, cut_short

STATUSES = (
    ("running", "info", 0.6),
    ("idle", "info", 0.2),
    ("degraded", "warning", 0.1),
    ("offline", "error", 0.07),
    ("critical", "critical", 0.03),
)
"""(status, its severity, how often)"""


class Device:
    """Forty devices of three sites: a status, a health score, or a bare heartbeat."""

    domain = "device"
    breaks: Mapping[str, Break] = {
        "not_json": cut_short,
        "not_a_time": put("timestamp", NO_SUCH_DAY),
        "missing_field": put("device_id", ""),
    }
    sites = ("ljubljana", "maribor", "koper")

    def events(self, plan: Plan) -> Iterator[Made]:
        dice = Random(f"{plan.seed} device")
        for i in range(plan.events):
            n, time_us = dice.randrange(40), plan.time_us(i)
            device, site, kind = f"pump-{n:02d}", self.sites[n % 3], dice.random()
            body: dict[str, Any] = {"timestamp": iso(time_us), "device_id": device, "site": site}
            event: dict[str, Any] = {"entity_type": "device", "entity_id": device, "site": site, "status": ""}
            if kind < 0.3:
                score = round(dice.uniform(0.4, 1), 3)
                yield Made(
                    time_us,
                    body | {"health_score": score},
                    readings=(Reading(site, "", device, "health_score", score),),
                    kind="health_score",
                )
                continue
            if kind < 0.6:
                status, severity, _ = dice.choices(STATUSES, [share for *_, share in STATUSES])[0]
                body["status"] = status
                event |= {"event_type": "status", "severity": severity, "status": status}
            else:
                event |= {"event_type": "heartbeat", "severity": "info"}
            yield Made(time_us, body, events=(event,), kind=str(event["event_type"]))


class Sweep:
    """Eight machines that send twenty to forty readings at once; some readings of a list are null."""

    domain = "sweep"
    breaks: Mapping[str, Break] = {
        "not_json": cut_short,
        "not_a_time": put("timestamp", NO_SUCH_DAY),
        "missing_field": put("machine_id", ""),
        "no_readings": put("readings", []),
    }

    def events(self, plan: Plan) -> Iterator[Made]:
        dice = Random(f"{plan.seed} sweep")
        for i in range(plan.events):
            time_us, factory, machine = plan.time_us(i), f"factory-{1 + i % 2}", f"m{1 + i // 2 % 4}"
            metric = ("vibration", "current")[dice.randrange(2)]
            readings: list[float | None] = [round(dice.gauss(2.5, 0.4), 3) for _ in range(dice.randint(20, 40))]
            if dice.random() < 0.1:
                readings[dice.randrange(len(readings))] = None
            body: dict[str, Any] = {"timestamp": iso(time_us), "factory_id": factory, "machine_id": machine}
            body |= {"metric": metric, "sweep_id": f"sweep-{i}", "readings": readings}
            there = [value for value in readings if value is not None]
            event = {
                "entity_type": "machine",
                "entity_id": machine,
                "event_type": "sweep",
                "site": factory,
                "unit": machine,
                "metric": metric,
                "count": float(len(there)),
                "sum": math.fsum(there),
                "min": min(there),
                "max": max(there),
                "mean": math.fsum(there) / len(there),
            }
            yield Made(time_us, body, events=(event,), kind=metric)


class Lab:
    """Five stations; each sample is analysed for some of six analytes, one row each."""

    domain = "lab"
    breaks: Mapping[str, Break] = {
        "not_json": cut_short,
        "not_a_time": put("sampled_at", NO_SUCH_DAY),
        "missing_field": put("sample", ""),
        "not_a_number": put("value", "traces"),
    }
    analytes = (
        # (as the laboratory writes it, unit, metric of the windows, middle, width)
        ("Nitrate", "mg/l", "nitrate_mg_l", 4, 1),
        ("Nitrite", "mg/l", "nitrite_mg_l", 0.1, 0.03),
        ("Nitrate", "ug/l", "nitrate_ug_l", 4000, 900),
        ("Lead", "ug/l", "lead_ug_l", 3, 1),
        ("pH", "", "ph", 7.2, 0.2),
        ("Turbidity", "NTU", "turbidity_ntu", 1.4, 0.5),
    )

    def events(self, plan: Plan) -> Iterator[Made]:
        dice = Random(f"{plan.seed} lab")
        for i in range(plan.events):
            time_us, station = plan.time_us(i), f"st-{1 + i // 6 % 5}"
            analyte, uom, metric, middle, width = self.analytes[i % 6]
            value: float | None = round(abs(dice.gauss(middle, width)), 3)
            if dice.random() < 0.02:
                value = None
            body: dict[str, Any] = {"sampled_at": iso(time_us), "station": station, "sample": f"s-{1 + i // 6}"}
            body |= {"analyte": analyte, "value": "n.d." if value is None else value, "unit": uom}
            yield Made(time_us, body, (Reading(station, "", "", metric, value),), kind=analyte)
