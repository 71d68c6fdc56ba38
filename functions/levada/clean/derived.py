"""A domain's own function, run so that neither its faults nor a hostile row can stop the rows beside."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc

from levada.clean import happened, measured
from levada.clean.shapes import flat
from levada.clean.source import Fault
from levada.core import columns
from levada.core.errors import ConfigError
from levada.core.records import Quality
from levada.domains.declaration import KEY_PARTS, Derived, Domain

MAX_ITEMS = 1000
"""Events or measurements that one source row may give: all of them leave in one stream record."""


@dataclass(slots=True)
class Made:
    """What the function made of n source rows."""

    measurements: list[pa.Table] = field(default_factory=list)
    """Rows of ``shapes.Measured``."""
    events: list[pa.Table] | None = None
    """Rows of ``shapes.Happened`` without ``item``; None: it has nothing to say of events."""
    faults: list[Fault] = field(default_factory=list)


def run(domain: Domain, view: pa.Table, rows: pa.Table, good: pa.Array | None) -> Made:
    """Call ``domain.derive`` on the good rows.

    Args:
        view: what the function sees of n source rows.
        rows: rec, row, time, site, unit, series of the same.
        good: which of them it sees; None for all.
    """
    places = columns.count_up(view.num_rows) if good is None else pc.indices_nonzero(good).cast(pa.int32())
    made, refused = Made(), dict[int, tuple[str, str]]()
    if domain.derive is None or not len(places):
        return made
    for start, some, result in _careful(domain, domain.derive, view if good is None else view.filter(good), refused):
        here = places.slice(start, some.num_rows)
        for at, reason, detail in result.refused:
            refused[start + at] = (reason, detail)
        for table in (result.measurements, result.events):
            for at in _too_many(table):
                refused[start + at] = ("too_many_items", f"more than {MAX_ITEMS} of one row")
        if result.measurements is not None:
            made.measurements.append(_measurements(rows, here, result.measurements))
        if result.events is not None:
            mine = rows.take(here.take(_at(result.events)))
            given = {name: flat(result.events, name) for name in result.events.schema.names if name != "at"}
            made.events = [*(made.events or ()), happened.assembled(domain, mine, given)]
    made.faults = _faults(domain, {places[at].as_py(): why for at, why in refused.items()}, view.num_rows)
    return made


def _careful(
    domain: Domain, derive: Callable[[pa.Table], Derived], view: pa.Table, refused: dict[int, tuple[str, str]]
) -> list[tuple[int, pa.Table, Derived]]:
    """(first row, rows, result). Rows with which the function fails are refused, each by itself."""
    done: list[tuple[int, pa.Table, Derived]] = []
    todo = [(0, view)]
    while todo:
        start, some = todo.pop()
        try:
            result = derive(some)
            _check(domain, result)
            done.append((start, some, result))
        except ConfigError:
            raise
        except Exception as err:  # noqa: BLE001  # whatever it is, it must not hold up the shard
            half = some.num_rows // 2
            if half:
                todo += [(start, some.slice(0, half)), (start + half, some.slice(half))]
            else:
                refused[start] = ("derive_failed", f"{type(err).__name__}: {err}"[:300])
    return sorted(done, key=lambda part: part[0])


def _check(domain: Domain, result: Derived) -> None:
    """Raises ConfigError: the function returns what is no measurement or event, whatever the rows."""
    allowed = {
        "measurements": ("at", "metric", "value", *KEY_PARTS),
        "events": ("at", *happened.KNOWN, *domain.fields),
    }
    for kind, names in allowed.items():
        table = getattr(result, kind)
        if table is None:
            continue
        if unknown := [name for name in table.schema.names if name not in names]:
            raise ConfigError(f"domain {domain.name}: derive: {kind} {unknown} must be among {', '.join(names)}")
        needed = ("at", "metric", "value") if kind == "measurements" else ("at", "entity_type", "entity_id")
        if lost := [name for name in needed if name not in (*table.schema.names, *domain.constants)]:
            raise ConfigError(f"domain {domain.name}: derive: {kind} must have {', '.join(lost)}")


def _too_many(table: pa.Table | None) -> list[int]:
    if table is None or table.num_rows <= MAX_ITEMS:
        return []
    counts = _at(table).value_counts()
    return counts.field(0).filter(pc.greater(counts.field(1), MAX_ITEMS)).to_pylist()  # type: ignore[no-any-return]


def _at(table: pa.Table) -> pa.Array:
    return flat(table, "at").cast(pa.int32())


def _measurements(rows: pa.Table, here: pa.Array, made: pa.Table) -> pa.Table:
    mine = rows.take(here.take(_at(made))).combine_chunks()
    for part in KEY_PARTS:
        if part in made.schema.names:
            named = columns.coded(flat(made, part).cast(pa.string()))
            mine = mine.set_column(mine.schema.get_field_index(part), part, named)
    values = flat(made, "value").cast(pa.float64())
    values = pc.if_else(pc.is_finite(values), values, pa.scalar(None, pa.float64()))
    missing, zero = pa.scalar(int(Quality.MISSING), pa.uint8()), pa.scalar(0, pa.uint8())
    quality = pc.if_else(pc.is_null(values), missing, zero)
    return measured.assembled(mine, columns.coded(flat(made, "metric").cast(pa.string())), values, quality)


def _faults(domain: Domain, refused: dict[int, tuple[str, str]], n: int) -> list[Fault]:
    by_reason: dict[str, dict[int, str]] = {}
    for at, (reason, detail) in refused.items():
        by_reason.setdefault(reason, {})[at] = detail
    return [
        Fault(reason, domain.name, pc.invert(columns.all_but(n, details)), details)
        for reason, details in by_reason.items()
    ]
