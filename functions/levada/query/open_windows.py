"""Windows that are still open, read beside the closed ones without counting a row twice.

A window moves: it is open in a shard's checkpoint, then closed in the checkpoint's outbox, then emitted to the serving
table. The checkpoints are read first, and of what each shard has emitted only the emissions before that reading count;
so everything that a shard has applied by then is seen exactly once, whatever moves meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from heapq import merge
from itertools import islice
from typing import Any

import numpy as np
import pyarrow as pa

from levada.aggregate.late import LATE
from levada.aggregate.state import OF_PARTIALS, STAGE, open_of, outbox_of
from levada.core import columns, groups, lineage, segments
from levada.core.checkpoint import Checkpoint
from levada.core.records import SERIES
from levada.core.vectors import to_numpy
from levada.ports import BlobStore, Items

Key = tuple[str, ...]
"""Names of a series, as in SERIES."""


class BySeries:
    """Partials (PARTIAL) of many series, those of each to be had at once."""

    def __init__(self, partials: pa.Table) -> None:
        partials = partials.unify_dictionaries().combine_chunks()
        self.names: dict[str, Key] = {}
        """Partition key of its segments, either of the two → names of the series."""
        self._at: dict[str, tuple[int, int]] = {}
        self._rows = partials
        if not partials.num_rows:
            return
        code, _ = groups.series_codes(partials)
        order = np.lexsort((to_numpy(partials["window_start"]), code))
        heads = groups.heads_of(code[order])
        self._rows = partials.take(pa.array(order))
        names = [self._rows[name].take(pa.array(heads)).to_pylist() for name in SERIES]
        ends = [*heads[1:].tolist(), len(order)]
        for key, start, end in zip(zip(*names, strict=True), heads.tolist(), ends, strict=True):
            series = dict(zip(SERIES, key, strict=True))
            for pk in (segments.window_pk(series), segments.hour_pk(series)):
                self.names[pk], self._at[pk] = key, (start, end)

    def of(self, pk: str) -> pa.Table:
        """Those of one series, by start; none when it has none."""
        start, end = self._at.get(pk, (0, 0))
        return self._rows.slice(start, end - start)


@dataclass(frozen=True, slots=True)
class Shard:
    """One shard as its checkpoint has it."""

    token: str
    etag: str
    generation: int
    """Of the emission in the outbox."""
    emitted: int
    """The last emission that is in the serving table for certain; later ones are not looked at there."""
    outbox: BySeries
    """Closed windows that may not be in the serving table yet."""
    open: BySeries
    """Windows to which rows may still come."""
    late: pa.Table
    """Series that were late (LATE)."""

    @classmethod
    def parse(cls, token: str, body: bytes, etag: str) -> Shard:
        saved = Checkpoint.from_bytes(body, only=("late", *OF_PARTIALS))
        generation, outbox = int(saved.header["generation"]), outbox_of(saved)
        # a batch begins with emitting what the one before it left in the outbox
        emitted = generation - 1 if outbox.num_rows else generation
        still_open = BySeries(open_of(saved))
        behind = saved.tables.get("late", columns.empty(LATE))
        return cls(token, etag, generation, emitted, BySeries(outbox), still_open, behind)


def shards(blobs: BlobStore, memo: dict[str, Any]) -> list[Shard]:
    """All shards that have a checkpoint; one that has not changed since this process read it is not read again."""
    known: dict[str, Shard] = memo.get("open_windows", {})
    found: dict[str, Shard] = {}
    for token, blob in lineage.checkpoints(blobs, STAGE):
        shard = known.get(str(token))
        if shard is None or shard.etag != blob.etag:
            try:
                shard = Shard.parse(str(token), *blobs.get(blob.key))
            except KeyError:  # removed since it was listed
                continue
        found[str(token)] = shard
    memo["open_windows"] = found
    return list(found.values())


class WithOpen:
    """Items of the serving table as of one reading of the checkpoints: what was emitted by then, and what was not."""

    def __init__(self, serving: Items, read: Sequence[Shard]) -> None:
        self._serving = serving
        self._read = read
        self._emitted = {shard.token: shard.emitted for shard in read}
        self._made: dict[Key, list[dict[str, Any]]] = {}
        """Series → what the checkpoints have of it as items: each of its queries takes some of them."""

    def query(
        self,
        pk: str,
        *,
        first: str = "",
        last: str = "\uffff",
        newest_first: bool = False,
        ending_after: int | None = None,
        limit: int | None = None,
    ) -> Iterator[dict[str, Any]]:
        """Windows of a series, or the list of series; as of the port."""
        ask = partial(
            self._serving.query, pk, first=first, last=last, newest_first=newest_first, ending_after=ending_after
        )
        if pk.startswith("series#"):
            own, stored = self._series(pk), ask()
        else:
            own = [item for item in self._own(pk) if ending_after is None or item["end"] > ending_after]
            stored = self._counting(ask, limit)
        own.sort(key=_sk, reverse=newest_first)
        found = merge(stored, (item for item in own if first <= item["sk"] <= last), key=_sk, reverse=newest_first)
        yield from islice(_once(found) if pk.startswith("series#") else found, limit)

    def _counting(self, ask: Callable[..., Iterator[dict[str, Any]]], limit: int | None) -> Iterator[dict[str, Any]]:
        """What counts of the stored items, the first ``limit`` of it at least; no more is asked for than it takes."""
        if limit is None:
            return filter(self._counts, ask())
        most = limit + 1  # what a shard has emitted last stands in its outbox, too, and counts there
        while True:
            found = list(ask(limit=most))
            some = list(filter(self._counts, found))
            if len(some) >= limit or len(found) < most:
                return iter(some)
            most *= 2

    def _counts(self, item: dict[str, Any]) -> bool:
        """Whether it was emitted before the reading; a shard that began after it has nothing but its emissions."""
        emitted = self._emitted.get(item["shard"])
        return emitted is None or int(item["generation"]) <= emitted

    def _own(self, pk: str) -> list[dict[str, Any]]:
        """What the checkpoints have of a series and stands under this key."""
        parts = [part for shard in self._read for part in (shard.outbox, shard.open)]
        key = next((part.names[pk] for part in parts if pk in part.names), None)
        if key is None:
            return []
        if key not in self._made:
            made = self._made[key] = []
            for shard in self._read:
                made += segments.items(shard.outbox.of(pk), shard.token, shard.generation)
                made += segments.items(shard.open.of(pk), shard.token, shard.generation + 1)
        return [item for item in self._made[key] if item["pk"] == pk]

    def _series(self, pk: str) -> list[dict[str, Any]]:
        keys = {key for shard in self._read for part in (shard.outbox, shard.open) for key in part.names.values()}
        streams = {key[:2] for key in keys if segments.series_pk(key[1], key[0]) == pk}
        mine = [dict(zip(SERIES, key, strict=True)) for key in keys if key[:2] in streams]
        return [{"pk": pk, "sk": segments.series_sk(one), **one} for one in mine]


def provisional(windows: pa.Table, read: Sequence[Shard]) -> list[bool]:
    """Whether rows may still come to a window in the usual way: it is open, or one that it is made of is.

    Args:
        windows: n rows with SERIES, ``window_start`` and ``width_s``.
    """
    starts = to_numpy(windows["window_start"]).tolist()
    widths = to_numpy(windows["width_s"]).tolist()
    keys = zip(*(windows[name].to_pylist() for name in SERIES), strict=True)
    known: dict[Key, list[int]] = {}
    out = []
    for key, start, width in zip(keys, starts, widths, strict=True):
        if key not in known:
            pk = segments.window_pk(dict(zip(SERIES, key, strict=True)))
            tables = [shard.open.of(pk) for shard in read]
            known[key] = [us for table in tables for us in to_numpy(table["window_start"]).tolist()]
        out.append(any(start <= us < start + width * 1_000_000 for us in known[key]))
    return out


def _sk(item: dict[str, Any]) -> str:
    return str(item["sk"])


def _once(items: Iterator[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    before = None
    for item in items:
        if item["sk"] != before:
            yield item
        before = item["sk"]
