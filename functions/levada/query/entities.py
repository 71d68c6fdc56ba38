"""Latest state per entity (jobs, subjobs …), newest first, a page at a time, from the serving table."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from levada.aggregate.latest import entity_pk, state_of
from levada.core.segments import sort_time
from levada.domains.declaration import Domain
from levada.ports import ServingStore
from levada.query import parameters
from levada.query.errors import ParameterError

EXACT = ("site", "unit", "parent")
PARAMETERS = ("domain", "tenant", "from", "to", "status", "app", "id", *EXACT, "limit", "format")
COLUMNS = (
    "time",
    "site",
    "unit",
    "entity_type",
    "entity_id",
    "parent_id",
    "event_type",
    "severity",
    "value",
    "event_id",
    "attributes",
)
"""What every entity has; behind them stand its domain's fields."""
MAX_LOOKED_AT = 20_000
"""Entities that one page looks at; where a filter leaves few of them, the page is short and says where to go on."""
HIGHEST = "\uffff"


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """Which entities: those whose newest event lies in ``[first, last]`` of the index, filtered."""

    domain: str
    tenant: str
    entity_type: str
    first: str
    last: str
    limit: int
    statuses: tuple[str, ...] = ()
    app: str = ""
    """Part of the application's name."""
    entity_id: str | None = None
    equal: Mapping[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class Page:
    rows: list[dict[str, Any]] = field(default_factory=list)
    places: list[str] = field(default_factory=list)
    """Where each row stands in the index."""
    following: str | None = None
    """The ``to`` of the next page, None after the last one."""


def asked(query: Mapping[str, str], domains: Mapping[str, Domain], tenant: str, now_us: int, entity_type: str) -> Asked:
    """What a request asks for. Raises ParameterError naming the parameter, its value and what is allowed.

    Args:
        domains: those that serve latest states of this type; a single one need not be named.
    """
    serving = {name: one for name, one in domains.items() if entity_type in one.latest}
    first = sort_time(parameters.time_us("from", query["from"], now_us)) if "from" in query else ""
    last = _last(query.get("to"), now_us)
    if first > last:
        raise ParameterError("to", query["to"], f"at or after from={query['from']}")
    equal = {"parent_id" if name == "parent" else name: query[name] for name in EXACT if name in query}
    return Asked(
        domain=parameters.domain_named(query, serving),
        tenant=query.get("tenant", tenant),
        entity_type=entity_type,
        first=first,
        last=last,
        limit=parameters.limit_of(query),
        statuses=tuple(filter(None, query.get("status", "").split(","))),
        app=query.get("app", "").casefold(),
        entity_id=query.get("id"),
        equal=equal,
    )


def page(serving: ServingStore, wanted: Asked) -> Page:
    """The first ``limit`` entities that the request lets through, newest event first."""
    found, pk = Page(), entity_pk(wanted.tenant, wanted.domain, wanted.entity_type)
    items = serving.by_time(pk, first=wanted.first, last=wanted.last, newest_first=True)
    for looked_at, item in enumerate(items):
        if looked_at == MAX_LOOKED_AT:
            found.following = _cursor(item["list_sk"])
            break
        state = state_of(item)
        if not _fits(state, wanted):
            continue
        if len(found.rows) == wanted.limit:
            found.following = _cursor(item["list_sk"])
            break
        found.rows.append(state)
        found.places.append(item["list_sk"])
    return found


def cut(found: Page, limit: int) -> Page:
    """Its first rows only."""
    return Page(found.rows[:limit], found.places[:limit], _cursor(found.places[limit]))


def columns_of(domain: Domain) -> Sequence[str]:
    return (*COLUMNS, *(name for name in domain.fields if name not in COLUMNS))


def _fits(state: Mapping[str, Any], wanted: Asked) -> bool:
    status = state.get("status") or state["event_type"]
    return (
        (not wanted.statuses or status in wanted.statuses)
        and (not wanted.app or wanted.app in str(state.get("app") or "").casefold())
        and wanted.entity_id in (None, state["entity_id"])
        and all(state.get(name) == value for name, value in wanted.equal.items())
    )


def _last(text: str | None, now_us: int) -> str:
    """The sort key to begin at, going back in time: before that of a time, or where an answer's ``next`` points."""
    if text is None:
        return HIGHEST
    at, mark, encoded = text.partition(parameters.CURSOR)
    end = sort_time(parameters.time_us("to", at, now_us))
    if not mark:
        return end  # keys go on behind the time, so those of the time itself sort after it: [from, to)
    try:
        place = base64.b64decode(encoded + "=" * (-len(encoded) % 4), altchars=b"-_", validate=True).decode()
    except (binascii.Error, ValueError) as err:
        raise ParameterError("to", text, "a time, or the next of an answer as it was given") from err
    if not place.startswith(end):
        raise ParameterError("to", text, "a time, or the next of an answer as it was given")
    return place


def _cursor(place: str) -> str:
    encoded = base64.urlsafe_b64encode(place.encode()).decode().rstrip("=")
    return f"{place.partition('#')[0]}{parameters.CURSOR}{encoded}"
