"""Event times from text, column by column."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache

import pyarrow as pa
import pyarrow.compute as pc

from levada.clean import time_forms
from levada.core import columns, timetexts
from levada.core.native import texts as kernels
from levada.core.records import TIME
from levada.domains.declaration import Time

_PARTS = {
    "%Y": "[1-9][0-9]{3}",
    "%m": "(?:0[1-9]|1[0-2])",
    "%d": "(?:0[1-9]|[12][0-9]|3[01])",
    "%H": "(?:[01][0-9]|2[0-3])",
    "%M": "[0-5][0-9]",
    "%S": "[0-5][0-9]",
}
"""How each part is written in full."""
_WIDTHS = {part: 4 if part == "%Y" else 2 for part in _PARTS}
_SECONDS = pa.timestamp("s")


def parse(texts: Sequence[pa.Array], spec: Time) -> tuple[pa.Array, pa.Array]:
    """Event times of n rows.

    Args:
        texts: one string array of n (or a dictionary of strings) per column that the spec names, in its order.

    Returns:
        (timestamps us UTC, null where there is none; booleans, true where text is there that is no time).
        All columns empty: no time and no fault, the row is undated.
    """
    form = _kernel_form(spec)
    if form is not None and len(texts) == 1:
        found = kernels.read(texts[0], form, TIME, lambda odd: _of_distinct([odd], spec, None))
        if found is not None:
            return found
    return _of_distinct(texts, spec, form)


def _of_distinct(texts: Sequence[pa.Array], spec: Time, form: kernels.Form | None) -> tuple[pa.Array, pa.Array]:
    """As ``parse``: thousands of series share a time, so each text is read once, by a kernel where there is a form."""
    coded = [columns.coded(text) for text in texts]
    trimmed = [pc.utf8_trim_whitespace(c.dictionary) for c in coded]
    if len(coded) > 1:  # a date column and a time column, each with separators of its own taste
        last = trimmed[-1] if any("%f" in one for one in spec.formats) else _separators(trimmed[-1], ":")
        trimmed = [*(_separators(t, "-") for t in trimmed[:-1]), last]
    joined, codes = trimmed[0], coded[0].indices
    for other, unique in zip(coded[1:], trimmed[1:], strict=True):
        joined, codes = _pairs(joined, codes, unique, other.indices)
    times = _parse_unique(joined, spec, form)
    rows = times.take(codes)
    if times.null_count:
        wrong = pc.and_not(pc.is_null(times), columns.empty_texts(pc.utf8_trim_whitespace(joined)))
        if wrong.true_count:
            return rows, wrong.take(codes)
    return rows, columns.zeros(len(codes), pa.bool_())


def _pairs(left: pa.Array, i: pa.Array, right: pa.Array, j: pa.Array) -> tuple[pa.Array, pa.Array]:
    """(each pair of texts that occurs, joined by one blank; which of them each row has)."""
    n = len(right)
    both = pc.add(pc.multiply(i.cast(pa.int64()), n), j.cast(pa.int64())).dictionary_encode()
    first = pc.divide(both.dictionary, n) if n else both.dictionary
    second = pc.subtract(both.dictionary, pc.multiply(first, n))
    return pc.binary_join_element_wise(left.take(first), right.take(second), " "), both.indices


def _separators(text: pa.Array, mark: str) -> pa.Array:
    return pc.replace_substring(pc.replace_substring(text, "/", "-"), ".", mark)


def _parse_unique(texts: pa.Array, spec: Time, form: kernels.Form | None) -> pa.Array:
    """Times of n texts, null for those that are none. The first format that takes a text decides."""
    if form is not None:
        nowhere = columns.zeros(len(texts), pa.bool_())
        found = kernels.read(texts, form, TIME, lambda odd: (_parse_unique(odd, spec, None), nowhere[: len(odd)]))
        if found is not None:
            return found[0]
    result = pa.nulls(len(texts), TIME)
    for one in spec.tried:
        if not result.null_count and len(result):
            break
        for parse_some in _parsers(one, spec.zone):
            if result.null_count == len(result):
                result = parse_some(texts)
            elif result.null_count:
                left = pc.is_null(result)
                result = pc.replace_with_mask(result, left, parse_some(texts.filter(left)))
    return result


@lru_cache(maxsize=64)
def _kernel_form(spec: Time) -> kernels.Form | None:
    """The form that a compiled kernel can read: of the first format, which nothing can be but a time of that."""
    first = spec.tried[0]
    alone = set(spec.tried) <= {first, "iso"}
    if first == "iso":
        return kernels.time_form("%Y-%m-%dT%H:%M:%SZ", alone=alone)
    return kernels.time_form(first, alone=alone) if spec.zone == "UTC" else None


def _parsers(form: str, zone: str) -> Iterator[Callable[[pa.Array], pa.Array]]:
    """Ways to read one format, the quickest first: texts to TIME, null for those it does not take."""
    if form == "iso":
        yield lambda texts: time_forms.iso(texts, lambda parts: _either(parts, time_forms.ISO_SECONDS), zone)
    elif form in timetexts.EPOCHS:
        yield lambda texts: time_forms.epoch(texts, form)
    elif "%f" in form or "%z" in form:
        plain = timetexts.plain(form)
        yield lambda texts: time_forms.split_off(texts, form, lambda parts: _either(parts, plain), zone)
    else:
        yield lambda texts: time_forms.localised(_either(texts, form), zone)


def _either(texts: pa.Array, form: str) -> pa.Array:
    """With all digits or without; what has all of them and is no time so is none at all."""
    parsed, fits = _of_shape(texts, form)
    if fits.true_count == len(texts):
        return parsed
    other = pc.invert(pc.fill_null(fits, False))
    return pc.replace_with_mask(parsed, other, _exactly(texts.filter(other), form))


def _exactly(texts: pa.Array, form: str) -> pa.Array:
    """Any text that the format takes, with or without leading zeros; null for all others."""
    padded = pc.replace_substring_regex(texts, r"\b(\d)\b", r"0\1")
    parsed = pc.strptime(texts, form, "s", error_is_null=True)
    # strptime rolls 31 February over to March, and reads year 04 as the year 4: only what prints the same is a time
    printed = pc.utf8_lower(pc.strftime(parsed, form))  # 12 pm is 12 PM, and JAN is Jan
    same = pc.and_(pc.equal(printed, pc.utf8_lower(padded)), pc.greater(pc.year(parsed), 0))  # no calendar has a year 0
    return pc.if_else(same, parsed, pa.scalar(None, _SECONDS))


def _in_full(texts: pa.Array, form: str) -> pa.Array:
    """What is written with all its digits: a fifth of the work. Null for all others."""
    return _of_shape(texts, form)[0]


def _of_shape(texts: pa.Array, form: str) -> tuple[pa.Array, pa.Array]:
    """(as ``_in_full``; which texts have all digits, be they a time or not)."""
    shape = _shape(form)
    if shape is None:
        return pa.nulls(len(texts), _SECONDS), columns.zeros(len(texts), pa.bool_())
    pattern, day = shape
    fits = time_forms.fitting(texts, pattern)
    some = texts if fits.true_count == len(texts) else texts.filter(fits)
    parsed = pc.strptime(some, form, "s", error_is_null=True)
    there = pc.equal(pc.utf8_slice_codeunits(some, day, day + 2).cast(pa.int64()), pc.day(parsed))
    if there.true_count < len(some):  # such a month has no such day
        parsed = pc.if_else(there, parsed, pa.scalar(None, _SECONDS))
    if len(some) == len(texts):
        return parsed, fits
    return pc.replace_with_mask(pa.nulls(len(texts), _SECONDS), fits, parsed), fits


@lru_cache(maxsize=64)
def _shape(form: str) -> tuple[str, int] | None:
    """(regular expression of texts in full, where the day stands); None for a format with more than plain parts."""
    pieces = re.split(r"(%.)", form)
    names = pieces[1::2]
    if not {"%Y", "%m", "%d"} <= set(names) <= set(_PARTS) or len(set(names)) != len(names):
        return None
    day, pattern, width = 0, "", 0
    for piece in pieces:
        day = width if piece == "%d" else day
        pattern += _PARTS.get(piece) or re.escape(piece)
        width += _WIDTHS.get(piece, len(piece))
    return pattern, day
