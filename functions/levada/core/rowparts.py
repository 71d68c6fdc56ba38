"""Canonical rows to window partials."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from levada.core import distinct, groups, rowstats
from levada.core.groups import Ints
from levada.core.parts import WHOLE, Parts
from levada.core.records import SERIES
from levada.core.rowstats import statistics
from levada.core.statistics import Asked, Rows
from levada.core.vectors import Coded, coded, ranks_of, taken, to_numpy

COUNT = WHOLE.index("count")


def of_rows(
    table: pa.Table,
    *,
    width_s: int,
    opened: str | pa.DictionaryArray,
    watermark_us: int | None,
    quantile_error: float,
) -> Parts:
    """As ``partials.from_rows``, of at least one row."""
    times, width_us = to_numpy(table["time"]), width_s * 1_000_000
    texts = groups.text_columns([table], (*SERIES, "sequence"))
    group, n = rowstats.windows(times, width_us, *groups.codes_of_series(texts, len(times)))
    values = to_numpy(table["value"])
    openers = coded([opened]) if not isinstance(opened, str) else Coded.constant(len(times), pa.array([opened]))
    sequence = texts["sequence"]
    codes = None if openers.same else openers.codes
    rows = Rows(group, values, times, ranks_of(sequence), to_numpy(table["row"]), codes)
    found = statistics(rows, n, Asked(width_us, float(quantile_error), watermark_us))
    named = taken({name: texts[name] for name in SERIES}, found.one, n)
    named["opened"] = (
        openers.take(found.one)
        if found.opened is None
        else Coded(found.opened.astype(np.int32), openers.dictionary, ascending=openers.ascending)
    )
    valued = bool(found.whole[COUNT].all())
    named["first_sequence"], named["last_sequence"] = (_at(sequence, at, valued) for at in (found.first, found.last))
    asked = "distinct" in table.schema.names
    sketches = distinct.of_texts(table["distinct"], group, n) if asked else pa.nulls(n, pa.binary())
    return Parts(found.whole, found.real, named, found.bins, sketches)


def _at(texts: Coded, at: Ints, everywhere: bool) -> Coded:
    """Those at these places; none where there is no place (-1), but for everywhere."""
    codes = texts.codes[at]
    if not everywhere:
        codes[at < 0] = -1
    return Coded(codes, texts.dictionary, ascending=texts.ascending)
