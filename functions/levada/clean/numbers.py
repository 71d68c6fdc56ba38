"""Numbers from text, and what makes a value a missing one: column kernels only."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from levada.core.records import Quality
from levada.domains.declaration import Metric

NUMBER = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$"
_NONE = pa.nulls(1, pa.float64())[0]  # pa.scalar would import pandas where it is installed


def parse(column: pa.Array) -> tuple[pa.Array, pa.Array]:
    """(float64 of n, null where the field is empty; booleans of n, true where text is there that is no number).

    A comma is a decimal comma. Infinity and NaN are no numbers.
    """
    if not pa.types.is_string(column.type) and not pa.types.is_large_string(column.type):
        values = column.cast(pa.float64())
        wrong = pc.fill_null(pc.invert(pc.is_finite(values)), False)
        return pc.if_else(wrong, _NONE, values), wrong
    text = pc.utf8_trim_whitespace(column)
    text = pc.if_else(pc.equal(text, ""), pa.scalar(None, text.type), text)
    text = pc.replace_substring(text, ",", ".")
    try:
        values = text.cast(pa.float64())
        wrong = pc.fill_null(pc.invert(pc.is_finite(values)), False)
    except pa.ArrowInvalid:  # somewhere is one that is no number: find which
        wrong = pc.fill_null(pc.invert(pc.match_substring_regex(text, NUMBER)), False)
        values = pc.if_else(wrong, pa.scalar(None, text.type), text).cast(pa.float64())
        wrong = pc.or_(wrong, pc.fill_null(pc.invert(pc.is_finite(values)), False))
    return pc.if_else(wrong, _NONE, values), wrong


def judge(values: pa.Array, metric: Metric, sentinels: tuple[float, ...]) -> tuple[pa.Array, pa.Array]:
    """(values with null for whatever is not valid; quality flags, uint8)."""
    missing = pc.is_null(values)
    sentinel = pc.fill_null(pc.is_in(values, pa.array(sentinels, pa.float64())), False)
    outside = pa.scalar(False)
    if metric.low is not None:
        outside = pc.or_(outside, pc.less(values, metric.low))
    if metric.high is not None:
        outside = pc.or_(outside, pc.greater(values, metric.high))
    if isinstance(outside, pa.Scalar):
        outside = pa.repeat(outside, len(values))
    outside = pc.and_(pc.fill_null(outside, False), pc.invert(sentinel))
    quality = _flag(missing, Quality.MISSING)
    quality = pc.bit_wise_or(quality, _flag(sentinel, Quality.SENTINEL))
    quality = pc.bit_wise_or(quality, _flag(outside, Quality.OUT_OF_RANGE))
    return pc.if_else(pc.or_(sentinel, outside), _NONE, values), quality


def _flag(where: pa.Array, flag: Quality) -> pa.Array:
    return pc.if_else(where, pa.scalar(int(flag), pa.uint8()), pa.scalar(0, pa.uint8()))
