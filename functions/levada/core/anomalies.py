"""Anomalies: windows that stand out of their series, found as they close.

What is judged is the mean of a window that closes for the first time, in the order of its series; windows without a
value are passed by. A window at or before the last one that was judged of its series is not: history is not rewritten,
what was found stays. So a late partial of a closed window leaves no trace, but a series that lags behind its stream (a
device that sends its backlog, a file behind another) is watched like any other, by what each commit brings of a window.
Known of a series is one row of MEMORY, so that for rows on time the result does not depend on how its windows are
spread over batches.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from levada.core import baseline, columns, western_electric
from levada.core.baseline import Baselines, Judged, Settings
from levada.core.records import SERIES, TEXT, TIME
from levada.core.vectors import NO_TIME, ranks, to_arrow, to_numpy
from levada.core.western_electric import Lines
from levada.domains.declaration import Domain, Watch

ZSCORE, SILENT = "zscore", "silent"
WESTERN_ELECTRIC = {1: "we1", 2: "we2", 3: "we3", 4: "we4"}
RULES = (*WESTERN_ELECTRIC.values(), ZSCORE, SILENT)
SEVERITIES = ("info", "warning", "error", "critical")
"""From the least to the most; the same words as events have."""
SEVERITY = {"we1": "error", "we2": "warning", "we3": "info", "we4": "info", ZSCORE: "warning", SILENT: "error"}
"""Of each rule. A z-score beyond its threshold by half as much again is critical."""
CRITICAL = 1.5
FORGET_US = 30 * 86_400_000_000
"""A series that has had no window for so long begins anew."""

ANOMALY = pa.schema(
    [
        *(pa.field(name, TEXT) for name in SERIES),
        pa.field("time", TIME),  # start of the window; of the last window with a value for ``silent``
        pa.field("width_s", pa.int32()),
        pa.field("rule", TEXT),
        pa.field("severity", TEXT),
        pa.field("value", pa.float64()),  # mean of the window
        pa.field("lower", pa.float64()),  # limits that it was judged by; null where there is none
        pa.field("center", pa.float64()),
        pa.field("upper", pa.float64()),
        pa.field("z", pa.float64()),  # standard deviations (sigma of the limits) from the centre; null if unknown
        pa.field("count", pa.int64()),  # rows with a value in the window, as it closed
        pa.field("detail", TEXT),
    ]
)
"""One row per (series, time, rule): that is its identity."""

MEMORY = pa.schema(
    [
        *(pa.field(name, TEXT) for name in SERIES),
        pa.field("last_start", TIME),  # of the last window that was judged
        pa.field("n", pa.int64()),
        *(pa.field(name, pa.float64()) for name in ("mean", "variance", "last", "total", "ranges")),  # see Baselines
        pa.field("zones", pa.int64()),  # of the last windows, packed: see western_electric.pack
    ]
)
"""What is known of each series: one row, 11 columns."""

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
ControlLines = Callable[[pa.Table], Lines | None]
"""Control limits that are set for n windows (PARTIAL), NaN where none are; None when none are set at all."""


def no_lines(_: pa.Table) -> None:
    """No control limits are set."""


def detect(
    closed: pa.Table, memory: pa.Table, domains: Mapping[str, Domain], lines: ControlLines = no_lines
) -> tuple[pa.Table, pa.Table]:
    """(anomalies, memory) after n windows have closed.

    Args:
        closed: PARTIAL, at most one per (series, window), any order: the windows that closed in one commit.
        memory: MEMORY as the commit before left it.
        domains: those that are enabled; they say what is watched.
        lines: control limits that are set.
    """
    watches = _Watches(domains)
    rows = closed.filter(_judged(closed, watches, memory))
    if not rows.num_rows:
        return columns.empty(ANOMALY), memory
    known, at = _Known.of(memory, rows)
    starts = to_numpy(rows["window_start"])
    order = np.lexsort((starts, at))
    order = order[starts[order] > known.last_start[at[order]]]  # each window of a series once, and in order
    if not len(order):
        return columns.empty(ANOMALY), memory
    found = _judge(rows.take(pa.array(order)), at[order], known, watches, lines)
    return found, known.to_table()


def _judged(closed: pa.Table, watches: _Watches, memory: pa.Table) -> pa.ChunkedArray:
    """Which windows have a value, are watched, and may close for the first time."""
    fits = pc.and_(pc.greater(closed["count"], 0), pc.is_finite(closed["mean"]))
    if pc.any(pc.greater(closed["late"], 0)).as_py():
        fits = pc.and_(fits, pc.or_(pc.equal(closed["late"], 0), _remembered(closed, memory)))
    domain, metric = (closed[name].cast(pa.string()) for name in ("domain", "metric"))
    for pair in pa.table({"domain": domain, "metric": metric}).group_by(["domain", "metric"]).aggregate([]).to_pylist():
        if watches.of(pair["domain"], pair["metric"]) is None:
            same = pc.and_(pc.equal(domain, pair["domain"]), pc.equal(metric, pair["metric"]))
            fits = pc.and_(fits, pc.invert(same))
    return pc.fill_null(fits, False)


def _remembered(closed: pa.Table, memory: pa.Table) -> pa.ChunkedArray:
    """Windows that their stream's memory reaches back to: of older ones it cannot tell whether they were judged."""
    fits = pc.is_valid(closed["window_start"])
    domain, tenant = (closed[name].cast(pa.string()) for name in ("domain", "tenant"))
    starts = closed["window_start"].cast(pa.int64())
    names = ["domain", "tenant", "us"]
    last = pa.table([memory["domain"], memory["tenant"], memory["last_start"].cast(pa.int64())], names)
    for stream in last.group_by(["domain", "tenant"]).aggregate([("us", "max")]).to_pylist():
        same = pc.and_(pc.equal(domain, stream["domain"]), pc.equal(tenant, stream["tenant"]))
        recent = pc.greater_equal(starts, stream["us_max"] - FORGET_US)
        fits = pc.and_(fits, pc.or_(pc.invert(same), recent))
    return fits


class _Watches:
    """Which watch looks after the series of a (domain, metric)."""

    def __init__(self, domains: Mapping[str, Domain]) -> None:
        self._domains = domains
        self._found: dict[tuple[str, str], Watch | None] = {}

    def of(self, domain: str, metric: str) -> Watch | None:
        if (domain, metric) not in self._found:
            known = self._domains.get(domain)
            self._found[domain, metric] = known.watched(metric) if known is not None else None
        return self._found[domain, metric]

    def settings(self, names: pa.Table) -> tuple[Settings, Ints]:
        """Settings of each series, and its rules as bits (1 << rule). A series that is not watched has neither."""
        of = Settings(*(np.zeros(names.num_rows, kind) for kind in (np.float64, np.float64, np.int64, np.int64)))
        rules = np.zeros(names.num_rows, np.int64)
        domain, metric = (ranks(names[name]) for name in ("domain", "metric"))
        pairs, first, inverse = np.unique(
            domain.astype(np.int64) * (int(metric.max()) + 1) + metric, return_index=True, return_inverse=True
        )
        for i in range(len(pairs)):
            row = names.slice(int(first[i]), 1)
            watch, mine = self.of(row["domain"][0].as_py(), row["metric"][0].as_py()), inverse == i
            if watch is not None:
                of.zscore[mine], of.weight[mine] = watch.zscore, watch.weight
                of.warmup[mine], of.estimate[mine] = watch.warmup, watch.estimate
                rules[mine] = sum(1 << rule for rule in watch.rules)
        return of, rules


class _Known:
    """Memory as arrays with one entry per series, those that are new included."""

    def __init__(self, names: pa.Table) -> None:
        n = names.num_rows
        self.names = names
        self.last_start: Ints = np.full(n, NO_TIME, np.int64)
        self.zones: Ints = np.full(n, western_electric.NO_HISTORY, np.int64)
        self.state = Baselines.empty(n)

    @classmethod
    def of(cls, memory: pa.Table, rows: pa.Table) -> tuple[_Known, Ints]:
        """Memory, and which entry each of n windows belongs to."""
        names = pa.concat_tables([memory.select(SERIES), rows.select(SERIES)]).unify_dictionaries().combine_chunks()
        code = np.zeros(names.num_rows, np.int64)
        for name in SERIES:
            rank = ranks(names[name])
            code = code * (int(rank.max()) + 1) + rank
        _, first, at = np.unique(code, return_index=True, return_inverse=True)
        known, mine = cls(names.take(pa.array(first))), at[: memory.num_rows]
        known.last_start[mine], known.zones[mine] = to_numpy(memory["last_start"]), to_numpy(memory["zones"])
        for name in BASELINE:
            getattr(known.state, name)[mine] = to_numpy(memory[name])
        return known, at[memory.num_rows :]

    def to_table(self) -> pa.Table:
        """MEMORY without the series that would begin anew anyhow: nothing that is judged can come for them any more."""
        stream = ranks(self.names["domain"]).astype(np.int64) * self.names.num_rows + ranks(self.names["tenant"])
        _, of = np.unique(stream, return_inverse=True)
        newest = np.full(int(of.max()) + 1, NO_TIME, np.int64)
        np.maximum.at(newest, of, self.last_start)
        kept = np.flatnonzero(newest[of] - self.last_start <= FORGET_US)
        values = {"last_start": self.last_start, "zones": self.zones}
        values |= {name: getattr(self.state, name) for name in BASELINE}
        names = self.names.take(pa.array(kept))
        arrays = [
            names[f.name].cast(TEXT) if f.name in SERIES else to_arrow(values[f.name][kept], f.type) for f in MEMORY
        ]
        return pa.table(arrays, schema=MEMORY)


BASELINE = ("n", "mean", "variance", "last", "total", "ranges")


def _judge(rows: pa.Table, at: Ints, known: _Known, watches: _Watches, lines: ControlLines) -> pa.Table:
    """ANOMALY of n windows sorted by series and time; takes them into what is known."""
    starts, values = to_numpy(rows["window_start"]), to_numpy(rows["mean"])
    settings, rules = watches.settings(known.names)
    head = np.ones(len(at), bool)
    head[1:] = at[1:] != at[:-1]
    place = np.arange(len(at))
    index = place - np.maximum.accumulate(np.where(head, place, 0))
    before = np.where(head, known.last_start[at], np.roll(starts, 1))
    restart = (before != NO_TIME) & (starts - FORGET_US > before)
    judged = baseline.follow(values, at, index, restart, known.state, settings)
    given, chosen = _chosen(lines(rows), judged.estimated)
    zone = western_electric.zones(values, chosen)
    since = place - np.maximum.accumulate(np.where(head | restart, place, 0))
    begun_anew = np.maximum.accumulate(np.where(restart, place, -1)) >= place - index
    history = western_electric.unpack(np.where(begun_anew, western_electric.NO_HISTORY, known.zones[at]))
    earlier = western_electric.before(zone, since, history)
    tail = np.append(np.flatnonzero(head)[1:], len(at)) - 1
    last = np.column_stack((zone[tail], earlier[tail, :-1]))
    known.last_start[at[tail]], known.zones[at[tail]] = starts[tail], western_electric.pack(last)
    found = [_outliers(judged, settings.zscore[at])]
    for rule in western_electric.PATTERNS:
        side = western_electric.violated(rule, zone, earlier)
        side[(rules[at] & (1 << rule)) == 0] = 0
        found.append(_Found.by_lines(rule, side, values, chosen, given))
    return _table(rows, values, found)


def _chosen(given: Lines | None, estimated: Lines) -> tuple[Bools, Lines]:
    """(where limits are set, the lines to judge by): what is set goes before what is estimated."""
    if given is None:
        return np.zeros(len(estimated.center), bool), estimated
    there = given.known
    given = given.completed()
    pick = (getattr(given, name) for name in ("lower", "center", "upper"))
    rest = (getattr(estimated, name) for name in ("lower", "center", "upper"))
    return there, Lines(*(np.where(there, one, other) for one, other in zip(pick, rest, strict=True)))


@dataclass(frozen=True, slots=True)
class _Found:
    """The windows that one rule has found: arrays over them."""

    rule: str
    row: Ints
    above: Bools
    lower: Floats
    center: Floats
    upper: Floats
    z: Floats
    severity: Ints
    given: Bools
    """Whether the limits were set, not estimated."""

    @classmethod
    def by_lines(cls, rule: int, side: Ints, values: Floats, lines: Lines, given: Bools) -> _Found:
        row = np.flatnonzero(side)
        name, above = WESTERN_ELECTRIC[rule], side[row] > 0
        mine = Lines(lines.lower[row], lines.center[row], lines.upper[row])
        with np.errstate(divide="ignore", invalid="ignore"):
            z = (values[row] - mine.center) / mine.sigma(above)
        severity = np.full(len(row), SEVERITIES.index(SEVERITY[name]))
        return cls(name, row, above, mine.lower, mine.center, mine.upper, z, severity, given[row])


def _outliers(judged: Judged, threshold: Floats) -> _Found:
    with np.errstate(invalid="ignore"):
        row = np.flatnonzero((threshold > 0) & (np.abs(judged.z) > threshold))
    z, center, reach = judged.z[row], judged.mean[row], threshold[row] * judged.deviation[row]
    far = np.abs(z) > CRITICAL * threshold[row]
    severity = np.where(far, SEVERITIES.index("critical"), SEVERITIES.index(SEVERITY[ZSCORE]))
    return _Found(ZSCORE, row, z > 0, center - reach, center, center + reach, z, severity, np.zeros(len(row), bool))


PATTERN_TEXT = {
    "we1": "beyond the control limit",
    "we2": "2 of 3 successive windows beyond 2 sigma",
    "we3": "4 of 5 successive windows beyond 1 sigma",
    "we4": "8 successive windows on one side of the centre line",
}


def _details(found: _Found) -> pa.DictionaryArray:
    if found.rule == ZSCORE:
        texts = [f"far {side} the weighted mean of the windows before" for side in ("below", "above")]
        return pa.DictionaryArray.from_arrays(pa.array(found.above.astype(np.int32)), pa.array(texts))
    texts = [
        f"{PATTERN_TEXT[found.rule]}, {side} the centre line; limits {how}"
        for how in ("estimated", "set")
        for side in ("below", "above")
    ]
    return pa.DictionaryArray.from_arrays(pa.array((found.above + 2 * found.given).astype(np.int32)), pa.array(texts))


def _table(rows: pa.Table, values: Floats, found: Sequence[_Found]) -> pa.Table:
    """ANOMALY, by series, time and rule."""
    parts = []
    for i, one in enumerate(found):
        n, index = len(one.row), pa.array(one.row)
        if not n:
            continue
        named = {name: rows[name].take(index).cast(TEXT) for name in SERIES}
        named |= {"time": rows["window_start"].take(index), "width_s": rows["width_s"].take(index)}
        named |= {"rule": columns.constant(one.rule, n), "count": rows["count"].take(index), "detail": _details(one)}
        named["severity"] = pa.DictionaryArray.from_arrays(pa.array(one.severity, pa.int32()), pa.array(SEVERITIES))
        numbers = {"value": values[one.row], "lower": one.lower, "center": one.center, "upper": one.upper, "z": one.z}
        named |= {name: to_arrow(_finite(column), pa.float64()) for name, column in numbers.items()}
        order = pa.array(one.row * len(found) + i)
        parts.append(pa.table([named[f.name] for f in ANOMALY], schema=ANOMALY).append_column("order", order))
    if not parts:
        return columns.empty(ANOMALY)
    table = pa.concat_tables(parts).unify_dictionaries().combine_chunks()
    return table.take(pc.sort_indices(table["order"])).select(ANOMALY.names)


def _finite(values: Floats) -> Floats:
    return np.where(np.isfinite(values), values, np.nan)
