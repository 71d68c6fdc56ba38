"""Alerts: anomalies that somebody should hear of, those of one series and rule drawn together.

An alert is opened by an anomaly of at least some severity. Further ones of the same series and rule belong to it until
a quiet period passes without one; the next after that opens another alert. Times are event times, so a replay of old
data gives the alerts that the data would have given then.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from levada.core import columns
from levada.core.anomalies import SEVERITIES
from levada.core.records import SERIES, TEXT, TIME
from levada.core.vectors import NO_TIME, ranks, to_arrow, to_numpy

ALERT = pa.schema(
    [
        *(pa.field(name, TEXT) for name in SERIES),
        pa.field("rule", TEXT),
        pa.field("opened", TIME),  # of the first anomaly
        pa.field("last", TIME),  # of the latest
        pa.field("count", pa.int64()),  # anomalies so far
        pa.field("severity", TEXT),  # the highest so far
        pa.field("value", pa.float64()),  # of the first anomaly, as all that follows
        pa.field("lower", pa.float64()),
        pa.field("upper", pa.float64()),
        pa.field("z", pa.float64()),
        pa.field("detail", TEXT),
        pa.field("publish", pa.bool_()),  # opened just now and to be told to those who have subscribed
    ]
)
"""One row per alert; (series, rule, opened) is its identity."""

Ints = NDArray[np.int64]
KEY = (*SERIES, "rule")


@dataclass(frozen=True, slots=True)
class Policy:
    """What becomes an alert."""

    severity: str = "error"
    """Least severity, one of SEVERITIES."""
    quiet_us: int = 21_600_000_000
    """Time without an anomaly after which the next one opens another alert, microseconds."""
    publish_after_us: int = 0
    """Alerts opened before are kept, but nobody is told: a replay of last year's data wakes no one."""
    delays_us: Mapping[str, int] = field(default_factory=dict)
    """Domain → how long after its start a window closes at the earliest, which does not make it old."""


def raise_(found: pa.Table, open_alerts: pa.Table, policy: Policy) -> tuple[pa.Table, pa.Table]:
    """(alerts that these anomalies have opened or changed, alerts that are open then).

    Args:
        found: ANOMALY, those of one commit.
        open_alerts: ALERT, as the commit before left them; at most one per series and rule.
    """
    least = pa.array(SEVERITIES[SEVERITIES.index(policy.severity) :])
    heard = found.filter(pc.is_in(found["severity"].cast(pa.string()), least))
    if not heard.num_rows:
        return columns.empty(ALERT), open_alerts
    known = open_alerts.num_rows
    table = pa.concat_tables([open_alerts, _as_alerts(heard)]).unify_dictionaries().combine_chunks()
    code = np.zeros(table.num_rows, np.int64)
    for name in KEY:
        rank = ranks(table[name])
        code = code * (int(rank.max()) + 1) + rank
    opened, last = to_numpy(table["opened"]), to_numpy(table["last"])
    order = np.lexsort((opened, code))  # an open alert began before any anomaly that may join it
    heads = _heads(code[order], opened[order], last[order], policy.quiet_us)
    merged = _merge(table, order, heads)
    sizes = np.diff(np.append(heads, len(order)))
    is_new = order[heads] >= known
    delays = np.array([policy.delays_us.get(name, 0) for name in merged["domain"].to_pylist()], np.int64)
    publish = is_new & (opened[order][heads] + delays >= policy.publish_after_us)
    merged = _with(merged, "publish", pa.array(publish))
    changed = merged.filter(pa.array(is_new | (sizes > 1)))
    kept = _still_open(merged, code[order][heads], policy.quiet_us)
    return changed, _with(kept, "publish", columns.zeros(kept.num_rows, pa.bool_()))


def _as_alerts(found: pa.Table) -> pa.Table:
    """Each anomaly as an alert of its own."""
    n = found.num_rows
    values = {name: found[name] for name in (*KEY, "severity", "value", "lower", "upper", "z", "detail")}
    values |= {"opened": found["time"], "last": found["time"], "count": pa.array(np.ones(n, np.int64))}
    values["publish"] = columns.zeros(n, pa.bool_())
    return pa.table([values[f.name] for f in ALERT], schema=ALERT)


def _heads(code: Ints, opened: Ints, last: Ints, quiet_us: int) -> Ints:
    """Where in sorted rows another alert begins."""
    new = np.ones(len(code), bool)
    new[1:] = (code[1:] != code[:-1]) | (opened[1:] - last[:-1] > quiet_us)
    return np.flatnonzero(new)


def _merge(table: pa.Table, order: Ints, heads: Ints) -> pa.Table:
    """One row per group of sorted rows: the first, with the last time, the count and the severity of all."""
    merged = table.take(pa.array(order[heads]))
    last = np.maximum.reduceat(to_numpy(table["last"])[order], heads)
    count = np.add.reduceat(to_numpy(table["count"])[order], heads)
    rank = to_numpy(pc.index_in(table["severity"].cast(pa.string()), pa.array(SEVERITIES)))
    severity = np.maximum.reduceat(rank[order], heads).astype(np.int32)
    changed = {
        "last": to_arrow(last, TIME),
        "count": pa.array(count),
        "severity": pa.DictionaryArray.from_arrays(pa.array(severity), pa.array(SEVERITIES)),
    }
    for name, column in changed.items():
        merged = _with(merged, name, column)
    return merged


def _with(alerts: pa.Table, name: str, column: pa.Array) -> pa.Table:
    return alerts.set_column(ALERT.get_field_index(name), ALERT.field(name), column)


def _still_open(merged: pa.Table, code: Ints, quiet_us: int) -> pa.Table:
    """The last alert of each series and rule, unless later windows of its stream show that its quiet period is over."""
    tail = np.ones(len(code), bool)
    tail[:-1] = code[1:] != code[:-1]
    last = to_numpy(merged["last"])
    stream = ranks(merged["domain"]).astype(np.int64) * merged.num_rows + ranks(merged["tenant"])
    _, of = np.unique(stream, return_inverse=True)
    newest = np.full(int(of.max()) + 1, NO_TIME, np.int64)
    np.maximum.at(newest, of, last)
    return merged.filter(pa.array(tail & (newest[of] - last <= quiet_us)))
