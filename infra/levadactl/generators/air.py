"""Air quality rows as the published file writes them, as objects (``generate.py`` writes the file itself)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime

from levadactl import generate
from levadactl.generators.machines import put
from levadactl.generators.model import Break, Made, Plan, Reading, cut_short

NAMES = (
    "co",
    "pt08_s1_co",
    "nmhc",
    "c6h6",
    "pt08_s2_nmhc",
    "nox",
    "pt08_s3_nox",
    "no2",
    "pt08_s4_no2",
    "pt08_s5_o3",
    "temperature",
    "relative_humidity",
    "absolute_humidity",
)
"""Metrics, in the order of the published columns."""


class AirQuality:
    """One station; -200 for no value, and NOx above 1000, which is no valid one."""

    domain = "air_quality"
    breaks: Mapping[str, Break] = {
        "not_json": cut_short,
        "not_a_time": put("Date", "31/02/2026"),
        "not_a_number": put("CO(GT)", "n/a"),
    }

    def events(self, plan: Plan) -> Iterator[Made]:
        for i, fields in enumerate(generate.rows(plan.seed, plan.events)):
            time_us = plan.time_us(i) // 1_000_000 * 1_000_000  # the dialect has no fractions
            at = datetime.fromtimestamp(time_us // 1_000_000, UTC)
            texts = dict(zip(generate.VALUES, fields[2:], strict=False))
            body = {"Date": f"{at:%d/%m/%Y}", "Time": f"{at:%H.%M.%S}"} | texts
            readings = tuple(
                Reading("", "", "station-1", name, _value(name, text))
                for name, text in zip(NAMES, texts.values(), strict=True)
            )
            yield Made(time_us, body, readings, kind="row")


def _value(name: str, text: str) -> float | None:
    value = float(text.replace(",", "."))
    return None if text == generate.NO_VALUE or (name == "nox" and value > 1000) else value
