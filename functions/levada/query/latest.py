"""The newest window of each series, a page of series at a time, from the serving table."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

import pyarrow as pa

from levada.core import columns
from levada.domains.declaration import Domain
from levada.ports import Items
from levada.query import keyed, parameters
from levada.query.errors import ParameterError
from levada.query.windows import KEY, MAX_SERIES, READERS, WINDOW, Selection, key_of, newest, series_of

PARAMETERS = ("domain", "tenant", *KEY, "since", "until", "open", "after", "limit", "format")


@dataclass(frozen=True, slots=True)
class Page:
    rows: pa.Table
    """At most one window (WINDOW) of each series that was looked at, by KEY."""
    following: keyed.Key | None
    """The series behind which the next page begins; None when this is the last page."""


def asked(query: Mapping[str, str], domains: Mapping[str, Domain], tenant: str, now_us: int) -> Selection:
    """Which series; and, of the windows of each, those that start in its range. Raises ParameterError.

    Arguments as for ``parameters.windows``.
    """
    selection, _ = parameters.windows(query, domains, tenant, now_us)
    if selection.after is not None:  # where a page of windows went on
        raise ParameterError("since", query["since"], parameters.TIMES)
    return selection


def page(serving: Items, selection: Selection, query: Mapping[str, str]) -> Page:
    """The newest window of each of the series behind ``after``, ``limit`` of them; series without one are left out."""
    most = {"limit": str(min(parameters.limit_of(query), MAX_SERIES))}
    here = keyed.BY_SERIES.page(series_of(serving, selection), {**query, **most})
    with ThreadPoolExecutor(READERS) as pool:
        tables = list(pool.map(partial(newest, serving, selection=selection), here.rows))
    rows = pa.concat_tables([columns.empty(WINDOW), *tables]).unify_dictionaries().combine_chunks()
    return Page(rows, here.following)


def cut(found: Page, limit: int) -> Page:
    """The first of its rows only."""
    rows = found.rows.slice(0, limit)
    return Page(rows, key_of(rows.slice(limit - 1).to_pylist()[0]))
