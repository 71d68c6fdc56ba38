"""Query parameters of the HTTP routes: read strictly, refused with what is allowed."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from levada.core.instants import EPOCH, instant
from levada.core.segments import MAX_US, MIN_US
from levada.domains.declaration import Domain
from levada.query.errors import ParameterError
from levada.query.windows import KEY, Page, Place, Selection

MAX_LIMIT = 10_000
DEFAULT_LIMIT = 1_000
MAX_WIDTH_S = 366 * 86_400
SERIES_PARAMETERS = ("domain", "tenant", *KEY, "after", "limit", "format")
WINDOW_PARAMETERS = ("domain", "tenant", *KEY, "since", "until", "width", "open", "limit", "format")
YES_OR_NO = {"true": True, "false": False}
TIMES = (
    "a time with Z or an offset such as 2004-03-10T18:00:00Z, a day, or -<n>s, -<n>m, -<n>h, -<n>d, -<n>w before now"
)
_RELATIVE = re.compile(r"-(\d{1,9})([smhdw])", re.ASCII)
_UNIT_S = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
CURSOR = "~"


def given(event: Mapping[str, Any], known: Sequence[str]) -> dict[str, str]:
    """The query parameters of an API Gateway event; one without a value counts as not given.

    Raises ParameterError for a parameter that is not known, or stands there twice.
    """
    for name, values in (event.get("multiValueQueryStringParameters") or {}).items():
        if len(values) > 1:
            raise ParameterError(name, values, "given once")
    query = event.get("queryStringParameters") or {}
    for name, value in query.items():
        if name not in known:
            raise ParameterError(name, value, f"one of the parameters {', '.join(known)}")
    return {name: value for name, value in query.items() if value}


def tenants(event: Mapping[str, Any]) -> list[str]:
    """Every tenant that an API Gateway event names, in either place where it lists parameters."""
    several = (event.get("multiValueQueryStringParameters") or {}).get("tenant") or []
    one = (event.get("queryStringParameters") or {}).get("tenant")
    return [name for name in dict.fromkeys([*several, one]) if name]


def of_tenant(event: Mapping[str, Any], tenant: str) -> dict[str, Any]:
    """The event, naming this tenant; given twice, it stays so, for ``given`` to refuse."""
    several = event.get("multiValueQueryStringParameters") or {}
    twice = len(several.get("tenant") or []) > 1
    return {
        **event,
        "queryStringParameters": {**(event.get("queryStringParameters") or {}), "tenant": tenant},
        "multiValueQueryStringParameters": several if twice else {**several, "tenant": [tenant]},
    }


def series(query: Mapping[str, str], domains: Mapping[str, Domain], tenant: str) -> Selection:
    """What /v1/series is asked for."""
    return Selection(
        domain=domain_named(query, domains),
        tenant=query.get("tenant", tenant),
        site=query.get("site"),
        unit=query.get("unit"),
        series=query.get("series"),
        metric=query.get("metric"),
    )


def windows(query: Mapping[str, str], domains: Mapping[str, Domain], tenant: str, now_us: int) -> tuple[Selection, int]:
    """What /v1/windows is asked for: (selection, limit).

    Args:
        domains: those that are enabled; a single one need not be named.
        tenant: whose windows, when the request does not say.
        now_us: what relative times count from, microseconds.

    Raises:
        ParameterError: naming the parameter, its value and what is allowed.
    """
    base = series(query, domains, tenant)
    since_us, after = _since(query.get("since"), now_us)
    until_us = time_us("until", query["until"], now_us) if "until" in query else None
    if since_us is not None and until_us is not None and until_us < since_us:
        raise ParameterError("until", query["until"], f"at or after since={query['since']}")
    width_s = _width(query, domains[base.domain])
    selection = replace(base, since_us=since_us, until_us=until_us, after=after, width_s=width_s)
    return selection, limit_of(query)


def cursor(page: Page) -> str | None:
    """The ``since`` of the next page, None after the last one."""
    if page.next_us is None:
        return None
    if page.next_place is None:
        return instant(page.next_us)
    return f"{instant(page.next_us)}{CURSOR}{encoded(page.next_place)}"


def encoded(place: Sequence[str | int]) -> str:
    """A place in a list as a word that may stand in a URL."""
    text = json.dumps(place, ensure_ascii=False, separators=(",", ":")).encode()
    return base64.urlsafe_b64encode(text).decode().rstrip("=")


def decoded(word: str) -> list[str | int]:
    """The place that was encoded so. Raises ValueError."""
    place = json.loads(base64.b64decode(word + "=" * (-len(word) % 4), altchars=b"-_", validate=True))
    if not isinstance(place, list) or not all(type(part) in (str, int) for part in place):
        raise ValueError("a list of texts and whole numbers")
    return place


def domain_named(query: Mapping[str, str], domains: Mapping[str, Domain]) -> str:
    """The domain that is asked for; a single one need not be named."""
    name = query.get("domain")
    if name is None and len(domains) == 1:
        return next(iter(domains))
    if name is None or name not in domains:
        raise ParameterError("domain", name, f"one of {', '.join(sorted(domains))}")
    return name


def _since(text: str | None, now_us: int) -> tuple[int | None, Place | None]:
    if text is None:
        return None, None
    at, mark, word = text.partition(CURSOR)
    us = time_us("since", at, now_us)
    if not mark:
        return us, None
    try:
        site, unit, name, metric, width_s = decoded(word)
        return us, (str(site), str(unit), str(name), str(metric), int(width_s))
    except ValueError as err:
        raise ParameterError("since", text, "a time, or the next of an answer as it was given") from err


def time_us(name: str, text: str, now_us: int) -> int:
    """Microseconds since 1970, within what the table can hold."""
    if match := _RELATIVE.fullmatch(text):
        return max(MIN_US, now_us - int(match[1]) * _UNIT_S[match[2]] * 1_000_000)
    written = re.sub(r" (\d{2}:?\d{2})$", r"+\1", text, flags=re.ASCII)  # a + in a query arrives as a blank
    try:
        if _DAY.fullmatch(text):
            written += "T00:00:00Z"
        at = datetime.fromisoformat(written)
        if at.tzinfo is None:
            raise ValueError("no offset")
        us = (at - EPOCH) // timedelta(microseconds=1)
    except (ValueError, OverflowError) as err:
        raise ParameterError(name, text, TIMES) from err
    return min(max(us, MIN_US), MAX_US)


def _width(query: Mapping[str, str], domain: Domain) -> int | None:
    base = domain.window_s
    allowed = f"a multiple of the {base} s of domain {domain.name}, at most {MAX_WIDTH_S}"
    return whole(query, "width", allowed, lambda n: 0 < n <= MAX_WIDTH_S and n % base == 0)


def with_open(query: Mapping[str, str]) -> bool:
    """Whether windows are wanted to which rows may still come."""
    text = query.get("open", "false")
    if text not in YES_OR_NO:
        raise ParameterError("open", text, f"one of {', '.join(YES_OR_NO)}")
    return YES_OR_NO[text]


def limit_of(query: Mapping[str, str]) -> int:
    """How many rows a page may have."""
    low, high = 1, MAX_LIMIT
    limit = whole(query, "limit", f"a whole number from {low} to {high}", lambda n: low <= n <= high)
    return DEFAULT_LIMIT if limit is None else limit


def whole(query: Mapping[str, str], name: str, allowed: str, fits: Callable[[int], bool]) -> int | None:
    """A parameter that is a whole number which fits; None when it is not given."""
    if name not in query:
        return None
    text = query[name]
    if not re.fullmatch(r"\d{1,9}", text, re.ASCII) or not fits(int(text)):
        raise ParameterError(name, text, allowed)
    return int(text)
