"""Which columns of a sample hold the time, and how it is written: every form is tried with the reader itself."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise, product
from statistics import median

import pyarrow as pa

from levada.clean import times
from levada.domains.declaration import Time

DATES = ("%d-%m-%Y", "%m-%d-%Y", "%Y-%m-%d", "%d-%m-%y", "%m-%d-%y", "%d %b %Y", "%d %B %Y", "%b %d, %Y", "%B %d, %Y",
         "%d-%b-%Y", "%d-%b-%y", "%Y%m%d")  # fmt: skip
CLOCKS = ("%H:%M:%S", "%H:%M", "%I:%M:%S %p", "%I:%M %p", "%I:%M:%S%p", "%I:%M%p", "%H%M", "%H", "%H:%M:%S.%f",
          "%I:%M:%S.%f %p")  # fmt: skip
WHOLE = ("%a, %d %b %Y %H:%M:%S GMT", "%a, %d %b %Y %H:%M:%S %z", "%d/%b/%Y:%H:%M:%S %z")
"""Of mails and web servers."""
COMPACT = ("%Y%m%dT%H%M%SZ", "%Y%m%dT%H%MZ", "%Y%m%dT%H%M%S", "%Y%m%dT%H%M", "%Y%m%d%H%M%S", "%Y%m%d%H%M", "%Y%m%d%H")
MONTHS = ("%Y-%m", "%Y/%m", "%m/%Y", "%b %Y", "%B %Y", "%b-%Y")
_CLOCK = re.compile(r"\d{1,2}([:.h]\d{2}){0,2}([.,]\d+)?( ?[AaPp]\.?[Mm]\.?)?|\d{4}")
SEPARATORS = ("-", "/", ".")
JOINTS = (" ", "T", ", ")
SHARE = 0.97
"""Share of the texts that a form must read: a sample has bad rows, too."""
LOOKED_AT = 500
PARTS = (
    (("year", "yyyy", "yy", "yr"), "%Y"),
    (("month", "MM", "mo"), "%m"),
    (("day", "dd", "dy"), "%d"),
    (("hour", "hh", "hr"), "%H"),
    (("minute", "mm", "mn", "min"), "%M"),
    (("second", "ss", "sec"), "%S"),
)
"""Names of columns that hold a part; where upper case tells months from minutes it must be as it is here."""
WINDOWS = (60, 300, 900, 1800, 3600, 7200, 21_600, 43_200, 86_400)


@dataclass(frozen=True, slots=True)
class Found:
    """The time of a sample."""

    columns: tuple[str, ...]
    formats: tuple[str, ...]
    is_local: bool
    """It names no zone."""
    doubt: str = ""
    window_s: int = 60


def time_of(columns: Sequence[tuple[str, list[str]]]) -> Found | None:
    """The first column, or two columns side by side, or columns of year, month and day, that read as times."""
    for some in (_by_parts, _single, _pair, _compact, _date_alone, _number):
        if (found := some(columns)) is not None:
            return found
    return None


def is_time(values: list[str]) -> bool:
    """A text column that reads as times, or dates, too."""
    return bool(_reads([values], ["iso", *_dates(), *_forms()]))


def _by_parts(columns: Sequence[tuple[str, list[str]]]) -> Found | None:
    exact = {name.strip(" #"): (name, values) for name, values in columns}
    lower = {name.lower(): column for name, column in exact.items() if name != "MM"}
    found = []
    for names, code in PARTS:
        hit = next((exact.get(name) or lower.get(name) for name in names if name in exact or name in lower), None)
        if hit is not None:
            found.append((*hit, code))
    if len(found) < 3 or found[2][2] != "%d":
        return None
    return _best(
        tuple(name for name, _, _ in found), [v for _, v, _ in found], [" ".join(code for _, _, code in found)]
    )


def _single(columns: Sequence[tuple[str, list[str]]]) -> Found | None:
    for name, values in columns:
        with_clock = any(":" in value for value in values[:LOOKED_AT])
        if with_clock and (found := _best((name,), [values], ["iso"]) or _best((name,), [values], [*WHOLE, *_forms()])):
            return found
    return None


def _compact(columns: Sequence[tuple[str, list[str]]]) -> Found | None:
    for name, values in columns:
        if found := _best((name,), [values], list(COMPACT)):
            return found
    return None


def _number(columns: Sequence[tuple[str, list[str]]]) -> Found | None:
    for name, values in columns:
        hints = ("time", "date", "epoch", "unix", "ts")
        if any(hint in name.lower() for hint in hints) and (found := _best((name,), [values], ["epoch"])):
            return found
    return None


def _pair(columns: Sequence[tuple[str, list[str]]]) -> Found | None:
    for (first, dates), (second, clocks) in product(columns, repeat=2):
        if first == second or not _reads([dates], ["iso", *_dates()]):
            continue
        forms = [f"{date} {clock}" for date in DATES for clock in CLOCKS]  # of two columns any separator will do
        if _is_clock(second, clocks) and (found := _best((first, second), [dates, clocks], forms)):
            return found
    return None


def _is_clock(name: str, values: list[str]) -> bool:
    """Written as a time of day; a bare number is one only where the column's name says so."""
    some = [value for value in values[:LOOKED_AT] if value]
    if all(value.isdecimal() for value in some) and not re.search(r"hour|hr|time|hh", name.lower()):
        return False
    return bool(some) and sum(1 for value in some if _CLOCK.fullmatch(value)) >= SHARE * len(some)


def _date_alone(columns: Sequence[tuple[str, list[str]]]) -> Found | None:
    for name, values in columns:
        if found := _best((name,), [values], ["iso"]) or _best((name,), [values], [*_dates(), *MONTHS]):
            return found
    return None


def _dates() -> Iterator[str]:
    for date in DATES:
        yield from dict.fromkeys(date.replace("-", mark) for mark in SEPARATORS)


def _forms() -> Iterator[str]:
    for date, joint, clock in product(_dates(), JOINTS, CLOCKS):
        yield f"{date}{joint}{clock}"


def _reads(texts: list[list[str]], forms: list[str]) -> list[str]:
    """Which of the forms read nearly all of the texts."""
    some = [values[:LOOKED_AT] for values in texts]
    arrays = [pa.array(values, pa.string()) for values in some]
    there = sum(1 for row in zip(*some, strict=True) if any(row))
    good = []
    for form in forms:
        if there and form not in ("iso", "epoch") and len({*form} & {"%"}) and not _plausible(some, form):
            continue
        parsed, _ = times.parse(arrays, Time(columns=("x",) * len(arrays), formats=(form,)))
        if there and len(parsed) - parsed.null_count >= SHARE * there:
            good.append(form)
    return good


def _plausible(texts: list[list[str]], form: str) -> bool:
    """A quick look at one text, so that hundreds of forms cost nothing."""
    one = next((" ".join(row) for row in zip(*texts, strict=True) if all(row)), "")
    if "%f" in form and not re.search(r":\d{2}[.,]\d", one):
        return False
    return (":" in form) <= (":" in one or "." in one) and (" %p" in form or "%p" in form) == one.lower().endswith("m")


def _best(names: tuple[str, ...], texts: list[list[str]], forms: list[str]) -> Found | None:
    good = _reads(texts, forms)
    if not good:
        return None
    # who counts to twelve twice a day writes the month first
    ranked = sorted(good, key=lambda form: (-_order(texts, form), "%p" in form and not form.startswith("%m")))
    best = ranked[0]
    parsed = _parsed(texts, best)
    equal = [f for f in ranked[1:] if _order(texts, f) == _order(texts, best) and _parsed(texts, f) != parsed]
    doubt = f"a guess: {equal[0]} reads them all, too" if equal else ""
    if best == "epoch" and not 946_684_800 <= min(parsed, default=0) < 4_102_444_800:
        return None
    named = best in ("epoch", *WHOLE) or best.endswith("Z")
    local = not named and not (best == "iso" and any(t.rstrip().endswith(("Z", "z")) or "+" in t for t in texts[0]))
    return Found(names, (best,), local, doubt, _window(parsed))


def _parsed(texts: list[list[str]], form: str) -> list[float]:
    arrays = [pa.array(values[:LOOKED_AT], pa.string()) for values in texts]
    parsed, _ = times.parse(arrays, Time(columns=("x",) * len(arrays), formats=(form,)))
    return [us / 1e6 for us in parsed.cast(pa.int64()).drop_null().to_pylist()]


def _order(texts: list[list[str]], form: str) -> float:
    """Share of steps that do not go back in time: files are written as time goes by; and even steps are likelier."""
    found = _parsed(texts, form)
    steps = [b - a for a, b in pairwise(found)]
    ahead = sum(1 for step in steps if step >= 0) / len(steps) if steps else 1.0
    spread = (max(found) - min(found)) if found else 0.0
    return round(ahead, 3) - min(spread / 1e12, 1e-3)


def _window(seconds: Sequence[float]) -> int:
    distinct = sorted(set(seconds))
    steps = [b - a for a, b in pairwise(distinct)]
    usual = median(steps) if steps else 60
    return max((width for width in WINDOWS if width <= usual), default=60)
