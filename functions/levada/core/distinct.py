"""Distinct counts: HyperLogLog sketches of Apache DataSketches, merged as partials are.

P. Flajolet et al., "HyperLogLog: the analysis of a near-optimal cardinality estimation algorithm" (2007). With 2^12
registers the relative standard error is 1.04 / 64 = 1.6 %; up to a few hundred values the sketch is a list of hashes
and its count as good as exact.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import pyarrow as pa

from levada.core.groups import Ints, heads_of, stable_order
from levada.core.vectors import ranks, to_arrow

LOG_REGISTERS = 12
RELATIVE_ERROR = 1.04 / 2 ** (LOG_REGISTERS / 2)
"""Standard error of a count of many; one in 20 counts is off by more than twice as much."""


def of_texts(texts: pa.ChunkedArray, group: Ints, n: int) -> pa.Array:
    """Sketches (binary) of n groups; null where a group holds no text.

    Args:
        texts: m texts; null for none.
        group: of each text, 0 to n - 1.
    """
    plain = texts.cast(pa.string()).combine_chunks()
    there = np.flatnonzero(np.asarray(plain.is_valid()))
    if not len(there):
        return pa.nulls(n, pa.binary())
    plain = plain.take(to_arrow(there, pa.int64())).dictionary_encode()
    rank = ranks(plain)
    size = int(rank.max()) + 1
    codes = group[there] * size + rank  # by group, then by text: a set of texts always gives the same sketch
    order = stable_order(codes, n * size)
    heads = order[heads_of(codes[order])]
    groups, names = group[there][heads], plain.take(pa.array(heads)).cast(pa.string()).to_pylist()
    starts = heads_of(groups)
    found: list[bytes | None] = [None] * n
    for start, end in zip(starts, [*starts[1:], len(groups)], strict=True):  # over distinct texts, not rows
        found[groups[start]] = _sketch(names[start:end])
    return pa.array(found, pa.binary())


def merged(sketches: pa.Array, group: Ints, n: int) -> pa.Array:
    """Sketches of n groups; group: of each of the given ones, 0 to n - 1. Their order never matters."""
    if sketches.null_count == len(sketches):
        return pa.nulls(n, pa.binary())
    parts: dict[int, list[bytes]] = {}
    for at, body in zip(group.tolist(), sketches.to_pylist(), strict=True):
        if body is not None:
            parts.setdefault(at, []).append(body)
    found: list[bytes | None] = [None] * n
    for at, bodies in parts.items():
        found[at] = bodies[0] if len(bodies) == 1 else _union(sorted(bodies))
    return pa.array(found, pa.binary())


def estimates(sketches: pa.ChunkedArray) -> list[int | None]:
    """The count of distinct texts in each sketch, rounded; None where there is none."""
    return [None] * len(sketches) if sketches.null_count == len(sketches) else estimates_of(sketches.to_pylist())


def estimates_of(bodies: Sequence[bytes | None]) -> list[int | None]:
    """As ``estimates``, of sketches that are bytes already."""
    from datasketches import hll_sketch  # here: only domains that count distinct values pay for the import

    return [None if body is None else round(hll_sketch.deserialize(body).get_estimate()) for body in bodies]


def _sketch(texts: Iterable[str]) -> bytes:
    from datasketches import HLL_4, hll_sketch

    sketch = hll_sketch(LOG_REGISTERS, HLL_4)
    for text in texts:
        sketch.update(text)
    return bytes(sketch.serialize_compact())


def _union(bodies: Iterable[bytes]) -> bytes:
    from datasketches import HLL_4, hll_sketch, hll_union

    union = hll_union(LOG_REGISTERS)
    for body in bodies:
        union.update(hll_sketch.deserialize(body))
    return bytes(union.get_result(HLL_4).serialize_compact())
