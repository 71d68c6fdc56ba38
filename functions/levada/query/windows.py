"""Closed windows from the serving table: partials of a window merged into its value, in order of time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from itertools import groupby

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from levada.core import columns, segment_reads, segments
from levada.core.partials import PARTIAL, merge
from levada.core.records import SERIES, TIME
from levada.core.vectors import to_numpy
from levada.ports import Items
from levada.query.errors import ParameterError

WINDOW = PARTIAL.append(pa.field("revisions", pa.int32()))
"""One row per window: the merge of its partials, and how many they were."""
KEY = ("site", "unit", "series", "metric")
"""What tells the series of one domain and tenant apart, in the order of the answer."""
READERS = 8
"""Series that are read side by side."""
MAX_SERIES = 1_000
"""Series that one page may be put together from: each costs a query of the table."""
Key = tuple[str, str, str, str]
Place = tuple[str, str, str, str, int]
"""A window among those of the same start: KEY and width_s."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Which windows: those that start in ``[since_us, until_us)``, microseconds; None for no bound or no filter."""

    domain: str
    tenant: str
    site: str | None = None
    unit: str | None = None
    series: str | None = None
    metric: str | None = None
    since_us: int | None = None
    until_us: int | None = None
    after: Place | None = None
    """Of the windows that start exactly at since_us, only this one and those behind it."""
    width_s: int | None = None
    """Merge base windows into windows of this width, aligned to 1970-01-01; None for windows as they closed."""
    metrics: frozenset[str] | None = None
    """Only these metrics; None for all."""

    def takes(self, metric: str) -> bool:
        return self.metrics is None or metric in self.metrics


@dataclass(frozen=True, slots=True)
class Page:
    rows: pa.Table
    """At most ``limit`` windows (WINDOW) by start, site, unit, series, metric."""
    next_us: int | None = None
    """Where the next page begins, microseconds; None when this is the last."""
    next_place: Place | None = None
    """Set when the page ends between windows of the same start: the first of the next page."""


def series_of(serving: Items, selection: Selection) -> list[dict[str, str]]:
    """The series that the selection names, by site, unit, series, metric."""
    found = []
    for item in serving.query(segments.series_pk(selection.tenant, selection.domain)):
        one = {name: str(item.get(name, "")) for name in SERIES}
        if all(getattr(selection, name) in (None, one[name]) for name in KEY) and selection.takes(one["metric"]):
            found.append(one)
    return sorted(found, key=key_of)


def served_windows(
    serving: Items,
    domain: str,
    tenant: str,
    *,
    site: str | None = None,
    unit: str | None = None,
    series: str | None = None,
    metric: str | None = None,
    since_us: int | None = None,
    until_us: int | None = None,
    width_s: int | None = None,
) -> pa.Table:
    """All closed windows that the arguments name (WINDOW), by start, site, unit, series, metric; see Selection."""
    selection = Selection(
        domain=domain,
        tenant=tenant,
        site=site,
        unit=unit,
        series=series,
        metric=metric,
        since_us=since_us,
        until_us=until_us,
        width_s=width_s,
    )
    return _read(serving, selection, series_of(serving, selection), None)


def page(serving: Items, selection: Selection, limit: int) -> Page:
    """The first ``limit`` windows of the selection.

    Raises ParameterError when the selection names more than MAX_SERIES series.
    """
    found = series_of(serving, selection)
    if len(found) > MAX_SERIES:
        allowed = f"given (or site, unit, series), so that at most {MAX_SERIES} series remain of {len(found)}"
        raise ParameterError("metric", selection.metric, allowed)
    return cut(_read(serving, selection, found, limit + 1), limit)


def cut(rows: pa.Table, limit: int) -> Page:
    """The first ``limit`` of these windows, and where the next page begins."""
    if rows.num_rows <= limit:
        return Page(rows)
    at = rows.slice(limit - 1, 2)
    last, following = at["window_start"].cast(pa.int64()).to_pylist()
    if last != following:
        return Page(rows.slice(0, limit), following)
    row = at.slice(1).to_pylist()[0]
    return Page(rows.slice(0, limit), following, (*key_of(row), row["width_s"]))


def key_of(row: Mapping[str, str]) -> Key:
    """KEY of a series, or of one of its windows."""
    return (row["site"], row["unit"], row["series"], row["metric"])


def _read(serving: Items, selection: Selection, found: Sequence[Mapping[str, str]], need: int | None) -> pa.Table:
    """The first ``need`` windows of these series, all of them when need is None."""
    tables: list[pa.Table] = []
    asked = selection
    with ThreadPoolExecutor(READERS) as pool:
        for some in _in_turn(found):
            read = pool.map(partial(_one_series, serving, selection=asked, need=need), some)
            rest = [_behind(rows, one, selection) for one, rows in zip(some, read, strict=True)]
            tables += [rows for rows in rest if rows.num_rows]
            if need is not None and sum(t.num_rows for t in tables) >= need:  # no later start can be on this page
                starts = np.concatenate([to_numpy(t["window_start"]) for t in tables])
                asked = replace(asked, until_us=int(np.partition(starts, need - 1)[need - 1]) + 1)
    if not tables:
        return columns.empty(WINDOW)
    rows = pa.concat_tables(tables).unify_dictionaries().combine_chunks()
    order = np.argsort(to_numpy(rows["window_start"]), kind="stable")  # series stand in order already
    return rows.take(pa.array(order[:need]))


def _in_turn(found: Sequence[Mapping[str, str]]) -> Iterator[Sequence[Mapping[str, str]]]:
    """The first alone, for it may tell how far the others need to be read; then several side by side."""
    yield found[:1]
    for i in range(1, len(found), READERS):
        yield found[i : i + READERS]


def _behind(rows: pa.Table, series: Mapping[str, str], selection: Selection) -> pa.Table:
    """Without the windows that an earlier page had."""
    if selection.after is None or selection.since_us is None or key_of(series) > selection.after[:4]:
        return rows
    told = pc.equal(rows["window_start"].cast(pa.int64()), selection.since_us)
    if key_of(series) == selection.after[:4]:
        told = pc.and_(told, pc.less(rows["width_s"], selection.after[4]))
    return rows.filter(pc.invert(told))


def _one_series(serving: Items, series: Mapping[str, str], selection: Selection, need: int | None) -> pa.Table:
    """At least the first ``need`` windows of one series (WINDOW), by start."""
    since_us, until_us = _base_range(selection)
    width_us = (selection.width_s or 0) * 1_000_000
    parts: list[pa.Table] = []
    starts: set[int] = set()
    for rows in _days(serving, series, since_us, until_us):
        if width_us:
            rows = _widen(rows, selection.width_s or 0)
        parts.append(rows)
        if need is not None:
            starts.update(to_numpy(rows["window_start"]).tolist())
            if len(starts) > need + 1:  # one an earlier page may have had; the last may go on in the next day
                break
    return _merged(parts)


def newest(serving: Items, series: Mapping[str, str], *, selection: Selection) -> pa.Table:
    """The window of a series that starts last in the range of the selection (WINDOW, one row); no row without one.

    The segment that begins last holds it, or one that goes on behind the beginning of that; both may have revisions of
    it. Where an edition has replaced some of a day, all of it is read.
    """
    since_us, until_us = selection.since_us, selection.until_us
    begun = next(segment_reads.of_series(serving, series, since_us, until_us, newest_first=True, limit=1), None)
    if begun is None:
        return columns.empty(WINDOW)
    start_us = int(begun["start"])
    found = list(segment_reads.of_series(serving, series, start_us, until_us, ending_after=start_us))
    days: Iterable[pa.Table] = [_within(segment_reads.to_partials(found, series), since_us, until_us)]
    if any("replaces" in item for item in found):
        days = _days(serving, series, since_us, until_us, newest_first=True)
    for rows in days:
        if rows.num_rows:
            starts = to_numpy(rows["window_start"])
            merged = _merged([rows.filter(pa.array(starts == starts.max()))])
            return merged.slice(merged.num_rows - 1)
    return columns.empty(WINDOW)


def _base_range(selection: Selection) -> tuple[int | None, int | None]:
    """Where the base windows start that make up the selected windows, half-open."""
    since_us, until_us, width_us = selection.since_us, selection.until_us, (selection.width_s or 0) * 1_000_000
    if width_us:  # a wide window is given whole or not at all
        since_us = None if since_us is None else -(-since_us // width_us) * width_us
        until_us = None if until_us is None else -(-until_us // width_us) * width_us
    return since_us, until_us


def _days(
    serving: Items,
    series: Mapping[str, str],
    since_us: int | None,
    until_us: int | None,
    *,
    newest_first: bool = False,
) -> Iterator[pa.Table]:
    """Partials (PARTIAL) that start in ``[since_us, until_us)``, day by day."""
    found = segment_reads.of_series(serving, series, since_us, until_us, newest_first=newest_first)
    for _, items in groupby(found, key=lambda item: int(item["start"]) // segments.DAY_US):
        rows = _within(segment_reads.to_partials(items, series), since_us, until_us)
        if rows.num_rows:
            yield rows


def _within(rows: pa.Table, since_us: int | None, until_us: int | None) -> pa.Table:
    starts = rows["window_start"].cast(pa.int64())
    if since_us is not None:
        rows = rows.filter(pc.greater_equal(starts, since_us))
        starts = rows["window_start"].cast(pa.int64())
    return rows if until_us is None else rows.filter(pc.less(starts, until_us))


def _widen(rows: pa.Table, width_s: int) -> pa.Table:
    """Partials as parts of the wider windows that they lie in. Raises ParameterError when one does not lie in one."""
    base_s = int(pc.max(rows["width_s"]).as_py())
    if any(width_s % int(w) for w in pc.unique(rows["width_s"]).to_pylist()):
        raise ParameterError("width", width_s, f"a multiple of {base_s}: the selection holds windows of {base_s} s")
    starts = to_numpy(rows["window_start"])
    wide = pa.array(starts - starts % (width_s * 1_000_000)).cast(TIME)
    rows = rows.set_column(PARTIAL.get_field_index("window_start"), "window_start", wide)
    widths = pa.repeat(pa.scalar(width_s, pa.int32()), rows.num_rows)
    return rows.set_column(PARTIAL.get_field_index("width_s"), "width_s", widths)


def _merged(parts: Sequence[pa.Table]) -> pa.Table:
    """WINDOW rows of one series by start: partials of the same window merged, and counted."""
    if not parts:
        return columns.empty(WINDOW)
    rows = pa.concat_tables(parts).unify_dictionaries()
    tables = []
    for width in pc.unique(rows["width_s"]).to_pylist():  # more than one when the domain's base window has changed
        mine = rows.filter(pc.equal(rows["width_s"], width))
        _, counts = np.unique(to_numpy(mine["window_start"]), return_counts=True)
        tables.append(merge(mine).append_column("revisions", pa.array(counts.astype(np.int32))))
    return (
        tables[0]
        if len(tables) == 1
        else pa.concat_tables(tables).sort_by([("window_start", "ascending"), ("width_s", "ascending")])
    )
