"""One JSON item against its domain's declaration, without pyarrow: what ``clean`` would refuse is refused here."""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Mapping
from typing import Any

from levada.domains.declaration import JSON, NUMBER, Domain
from levada.ingest.instants import NotATimeError, instant_of
from levada.ingest.lanes import text_of

_LARGEST = sys.float_info.max
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)


class RefusedError(ValueError):
    """The item is no row of its domain; the message names the field, its value and what is allowed."""


def judge(item: Mapping[str, Any], domain: Domain) -> int | None:
    """The item's event time, microseconds since 1970-01-01 UTC, or None where it has none.

    Raises RefusedError.
    """
    telling = domain.telling
    if telling and not any(name in item for name in telling):
        kind = "metric" if domain.is_wide else "field"
        raise RefusedError(f"has {sorted(item)!r:.120}: none is a {kind} of {domain.name} ({', '.join(telling)})")
    for name, kind in domain.columns.items():
        if kind != JSON:
            _check(name, item.get(name), domain, is_number=kind == NUMBER)
    for name in domain.musts:
        if not _text(item.get(name), domain):
            raise RefusedError(f"{name}={item.get(name)!r:.80}: must not be empty")
    _check_names(item, domain)
    if domain.open_metrics and not (domain.long or domain.metrics or domain.events or domain.derive):
        _check_open(item, domain)
    try:
        return instant_of(item, domain)
    except NotATimeError as err:
        shown = " ".join(domain.time.columns)
        allowed = ", ".join(domain.time.formats)
        raise RefusedError(f"{shown}={str(err)!r:.80}: must be a time like {allowed}") from err


def _check(name: str, value: object, domain: Domain, *, is_number: bool) -> None:
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise RefusedError(f"{name}={value!r:.80}: must be {'a number' if is_number else 'text or a number'}")
    if is_number and isinstance(value, str) and not _is_number(value, domain):
        raise RefusedError(f"{name}={value!r:.80}: must be a number")


def _check_names(item: Mapping[str, Any], domain: Domain) -> None:
    """Names of metrics and events, where the domain says which there are."""
    event = domain.events.get("event_type")
    if event and domain.event_types and _text(item.get(event), domain) not in domain.event_types:
        allowed = ", ".join(domain.event_types)
        raise RefusedError(f"{event}={item.get(event)!r:.80}: must be one of {allowed}")
    long = domain.long
    if long and not domain.open_metrics and _text(item.get(long.metric), domain) not in domain.metrics:
        allowed = ", ".join(domain.metrics)
        raise RefusedError(f"{long.metric}={item.get(long.metric)!r:.80}: must be one of {allowed}")


def _check_open(item: Mapping[str, Any], domain: Domain) -> None:
    """Any number under another name is a metric; an item without one says nothing."""
    declared = domain.columns
    for name, value in item.items():
        if name in declared or name == "domain" or isinstance(value, bool):
            continue
        if isinstance(value, int | float) and abs(value) <= _LARGEST:
            return
        if isinstance(value, str) and _text(value, domain) and _is_number(value, domain):
            return
    raise RefusedError(f"has {sorted(item)!r:.120}: none but {', '.join(declared)} holds a number")


def _text(value: object, domain: Domain) -> str:
    """Nothing for the domain's marks of a missing value."""
    text = text_of(value)
    return "" if text.lower() in {mark.strip().lower() for mark in domain.missing} else text


def _is_number(text: str, domain: Domain) -> bool:
    """As the domain writes numbers: a comma is a decimal comma else; nothing is a missing value."""
    text = _text(text.strip(f" \t\u00a0\u202f{domain.affixes}") if domain.affixes else text, domain)
    if domain.thousands:
        mark, end = re.escape(domain.thousands), re.escape(domain.decimal)
        if re.fullmatch(rf"[+-]?\d{{1,3}}({mark}\d{{3}})+({end}\d*)?", text, re.ASCII):
            text = text.replace(domain.thousands, "")
    if domain.decimal and ("," if domain.decimal == "." else ".") in text:
        return False
    text = text.replace(",", ".")
    return not text or (_NUMBER.fullmatch(text) is not None and math.isfinite(float(text)))
