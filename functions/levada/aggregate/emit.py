"""Emission: closed windows from the committed outbox to the serving table and gold. Repeating it changes nothing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc

from levada.core import keys, parquet, segments
from levada.core.positions import ShardToken
from levada.ports import BlobStore, ServingStore


@dataclass(slots=True)
class Emitted:
    """What this process knows to have been emitted, so that a warm function need not ask or repeat.

    It is only a saving: a process that knows nothing emits once more.
    """

    generations: dict[ShardToken, int] = field(default_factory=dict)
    series: set[tuple[str, str]] = field(default_factory=set)

    def knows(self, token: ShardToken, generation: int) -> bool:
        return self.generations.get(token, -1) >= generation


def emit(
    outbox: pa.Table, token: ShardToken, generation: int, *, blobs: BlobStore, serving: ServingStore, done: Emitted
) -> None:
    """Write the outbox of one committed generation: the serving table first, gold last."""
    if not outbox.num_rows or done.knows(token, generation):
        return
    listed = [item for item in segments.series_items(outbox) if (item["pk"], item["sk"]) not in done.series]
    serving.put([*segments.items(outbox, str(token), generation), *listed])
    blobs.put_all(_gold(outbox, token, generation))
    done.series.update((item["pk"], item["sk"]) for item in listed)
    done.generations[token] = generation


def _gold(outbox: pa.Table, token: ShardToken, generation: int) -> Iterator[tuple[str, bytes]]:
    n = outbox.num_rows
    named = outbox.append_column("shard", pa.repeat(pa.scalar(str(token)), n))
    named = named.append_column("generation", pa.repeat(pa.scalar(generation, pa.int64()), n))
    days = pc.strftime(named["window_start"], "%Y-%m-%d")
    places = pc.binary_join_element_wise(named["domain"].cast(pa.string()), days, "/")
    for place in pc.unique(places).to_pylist():
        domain, _, date = place.rpartition("/")
        rows = named.filter(pc.equal(places, place))
        yield keys.gold(domain, date, token, generation), parquet.to_bytes(rows)
