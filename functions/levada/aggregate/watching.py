"""Watching: what closes is looked through for anomalies, and these become alerts, before the commit that holds both."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from levada.core import alerts, anomalies, columns, limits
from levada.core.alerts import Policy
from levada.core.anomalies import ControlLines
from levada.core.errors import ConfigError
from levada.core.limits import CONTROL, Limits
from levada.core.records import SERIES
from levada.core.vectors import to_numpy
from levada.core.western_electric import Lines
from levada.domains.declaration import Domain
from levada.ports import AlertSink, BlobStore


@dataclass(frozen=True, slots=True, kw_only=True)
class Alerting:
    """What becomes an alert, and where it is told."""

    sink: AlertSink | None = None
    """None: alerts are kept, nobody is told."""
    severity: str = "error"
    quiet_s: int = 21_600
    max_age_s: int = 86_400

    def policy(self, now_s: int, domains: Mapping[str, Domain]) -> Policy:
        return Policy(
            severity=self.severity,
            quiet_us=self.quiet_s * 1_000_000,
            publish_after_us=(now_s - self.max_age_s) * 1_000_000,
            delays_us={name: (one.window_s + one.lateness_s) * 1_000_000 for name, one in domains.items()},
        )


NO_MEMORY, NO_ANOMALIES, NO_ALERTS = (
    columns.empty(schema) for schema in (anomalies.MEMORY, anomalies.ANOMALY, alerts.ALERT)
)


@dataclass(slots=True)
class Watched:
    """What a shard remembers of its series, and the findings of its last emission."""

    memory: pa.Table = field(default_factory=lambda: NO_MEMORY)
    open_alerts: pa.Table = field(default_factory=lambda: NO_ALERTS)
    found: pa.Table = field(default_factory=lambda: NO_ANOMALIES)
    """Anomalies among the windows of the outbox."""
    raised: pa.Table = field(default_factory=lambda: NO_ALERTS)
    """Alerts that they have opened or changed."""

    def clear(self) -> None:
        """Nothing is to be emitted."""
        self.found, self.raised = NO_ANOMALIES, NO_ALERTS

    def tables(self) -> dict[str, pa.Table]:
        return {name: getattr(self, name) for name in SCHEMAS}

    @classmethod
    def of(cls, tables: Mapping[str, pa.Table]) -> Watched:
        """From a checkpoint's tables; one that an earlier version has written has none of them."""
        there = {name: (tables[name], schema) for name, schema in SCHEMAS.items() if name in tables}
        return cls(**{name: t if t.schema.equals(kind) else t.cast(kind) for name, (t, kind) in there.items()})

    def inherit(self, other: Watched) -> None:
        """Take over what another shard (a parent after a reshard) knew of its series; what closed last counts."""
        self.memory = _latest(self.memory, other.memory, SERIES, "last_start")
        self.open_alerts = _latest(self.open_alerts, other.open_alerts, alerts.KEY, "last")

    def look(self, closed: pa.Table, domains: Mapping[str, Domain], lines: ControlLines, policy: Policy) -> None:
        """Judge the windows (PARTIAL) that close in this commit."""
        self.found, self.memory = anomalies.detect(closed, self.memory, domains, lines)
        self.raised, self.open_alerts = alerts.raise_(self.found, self.open_alerts, policy)


SCHEMAS = {
    "memory": anomalies.MEMORY,
    "open_alerts": alerts.ALERT,
    "found": anomalies.ANOMALY,
    "raised": alerts.ALERT,
}


def _latest(mine: pa.Table, theirs: pa.Table, keys: tuple[str, ...], time: str) -> pa.Table:
    """One row per key: the one with the later time."""
    table = pa.concat_tables([mine, theirs]).unify_dictionaries().combine_chunks()
    if table.num_rows < 2:
        return table
    newest: dict[tuple[Any, ...], tuple[int, int]] = {}
    times = to_numpy(table[time]).tolist()
    for i, row in enumerate(table.select(list(keys)).to_pylist()):  # once in a shard's life
        key = tuple(row.values())
        newest[key] = max(newest.get(key, (times[i], i)), (times[i], i))
    return table.take(pa.array(sorted(i for _, i in newest.values())))


def control_lines(
    blobs: BlobStore, memo: dict[str, Any], closed: pa.Table, domains: Mapping[str, Domain], now_s: float
) -> tuple[ControlLines, list[str]]:
    """(the control limits that are set for the series of these windows, what could not be read of them).

    Limits that somebody has broken by hand do not stop the stream: its windows are judged without them.
    """
    known: dict[tuple[str, str], Limits] = {}
    wrong = []
    for stream in closed.select(["domain", "tenant"]).group_by(["domain", "tenant"]).aggregate([]).to_pylist():
        domain, tenant = stream["domain"], stream["tenant"]
        if domain not in domains or not any(watch.rules for watch in domains[domain].watch):
            continue
        try:
            known[domain, tenant] = limits.recent(blobs, memo, domain, tenant, now_s).of(CONTROL)
        except ConfigError as err:
            wrong.append(f"limits of {domain}/{tenant}: {err}")
    known = {stream: found for stream, found in known.items() if found.items}
    return (lambda rows: _lines(rows, known)), wrong


def _lines(rows: pa.Table, known: Mapping[tuple[str, str], Limits]) -> Lines | None:
    """The limits of n windows that stand series by series in order of time."""
    if not known:
        return None
    lower, center, upper = (np.full(rows.num_rows, np.nan) for _ in range(3))
    starts = to_numpy(rows["window_start"])
    for first, end, series in _series(rows):
        mine = known.get((series["domain"], series["tenant"]))
        if mine is None or series["metric"] not in mine.metrics:
            continue
        times = starts[first:end]
        for since, until, bounds in mine.pieces(series, series["metric"], int(times[0]), int(times[-1]) + 1):
            at = slice(first + int(np.searchsorted(times, since)), first + int(np.searchsorted(times, until)))
            for line, bound in zip((lower, center, upper), bounds, strict=True):
                line[at] = np.nan if bound is None else bound
    return Lines(lower, center, upper)


def _series(rows: pa.Table) -> list[tuple[int, int, dict[str, str]]]:
    """(first row, behind its last, keys) of each series."""
    codes = [to_numpy(rows[name].combine_chunks().indices) for name in SERIES]
    new = np.ones(rows.num_rows, bool)
    new[1:] = np.logical_or.reduce([code[1:] != code[:-1] for code in codes])
    heads = np.flatnonzero(new)
    ends = [*heads[1:].tolist(), rows.num_rows]
    names = rows.select(list(SERIES)).take(pa.array(heads)).to_pylist()
    return list(zip(heads.tolist(), ends, names, strict=True))
