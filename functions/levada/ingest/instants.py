"""Event times of single items, without pyarrow: what ``clean`` reads (``clean/times.py``), read the same way."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from functools import cache
from typing import Any

from levada.core import timetexts
from levada.domains.declaration import Domain, Time
from levada.ingest.lanes import text_of

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_ONE_DIGIT = re.compile(r"\b(\d)\b")
_ISO = re.compile(timetexts.ISO, re.ASCII)
_ENDS = re.compile(timetexts.ENDS, re.ASCII)
_FRACTION = re.compile(timetexts.FRACTION, re.ASCII)
_NUMBER = re.compile(timetexts.NUMBER, re.ASCII)
_WHOLE = re.compile(timetexts.WHOLE, re.ASCII)


class NotATimeError(ValueError):
    """A text is there that is no time."""


def instant_of(item: Mapping[str, Any], domain: Domain) -> int | None:
    """Microseconds since 1970-01-01 UTC; None where the item has no time. Raises NotATimeError."""
    missing = {mark.strip().lower() for mark in domain.missing}
    texts = [text_of(item.get(name)) for name in domain.time.columns]
    texts = ["" if text.lower() in missing else text for text in texts]
    if len(texts) > 1:  # a date column and a time column, each with separators of its own taste
        last = texts[-1] if any("%f" in form for form in domain.time.formats) else _separators(texts[-1], ":")
        texts = [*(_separators(t, "-") for t in texts[:-1]), last]
    joined = " ".join(texts)
    return None if not joined.strip() else _parse(joined, domain.time)


def _separators(text: str, mark: str) -> str:
    return text.replace("/", "-").replace(".", mark)


def _parse(text: str, spec: Time) -> int:
    for form in spec.tried:
        if form == "iso":
            found = _iso(text, spec.zone)
        elif form in timetexts.EPOCHS:
            found = _epoch(text, form)
        else:
            found = _strptime(text, form, spec.zone)
        if found is not None:
            return found
    raise NotATimeError(text)


def _iso(text: str, zone: str) -> int | None:
    match = _ISO.fullmatch(text)
    if match is None:
        return None
    whole = f"{match['d']} {match['t'] or '00:00'}:{match['s'] or '00'}"
    return _instant(whole, "%Y-%m-%d %H:%M:%S", match["f"], match["z"], zone)


def _strptime(text: str, form: str, zone: str) -> int | None:
    offset, fraction = None, None
    if "%z" in form:
        match = _ENDS.fullmatch(text)
        if match is None:
            return None
        text, offset = match["a"], match["z"]
    if "%f" in form and (match := _FRACTION.fullmatch(text)):
        text, fraction = match["a"] + match["b"], match["f"]
    return _instant(_ONE_DIGIT.sub(r"0\1", text), timetexts.plain(form), fraction, offset, zone)


def _instant(text: str, form: str, fraction: str | None, offset: str | None, zone: str) -> int | None:
    try:
        naive = datetime.strptime(text, form)  # noqa: DTZ007  # its zone follows
    except ValueError:
        return None
    at = naive.replace(tzinfo=_offset(offset) if offset else _zone(zone), fold=0)
    return (at - EPOCH) // timedelta(microseconds=1) + int((fraction or "").ljust(6, "0")[:6])


def _offset(text: str) -> tzinfo:
    if text[0] not in "+-":
        return UTC
    digits = text[1:].replace(":", "").ljust(4, "0")
    size = timedelta(hours=int(digits[:2]), minutes=int(digits[2:]))
    return timezone(min(size, timedelta(hours=23, minutes=59)) * (-1 if text[0] == "-" else 1))


@cache
def _zone(name: str) -> tzinfo:
    if name == "UTC":
        return UTC
    from zoneinfo import ZoneInfo

    return ZoneInfo(name)


def _epoch(text: str, form: str) -> int | None:
    if not _NUMBER.fullmatch(text):
        return None
    value: int | float = int(text) if _WHOLE.fullmatch(text) else float(text)
    unit = timetexts.EPOCHS[form] or next((unit for below, unit in timetexts.GUESSES if abs(value) < below), 1.0)
    if isinstance(value, int):
        us = value // int(1 / unit) if unit < 1 else value * int(unit)
    elif abs(value * unit) > timetexts.LAST_US:
        return None
    else:
        us = round(value * unit)
    return us if timetexts.FIRST_US <= us <= timetexts.LAST_US else None
