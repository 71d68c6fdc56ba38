"""Event times from text, column by column."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc

from levada.core.records import TIME
from levada.domains.declaration import Time


def parse(columns: Sequence[pa.Array], spec: Time) -> tuple[pa.Array, pa.Array]:
    """Event times of n rows.

    Args:
        columns: one string array of n per column that the spec names, in its order.

    Returns:
        (timestamps us UTC, null where there is none; booleans, true where text is there that is no time).
        All columns empty: no time and no fault, the row is undated.
    """
    texts = [pc.fill_null(pc.utf8_trim_whitespace(c), "") for c in columns]
    if len(texts) > 1:  # a date column and a time column, each with separators of its own taste
        texts = [*(_separators(t, "-") for t in texts[:-1]), _separators(texts[-1], ":")]
    joined = pc.binary_join_element_wise(*texts, " ")
    codes = joined.dictionary_encode()  # thousands of series share a time: parse each text once
    times = _parse_unique(codes.dictionary, spec.formats).take(codes.indices)
    blank = pc.equal(pc.utf8_trim_whitespace(joined), "")
    return times, pc.and_(pc.is_null(times), pc.invert(blank))


def _separators(text: pa.Array, mark: str) -> pa.Array:
    return pc.replace_substring(pc.replace_substring(text, "/", "-"), ".", mark)


def _parse_unique(texts: pa.Array, formats: Sequence[str]) -> pa.Array:
    padded = pc.replace_substring_regex(texts, r"\b(\d)\b", r"0\1")
    result = pa.nulls(len(texts), pa.timestamp("s"))
    for form in formats:
        if not result.null_count:
            break
        parsed = pc.strptime(texts, form, "s", error_is_null=True)
        # strptime rolls 31 February over to March, and reads year 04 as the year 4: only what prints the same is a time
        same = pc.equal(pc.strftime(parsed, form), padded)
        result = pc.coalesce(result, pc.if_else(same, parsed, pa.scalar(None, pa.timestamp("s"))))
    return result.cast(pa.timestamp("us")).cast(TIME)
