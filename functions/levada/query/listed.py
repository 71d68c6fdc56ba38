"""Anomalies and alerts from the serving table, a page at a time in order of time, series and rule."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from levada.core import findings
from levada.core.anomalies import RULES, SEVERITIES
from levada.core.segments import sort_time
from levada.domains.declaration import Domain
from levada.ports import ServingStore
from levada.query import parameters
from levada.query.errors import ParameterError
from levada.query.windows import KEY

PARAMETERS = ("domain", "tenant", *KEY, "rule", "severity", "since", "until", "limit", "format")
MAX_LOOKED_AT = 20_000
"""Items that one page looks at; where a filter leaves few of them, the page is short and says where to go on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """Which findings: those in ``[first, last)`` of sort keys that the filters let through."""

    domain: str
    tenant: str
    first: str
    last: str
    limit: int
    equal: Mapping[str, str]
    """Column → the value it must have."""
    severities: tuple[str, ...]


@dataclass(slots=True)
class Page:
    rows: list[dict[str, Any]] = field(default_factory=list)
    following: str | None = None
    """The ``since`` of the next page, None after the last one."""


def asked(query: Mapping[str, str], domains: Mapping[str, Domain], tenant: str, now_us: int) -> Asked:
    """What a request asks for. Raises ParameterError naming the parameter, its value and what is allowed."""
    domain = parameters.domain_named(query, domains)
    first = _first(query.get("since"), now_us)
    last = sort_time(parameters.time_us("until", query["until"], now_us)) if "until" in query else "\uffff"
    if first > last:
        raise ParameterError("until", query["until"], f"at or after since={query['since']}")
    least = query.get("severity", SEVERITIES[0])
    if least not in SEVERITIES:
        raise ParameterError("severity", least, f"one of {', '.join(SEVERITIES)} (and what is worse)")
    if (rule := query.get("rule", RULES[0])) not in RULES:
        raise ParameterError("rule", rule, f"one of {', '.join(RULES)}")
    return Asked(
        domain=domain,
        tenant=query.get("tenant", tenant),
        first=first,
        last=last,
        limit=parameters.limit_of(query),
        equal={name: query[name] for name in (*KEY, "rule") if name in query},
        severities=SEVERITIES[SEVERITIES.index(least) :],
    )


def page(serving: ServingStore, kind: str, wanted: Asked) -> Page:
    """The first ``limit`` findings that the request lets through.

    Args:
        kind: ``findings.ANOMALIES`` or ``findings.ALERTS``.
    """
    found = Page()
    items = serving.query(findings.pk(kind, wanted.tenant, wanted.domain), first=wanted.first, last=wanted.last)
    for looked_at, item in enumerate(findings.distinct(items)):
        if looked_at == MAX_LOOKED_AT:
            found.following = _cursor(item)
            break
        if not _fits(item, wanted):
            continue
        if len(found.rows) == wanted.limit:
            found.following = _cursor(item)
            break
        found.rows.append(findings.row(item))
    return found


def cut(found: Page, limit: int) -> Page:
    """Its first rows only."""
    return Page(found.rows[:limit], _cursor(found.rows[limit]))


def _fits(item: Mapping[str, Any], wanted: Asked) -> bool:
    return item["severity"] in wanted.severities and all(item[name] == is_ for name, is_ in wanted.equal.items())


def _cursor(item: Mapping[str, Any]) -> str:
    key = base64.urlsafe_b64encode(findings.identity(item).encode()).decode().rstrip("=")
    return f"{str(item['sk']).partition('#')[0]}{parameters.CURSOR}{key}"


def _first(text: str | None, now_us: int) -> str:
    """The sort key to begin at: that of a time, or of the place where an answer's ``next`` points."""
    if text is None:
        return ""
    at, mark, encoded = text.partition(parameters.CURSOR)
    start = sort_time(parameters.time_us("since", at, now_us))
    if not mark:
        return start
    try:
        place = base64.b64decode(encoded + "=" * (-len(encoded) % 4), altchars=b"-_", validate=True).decode()
    except (binascii.Error, ValueError) as err:
        raise ParameterError("since", text, "a time, or the next of an answer as it was given") from err
    if not place.startswith(start):
        raise ParameterError("since", text, "a time, or the next of an answer as it was given")
    return place
