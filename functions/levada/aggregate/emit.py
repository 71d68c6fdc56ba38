"""Emission: closed windows from the committed outbox to the serving table and gold. Repeating it changes nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc

from levada.aggregate import latest as entities
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
    outbox: pa.Table,
    token: ShardToken,
    generation: int,
    *,
    latest: pa.Table | None = None,
    blobs: BlobStore,
    serving: ServingStore,
    done: Emitted,
    fresh: bool,
) -> None:
    """Write the outbox of one committed generation: the serving table first, then gold, its last day at the very end.

    Args:
        outbox: closed windows (PARTIAL).
        latest: newest states of entities (LATEST).
        fresh: this process has just committed it, so that nobody can have emitted it. Otherwise the object that is
            written last tells whether somebody has.
    """
    if done.knows(token, generation):
        return
    if latest is not None and latest.num_rows:
        serving.put_newer(list(entities.items(latest)))
    if outbox.num_rows:
        _emit_windows(outbox, token, generation, blobs, serving, done, fresh=fresh)
    done.generations[token] = generation


def _emit_windows(
    outbox: pa.Table,
    token: ShardToken,
    generation: int,
    blobs: BlobStore,
    serving: ServingStore,
    done: Emitted,
    *,
    fresh: bool,
) -> None:
    places = sorted(pc.unique(_places(outbox)).to_pylist())
    last = _key(places[-1], token, generation)
    if not fresh and next(iter(blobs.list(last)), None) is not None:
        return
    listed = [item for item in segments.series_items(outbox) if (item["pk"], item["sk"]) not in done.series]
    serving.put([*segments.items(outbox, str(token), generation), *listed])
    blobs.put_all(_gold(outbox, token, generation, places[:-1]))
    blobs.put_all(_gold(outbox, token, generation, places[-1:]))
    done.series.update((item["pk"], item["sk"]) for item in listed)


def _places(outbox: pa.Table) -> pa.ChunkedArray:
    days = pc.strftime(outbox["window_start"], "%Y-%m-%d")
    return pc.binary_join_element_wise(outbox["domain"].cast(pa.string()), days, "/")


def _key(place: str, token: ShardToken, generation: int) -> str:
    domain, _, date = place.rpartition("/")
    return keys.gold(domain, date, token, generation)


def _gold(outbox: pa.Table, token: ShardToken, generation: int, places: Sequence[str]) -> Iterator[tuple[str, bytes]]:
    """One (key, Parquet) per domain and day."""
    n = outbox.num_rows
    named = outbox.append_column("shard", pa.repeat(pa.scalar(str(token)), n))
    named = named.append_column("generation", pa.repeat(pa.scalar(generation, pa.int64()), n))
    found = _places(outbox)
    for place in places:
        yield _key(place, token, generation), parquet.to_bytes(named.filter(pc.equal(found, place)))
