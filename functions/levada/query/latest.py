"""The newest window of each series, a page of series at a time, from the serving table."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

import pyarrow as pa

from levada.core import columns
from levada.domains.declaration import Domain
from levada.ports import Items
from levada.query import parameters
from levada.query.errors import ParameterError
from levada.query.windows import KEY, MAX_SERIES, WINDOW, Key, Selection, key_of, newest, series_of

PARAMETERS = ("domain", "tenant", *KEY, "since", "until", "open", "after", "limit", "format")
READERS = 8


@dataclass(frozen=True, slots=True)
class Asked:
    selection: Selection
    """Which series; and, of the windows of each, those that start in its range."""
    limit: int
    """Series that one page looks at."""
    after: Key | None
    """Only series behind this one."""


@dataclass(frozen=True, slots=True)
class Page:
    rows: pa.Table
    """At most one window (WINDOW) of each series that was looked at, by KEY."""
    following: Key | None
    """The series behind which the next page begins; None when this is the last page."""


def asked(query: Mapping[str, str], domains: Mapping[str, Domain], tenant: str, now_us: int) -> Asked:
    """What a request asks for; arguments as for ``parameters.windows``. Raises ParameterError."""
    selection, limit = parameters.windows(query, domains, tenant, now_us)
    if selection.after is not None:  # where a page of windows went on
        raise ParameterError("since", query["since"], parameters.TIMES)
    return Asked(selection, min(limit, MAX_SERIES), _after(query.get("after")))


def page(serving: Items, wanted: Asked) -> Page:
    """The newest window of each of the first ``limit`` series; series without one in the range are left out."""
    found = series_of(serving, wanted.selection)
    if wanted.after is not None:
        found = [one for one in found if key_of(one) > wanted.after]
    here = found[: wanted.limit]
    with ThreadPoolExecutor(READERS) as pool:
        tables = list(pool.map(partial(newest, serving, selection=wanted.selection), here))
    return Page(_together(tables), key_of(here[-1]) if len(found) > len(here) else None)


def cut(found: Page, limit: int) -> Page:
    """The first of its rows only."""
    rows = found.rows.slice(0, limit)
    return Page(rows, key_of(rows.slice(limit - 1).to_pylist()[0]))


def cursor(found: Page) -> str | None:
    """The ``after`` of the next page, None after the last one."""
    if found.following is None:
        return None
    place = json.dumps(found.following, ensure_ascii=False, separators=(",", ":")).encode()
    return base64.urlsafe_b64encode(place).decode().rstrip("=")


def _together(tables: Sequence[pa.Table]) -> pa.Table:
    return pa.concat_tables([columns.empty(WINDOW), *tables]).unify_dictionaries().combine_chunks()


def _after(text: str | None) -> Key | None:
    if text is None:
        return None
    try:
        raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        site, unit, series, metric = json.loads(raw)
    except (binascii.Error, ValueError, TypeError) as err:
        raise ParameterError("after", text, "the next of an answer as it was given") from err
    return str(site), str(unit), str(series), str(metric)
