"""Times that no strptime reads: ISO 8601, numbers since 1970, fractions of a second, offsets, zones."""

from __future__ import annotations

import re
from collections.abc import Callable

import pyarrow as pa
import pyarrow.compute as pc

from levada.core import timetexts as t
from levada.core.records import TIME

ISO_SECONDS = "%Y-%m-%d %H:%M:%S"
_HOUR, _SIXTY = "(?:[01][0-9]|2[0-3])", "[0-5][0-9]"
_FULL = (
    r"[1-9][0-9]{3}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12][0-9]|3[01])[T ]"
    rf"{_HOUR}:{_SIXTY}:{_SIXTY}(?:\.[0-9]{{1,6}})?(?:Z|[+-]{_HOUR}:{_SIXTY})"
)
"""With nothing left out, and nothing out of range but perhaps the day: 31 February."""
_ISO, _ENDS, _FRACTION, _NUMBER, _WHOLE = (rf"\A{p}\z" for p in (t.ISO, t.ENDS, t.FRACTION, t.NUMBER, t.WHOLE))
_US = pa.timestamp("us")
Parse = Callable[[pa.Array], pa.Array]
"""n texts → naive timestamps in seconds, null for those that are none."""


FEW = 256


def fitting(texts: pa.Array, pattern: str) -> pa.Array:
    """n booleans: texts without nulls that are of this pattern, which names the characters that it takes.

    A kernel compiles its pattern each time it is called, which takes as long as to match some hundred texts here.
    """
    if len(texts) > FEW:
        return pc.match_substring_regex(texts, rf"\A(?:{pattern})\z")
    return pa.array(map(bool, map(re.compile(pattern).fullmatch, texts.to_pylist())), pa.bool_())


def localised(naive: pa.Array, zone: str) -> pa.Array:
    """Naive timestamps as TIME: what the clocks of the zone showed."""
    naive = naive.cast(_US)
    if zone != "UTC" and naive.null_count < len(naive):
        naive = pc.assume_timezone(naive, zone, ambiguous="earliest", nonexistent="latest")
    return naive.cast(TIME)


def iso(texts: pa.Array, parse: Parse, zone: str) -> pa.Array:
    """ISO 8601 in the extended form: a date, or date and time, with or without seconds, fraction and offset."""
    if fitting(texts, _FULL).true_count == len(texts):
        return _in_full(texts)
    found = pc.extract_regex(texts, _ISO)
    day, clock, seconds = (found.field(i) for i in range(3))
    clock = pc.if_else(pc.equal(clock, ""), "00:00", clock)
    seconds = pc.if_else(pc.equal(seconds, ""), "00", seconds)
    whole = pc.binary_join_element_wise(pc.binary_join_element_wise(day, clock, " "), seconds, ":")
    whole = pc.if_else(pc.is_valid(found), whole, pa.scalar(None, pa.string()))
    return _with(_parsed(whole, parse), found.field(3), found.field(4), zone)


def _in_full(texts: pa.Array) -> pa.Array:
    """Of texts that are ``_FULL``."""
    try:
        return texts.cast(TIME)
    except pa.ArrowInvalid:
        days = pc.strptime(pc.utf8_slice_codeunits(texts, 0, 10), "%Y-%m-%d", "s", error_is_null=True)
        there = pc.equal(pc.utf8_slice_codeunits(texts, 8, 10).cast(pa.int64()), pc.day(days))
        return pc.if_else(there, texts, pa.scalar(None, texts.type)).cast(TIME)


def split_off(texts: pa.Array, form: str, parse: Parse, zone: str) -> pa.Array:
    """A strptime format with ``%f`` behind the seconds, or ``%z`` at its end; a fraction may be missing, or longer."""
    none = pa.scalar(None, pa.string())
    offset, fraction = pa.array([""] * len(texts), pa.string()), pa.array([""] * len(texts), pa.string())
    if "%z" in form:
        found = pc.extract_regex(texts, _ENDS)
        texts, offset = pc.if_else(pc.is_valid(found), found.field(0), none), found.field(1)
    if "%f" in form:
        found = pc.extract_regex(texts, _FRACTION)
        there = pc.is_valid(found)
        fraction = pc.if_else(there, found.field(1), "")
        texts = pc.if_else(there, pc.binary_join_element_wise(found.field(0), found.field(2), ""), texts)
    return _with(_parsed(texts, parse), fraction, offset, zone)


def epoch(texts: pa.Array, form: str) -> pa.Array:
    """Numbers since 1970-01-01 UTC; below a microsecond they are cut off."""
    none = pa.scalar(None, pa.string())
    is_whole = pc.match_substring_regex(texts, _WHOLE)
    is_other = pc.and_not(pc.match_substring_regex(texts, _NUMBER), is_whole)
    whole = pc.if_else(is_whole, texts, none).cast(pa.int64())
    other = pc.if_else(is_other, texts, none).cast(pa.float64())
    result = pa.nulls(len(texts), pa.int64())
    low = 0.0
    for high, unit in t.GUESSES if form == "epoch" else ((float("inf"), t.EPOCHS[form]),):
        result = pc.coalesce(result, _whole_us(whole, unit, low, high), _float_us(other, unit, low, high))
        low = high
    fits = pc.and_(pc.greater_equal(result, t.FIRST_US), pc.less_equal(result, t.LAST_US))
    return pc.if_else(fits, result, pa.scalar(None, pa.int64())).cast(_US).cast(TIME)


def _whole_us(values: pa.Array, unit: float, low: float, high: float) -> pa.Array:
    values = _within(values, pc.abs(values.cast(pa.float64(), safe=False)), low, high)
    if unit < 1:
        return pc.divide(values, int(1 / unit))
    fits = pc.less_equal(pc.abs(values), t.LAST_US // int(unit))  # or the product would wrap around
    return pc.multiply(pc.if_else(fits, values, pa.scalar(None, pa.int64())), int(unit))


def _float_us(values: pa.Array, unit: float, low: float, high: float) -> pa.Array:
    us = pc.round(pc.multiply(_within(values, pc.abs(values), low, high), unit))
    fits = pc.less_equal(pc.abs(us), float(t.LAST_US))
    return pc.if_else(fits, us, pa.scalar(None, pa.float64())).cast(pa.int64(), safe=False)


def _within(values: pa.Array, size: pa.Array, low: float, high: float) -> pa.Array:
    inside = pc.and_(pc.greater_equal(size, low), pc.less(size, high))
    return pc.if_else(inside, values, pa.scalar(None, values.type))


def _parsed(texts: pa.Array, parse: Parse) -> pa.Array:
    """Parsed where there is a text; the parser never sees a null."""
    there = pc.is_valid(texts)
    parsed = parse(texts.filter(there))
    return parsed if not texts.null_count else pc.replace_with_mask(pa.nulls(len(texts), parsed.type), there, parsed)


def _with(naive: pa.Array, fraction: pa.Array, offset: pa.Array, zone: str) -> pa.Array:
    """TIME of naive seconds, digits behind the point, and an offset from UTC, each empty where there is none."""
    naive = naive.cast(_US)
    local = pc.and_(pc.is_valid(naive), pc.equal(pc.fill_null(offset, ""), ""))
    times = naive.cast(TIME)
    if zone != "UTC" and local.true_count:
        times = pc.if_else(local, localised(naive, zone), times)
    us = pc.add(times.cast(pa.int64()), _micros(pc.fill_null(fraction, "")))
    return pc.subtract(us, _offset_us(pc.fill_null(offset, ""))).cast(_US).cast(TIME)


def _micros(digits: pa.Array) -> pa.Array:
    padded = pc.utf8_slice_codeunits(pc.utf8_rpad(digits, 6, "0"), 0, 6)
    return padded.cast(pa.int64())


def _offset_us(texts: pa.Array) -> pa.Array:
    """``+05:30``, ``-0800``, ``+01``; anything else is none."""
    signed = pc.match_substring_regex(texts, r"\A[+-]")
    digits = pc.replace_substring(pc.if_else(signed, texts, "+0000"), ":", "")
    hours = pc.utf8_slice_codeunits(digits, 1, 3).cast(pa.int64())
    minutes = pc.utf8_slice_codeunits(pc.utf8_rpad(digits, 5, "0"), 3, 5).cast(pa.int64())
    us = pc.multiply(pc.add(pc.multiply(hours, 60), minutes), 60_000_000)
    return pc.if_else(pc.equal(pc.utf8_slice_codeunits(digits, 0, 1), "-"), pc.negate(us), us)
