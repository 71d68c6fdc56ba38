"""Window partials: what is known of one window of one series, so that any two merge into one.

A window's value is the merge of its partials; merging is associative and commutative. Mean and M2 (the sum of
squared deviations from the mean) merge by the pairwise formula of T. F. Chan, G. H. Golub, R. J. LeVeque, "Updating
Formulae and a Pairwise Algorithm for Computing Sample Variances" (1979): they keep their digits where sums of squares
lose them. Quantiles and distinct counts are sketches that merge exactly (``core/bins.py``, ``core/distinct.py``).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from levada.core import bins, columns, merging, rowparts
from levada.core.groups import Floats
from levada.core.parts import PARTIAL as PARTIAL
from levada.core.parts import Parts
from levada.core.parts import conform as conform
from levada.core.vectors import to_numpy


def from_rows(
    rows: pa.Table,
    *,
    width_s: int,
    opened: str | pa.DictionaryArray,
    watermark_us: int | None,
    quantile_error: float = 0.01,
) -> pa.Table:
    """Partials of n canonical rows that have a time, sorted by window and series: windows close in that order.

    Args:
        rows: MEASUREMENT (time, series, value, sequence and row of it are looked at); a further column ``distinct``
            (text) is counted by its distinct values.
        width_s: base window, seconds.
        opened: padded sequence number of the clean stream record that the rows came in, one or n of them; of several
            in one window that counts which stands first in the dictionary.
        watermark_us: rows of windows that end at or before it are counted as late; None for no watermark.
        quantile_error: relative error of quantiles; 0 for none.
    """
    if not rows.num_rows:
        return columns.empty(PARTIAL)
    found = rowparts.of_rows(
        rows, width_s=width_s, opened=opened, watermark_us=watermark_us, quantile_error=quantile_error
    )
    return found.table()


def merge(partials: pa.Table | Sequence[pa.Table]) -> pa.Table:
    """One partial per (series, window), sorted by series and window: the merge of all that are given.

    Columns beyond PARTIAL (shard, generation) are dropped. The order of the input never matters, not even for the last
    bit of a sum: what stands in one group is put in an order of its own first.
    """
    tables = [partials] if isinstance(partials, pa.Table) else list(partials)
    tables = [conform(table) for table in tables if table.num_rows] or [columns.empty(PARTIAL)]
    if sum(table.num_rows for table in tables) < 2:
        return tables[0]
    return merging.merged([Parts.of(table) for table in tables]).table()


def quantiles(partials: pa.Table, wanted: Sequence[float]) -> list[Floats]:
    """For each wanted q in [0, 1] the q-quantile of each of n partials; NaN where not known. See ``core/bins.py``."""
    low, high = to_numpy(partials["min"]), to_numpy(partials["max"])
    found = bins.quantiles(partials["bin_keys"], partials["bin_counts"], to_numpy(partials["bin_error"]), wanted)
    return [np.clip(values, low, high) for values in found]


def stddev(partials: pa.Table) -> Floats:
    """Sample standard deviation of each of n partials; NaN where there are fewer than two values."""
    count, m2 = to_numpy(partials["count"]), to_numpy(partials["m2"])
    return np.where(count > 1, np.sqrt(m2 / np.maximum(count - 1, 1)), np.nan)
