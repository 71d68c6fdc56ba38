"""The ledger: what the generator made, per window and per entity, counted from the events themselves.

Nothing here asks levada's stages: sums are exact (``math.fsum``), distinct values are counted in a set. Windows are
written down as soon as the time has passed them, so that a long run needs no more memory than a short one.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, TextIO

from levada.domains.declaration import Domain, Rollup
from levadactl.generators.model import SECOND_US, Made, Totals


@dataclass(slots=True)
class Window:
    """All that is known of one window of one series and metric."""

    values: list[float] = field(default_factory=list)
    missing: int = 0
    distinct: set[str] | None = None

    def to_json(self) -> dict[str, Any]:
        own: dict[str, Any] = {"count": len(self.values), "missing": self.missing, "sum": math.fsum(self.values)}
        own |= {"min": min(self.values, default=None), "max": max(self.values, default=None)}
        return own if self.distinct is None else own | {"distinct": len(self.distinct)}


PLACES = ("site", "unit")
"""Columns of a rollup that are columns of their own in its windows."""
Key = tuple[int, str, str, str, str]
"""(start of the window in microseconds, site, unit, series, metric)"""


class Ledger:
    """Counts events that come in the order of their times.

    Args:
        out: gets one JSON object a line: ``{"window": …}`` and ``{"entity": …}``; none are kept without it.
    """

    def __init__(self, domain: Domain, out: TextIO | None = None) -> None:
        self._domain, self._out = domain, out
        self.totals = Totals()
        self.windows = 0
        """Written down so far."""
        self.entities = 0
        self._open: dict[Key, Window] = {}
        self._start_us = 0
        self._states: dict[tuple[str, str], dict[str, Any]] = {}

    def add_bad(self, reason: str) -> None:
        """A broken line."""
        self.totals.lines += 1
        self.totals.count(reason, self.totals.bad)

    def add(self, made: Made, *, late: bool = False, twice: bool = False) -> None:
        """An event: its time is not before that of the one before."""
        width_us = self._domain.window_s * SECOND_US
        start_us = made.time_us // width_us * width_us
        if start_us > self._start_us:
            self._write_windows()
            self._start_us = start_us
        totals = self.totals
        totals.lines += 1 + twice
        totals.events += 1
        totals.late += late
        totals.twice += twice
        totals.count(made.kind, totals.kinds)
        for reading in made.readings:
            key = (start_us, reading.site, reading.unit, reading.series, reading.metric)
            self._value(key, reading.value, times=1 + twice)
        for event in made.events:
            for rollup in self._domain.rollups:
                self._roll_up(rollup, event, start_us, times=1 + twice)
            if event.get("entity_type") in self._domain.latest:
                self._state(event, made.time_us)

    def _value(self, key: Key, value: float | None, *, times: int, distinct: str | None = None) -> None:
        window = self._open.setdefault(key, Window())
        if value is None:
            window.missing += times
        else:
            window.values += [value] * times
        if distinct is not None:
            window.distinct = (window.distinct or set()) | {distinct}

    def _roll_up(self, rollup: Rollup, event: Mapping[str, Any], start_us: int, *, times: int) -> None:
        if any(_text(event.get(column)) not in allowed for column, allowed in rollup.where.items()):
            return
        by = [_text(event.get(column)) for column in rollup.by if column not in PLACES]
        site, unit = (_text(event.get(column)) if column in rollup.by else "" for column in PLACES)
        quoted = [text.replace("%", "%25").replace("/", "%2F") for text in by]
        series = by[0] if len(by) == 1 else "/".join(quoted)
        value = event.get(rollup.value) if rollup.value else 1.0
        if any(_text(event.get(column)) not in good for column, good in rollup.success.items()):
            value = 0.0
        distinct = _text(event.get(rollup.distinct)) if rollup.distinct else None
        self._value((start_us, site, unit, series, rollup.metric), value, times=times, distinct=distinct)

    def _state(self, event: Mapping[str, Any], time_us: int) -> None:
        """The newest event of an entity; of equal times the one of the higher rank, of equal ranks the later one."""
        key = (event["entity_type"], event["entity_id"])
        rank = self._domain.ranks.get(event["event_type"], 0)
        known = self._states.get(key)
        if known is None or (time_us, rank) >= (known["time_us"], known["rank"]):
            self._states[key] = {"time_us": time_us, "rank": rank} | dict(event)
        if event.get("_last"):
            self._write_entity(key)

    def _write_windows(self) -> None:
        for (start_us, site, unit, series, metric), window in sorted(self._open.items()):
            names = {"start_us": start_us, "site": site, "unit": unit, "series": series, "metric": metric}
            self._write({"window": names | window.to_json()})
            self.windows += 1
        self._open.clear()

    def _write_entity(self, key: tuple[str, str]) -> None:
        self._write({"entity": {name: value for name, value in self._states.pop(key).items() if name != "_last"}})
        self.entities += 1

    def _write(self, line: Mapping[str, Any]) -> None:
        if self._out is not None:
            self._out.write(json.dumps(line) + "\n")

    def close(self) -> None:
        """Write down what is still open."""
        self._write_windows()
        for key in sorted(self._states):
            self._write_entity(key)

    def summary(self) -> dict[str, Any]:
        """The totals; they add up."""
        return asdict(self.totals) | {"windows": self.windows, "entities": self.entities}


def _text(value: object) -> str:
    return "" if value is None else str(value)


def read(lines: Iterator[str]) -> tuple[dict[Key, dict[str, Any]], dict[tuple[str, str], dict[str, Any]]]:
    """A ledger's file: (window by key, entity by type and id)."""
    windows: dict[Key, dict[str, Any]] = {}
    entities: dict[tuple[str, str], dict[str, Any]] = {}
    for line in lines:
        found = json.loads(line)
        if window := found.get("window"):
            windows[tuple(window.pop(name) for name in ("start_us", "site", "unit", "series", "metric"))] = window
        else:
            entity = found["entity"]
            entities[entity["entity_type"], entity["entity_id"]] = entity
    return windows, entities
