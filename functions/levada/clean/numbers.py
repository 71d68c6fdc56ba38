"""Numbers from text, and what makes a value a missing one: column kernels only.

What most columns are is tried first (all plain numbers, none missing, all within the limits), because one look at the
whole column is cheaper than a mask of it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache, reduce
from math import isinf
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from levada.core import columns, native
from levada.core.native import texts as kernels
from levada.core.records import Quality
from levada.domains.declaration import Domain, Metric

NUMBER = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$"
_IN_NUMBERS = "0123456789.eE+-"
_NONE = pa.nulls(1, pa.float64())[0]  # pa.scalar would import pandas where it is installed


MAX_JOINED_BYTES = 1 << 28


def parse_all(found: Sequence[pa.Array], domain: Domain | None = None) -> list[tuple[pa.Array, pa.Array]]:
    """``parse`` of each column; those that are text in one go, for a kernel's call costs as much as 500 rows."""
    some = [i for i, column in enumerate(found) if pa.types.is_string(column.type)]
    if len(some) < 2 or native.library() or sum(found[i].nbytes for i in some) > MAX_JOINED_BYTES:
        return [parse(column, domain) for column in found]
    values, wrong = parse(pa.concat_arrays([found[i] for i in some]), domain)
    out = [parse(column, domain) if i not in some else (column, column) for i, column in enumerate(found)]
    start = 0
    for i in some:
        n = len(found[i])
        out[i] = values.slice(start, n), wrong.slice(start, n)
        start += n
    return out


def parse(column: pa.Array, domain: Domain | None = None) -> tuple[pa.Array, pa.Array]:
    """(float64 of n, null where the field is empty; booleans of n, true where text is there that is no number).

    A comma is a decimal comma, unless the domain says how its numbers are written. Infinity and NaN are no numbers.
    """
    kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    if not pa.types.is_string(kind) and not pa.types.is_large_string(kind):
        return _finite(column.cast(pa.float64(), safe=False))  # a whole number beyond 2^53 is rounded
    text = column if column.type == kind else column.cast(kind)
    if domain is not None and (domain.decimal or domain.affixes or domain.missing):
        return _as_written(text, domain)
    if len(text) <= FEW:
        return _of_few(text)
    return kernels.read(text, kernels.NUMBER, pa.float64(), _of_column) or _of_column(text)


def _of_column(text: pa.Array) -> tuple[pa.Array, pa.Array]:
    """What ``_of_any`` says, sooner where most of it is plain."""
    if len(text) <= FEW:
        return _of_few(text)
    kind = text.type
    # what keeps something when all that numbers are made of is cut off its ends is no plain number; nor is nothing
    plain = pc.and_not(columns.empty_texts(pc.ascii_trim(text, _IN_NUMBERS)), columns.empty_texts(text))
    odd = pc.invert(plain)
    if 2 * odd.true_count > len(text):
        return _of_any(text)
    odd = pc.fill_null(odd, False) if odd.null_count else odd
    values = _cast(pc.if_else(odd, pa.scalar(None, kind), text) if odd.true_count else text)
    if values is None:
        return _of_any(text)
    values, wrong = _finite(values)
    if odd.true_count:
        some = text.filter(odd)
        some, wrong_some = _of_few(some) if len(some) <= FEW else _of_any(some)
        values, wrong = pc.replace_with_mask(values, odd, some), pc.replace_with_mask(wrong, odd, wrong_some)
    return values, wrong


def _as_written(text: pa.Array, domain: Domain) -> tuple[pa.Array, pa.Array]:
    """Text of a domain with marks for missing values, a decimal mark, thousands or affixes of its own."""
    nothing = pa.scalar(None, text.type)
    text = marked(pc.utf8_trim(text, " \t\u00a0\u202f" + domain.affixes) if domain.affixes else text, domain)
    wrong = columns.zeros(len(text), pa.bool_())
    if domain.thousands:
        mark, end = re.escape(domain.thousands), re.escape(domain.decimal)
        grouped = pc.match_substring_regex(text, rf"\A\s*[+-]?\d{{1,3}}({mark}\d{{3}})+({end}\d*)?\s*\z")
        text = pc.if_else(grouped, pc.replace_substring(text, domain.thousands, ""), text)
    if domain.decimal:
        other = "," if domain.decimal == "." else "."
        wrong = pc.fill_null(pc.match_substring(text, other), False)
        text = pc.if_else(wrong, nothing, text)
    values, none = parse(text)
    return values, pc.or_(wrong, none)


_LETTER = re.compile("[A-DF-Za-df-z]")


def is_word(text: str, domain: Domain) -> bool:
    """Surely no number: a letter other than e stands in none, unless the domain says how its numbers are written."""
    return not (domain.decimal or domain.affixes or domain.missing) and _LETTER.search(text) is not None


def marked(text: pa.Array, domain: Domain) -> pa.Array:
    """Null for each of the domain's marks of a missing value."""
    if not domain.missing:
        return text
    marks = pa.array([mark.strip().lower() for mark in domain.missing], pa.string()).cast(text.type)
    found = pc.is_in(pc.utf8_lower(pc.utf8_trim_whitespace(text)), marks)
    return pc.if_else(found, pa.scalar(None, text.type), text) if found.true_count else text


def _of_any(text: pa.Array) -> tuple[pa.Array, pa.Array]:
    """However it is written: blanks around it, a decimal comma, no number at all."""
    nothing = pa.scalar(None, text.type)
    text = pc.utf8_trim_whitespace(text)
    text = pc.if_else(pc.equal(text, ""), nothing, text)
    text = pc.replace_substring(text, ",", ".")
    values = _cast(text)
    if values is not None:
        return _finite(values)
    wrong = pc.fill_null(pc.invert(pc.match_substring_regex(text, NUMBER)), False)
    values, infinite = _finite(pc.if_else(wrong, nothing, text).cast(pa.float64()))
    return values, pc.or_(wrong, infinite)


FEW = 64
"""So many texts are read one by one, sooner than a dozen kernels can be called."""
_NUMBER = re.compile(NUMBER.strip("^$"), re.ASCII)


def _of_few(text: pa.Array) -> tuple[pa.Array, pa.Array]:
    """What ``_of_any`` says."""
    texts = [one and one.replace(",", ".") for one in pc.utf8_trim_whitespace(text).to_pylist()]
    values = [float(one) if one and _NUMBER.fullmatch(one) else None for one in texts]
    values = [None if value is None or isinf(value) else value for value in values]
    wrong = [bool(one) and value is None for one, value in zip(texts, values, strict=True)]
    return pa.array(values, pa.float64()), pa.array(wrong, pa.bool_())


def _cast(text: pa.Array) -> pa.Array | None:
    try:
        return text.cast(pa.float64())
    except pa.ArrowInvalid:
        return None


def _finite(values: pa.Array) -> tuple[pa.Array, pa.Array]:
    finite = pc.is_finite(values)
    if finite.true_count == len(values) - values.null_count:
        return values, columns.zeros(len(values), pa.bool_())
    wrong = pc.fill_null(pc.invert(finite), False)
    return pc.if_else(wrong, _NONE, values), wrong


class Bounds(NamedTuple):
    """What ``Metric`` says, for each of n values: arrays of float64, or nothing."""

    low: pa.Array | None
    high: pa.Array | None
    scale: pa.Array | float
    offset: pa.Array | float


def judge(values: pa.Array, metric: Metric | Bounds, sentinels: tuple[float, ...]) -> tuple[pa.Array, pa.Array]:
    """(values with null for whatever is not valid, in the metric's unit of measurement; quality flags, uint8)."""
    quality = columns.zeros(len(values), pa.uint8())
    if values.null_count:
        quality = flagged(pc.is_null(values), Quality.MISSING)
    values, sentinel = without(values, sentinels)
    values, overflown = _scaled(values, metric)
    limits = [] if metric.low is None else [pc.less(values, _limit(metric.low))]
    limits += [] if metric.high is None else [pc.greater(values, _limit(metric.high))]
    outside = _any([*limits, *overflown])
    for where, flag in ((sentinel, Quality.SENTINEL), (outside, Quality.OUT_OF_RANGE)):
        if where is not None:
            quality = pc.bit_wise_or(quality, flagged(where, flag))
    if outside is not None:
        values = pc.if_else(outside, _NONE, values)
    return values, quality


def _limit(bound: pa.Array | float) -> pa.Array | pa.Scalar:
    return bound if isinstance(bound, pa.Array) else _float(bound)


@lru_cache(maxsize=1024)
def _float(value: float) -> pa.Scalar:
    return pa.scalar(float(value), pa.float64())


def without(values: pa.Array, sentinels: tuple[float, ...]) -> tuple[pa.Array, pa.Array | None]:
    """(the values with null for those that mean none; where these were, None for nowhere)."""
    where = _any([pc.equal(values, _float(mark)) for mark in sentinels])
    return (values if where is None else pc.if_else(where, _NONE, values)), where


def _scaled(values: pa.Array, metric: Metric | Bounds) -> tuple[pa.Array, list[pa.Array]]:
    """(in the metric's unit of measurement; where that is beyond any float)."""
    if isinstance(metric.scale, pa.Array) or metric.scale != 1:
        values = pc.add(pc.multiply(values, metric.scale), metric.offset)
        return values, [pc.invert(pc.is_finite(values))]
    if isinstance(metric.offset, pa.Array) or metric.offset:
        values = pc.add(values, metric.offset)
    return values, []


def _any(masks: list[pa.Array]) -> pa.Array | None:
    """Where one of them is true; None when that is nowhere."""
    some = [mask for mask in masks if mask.true_count]
    return pc.fill_null(reduce(pc.or_, some), False) if some else None


def flagged(where: pa.Array, flag: Quality) -> pa.Array:
    """n times the flag or 0, uint8."""
    return pc.if_else(where, pa.scalar(int(flag), pa.uint8()), pa.scalar(0, pa.uint8()))
