"""Protections, switched off one at a time: the simulation must notice each (a test that cannot fail proves nothing)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

import numpy as np

from levada.aggregate.layers import Layer, Leaving
from levada.aggregate.state import AggregateState
from levada.aggregate.watching import Watched
from levada.clean import normalise
from levada.core import editions, lineage, segment_reads
from levada.core.positions import START, PackFences, Position, RowFences
from levadactl.memory import MemoryBlobStore
from levadactl.reprocessing import applying, cut

Patches = list[Any]


def _no_pack_fence() -> Patches:
    return [patch.object(PackFences, "apply", lambda self, source, n, now_s: True)]


def _no_row_identity() -> Patches:
    return [patch.object(RowFences, "seen", lambda self, lane, after, until: [])]


def _no_gaps() -> Patches:
    """The fence of a lane is a high-water mark."""
    add = RowFences.add

    def to_the_mark(self: RowFences, lane: str, after: Position, until: Position, now_s: int) -> None:
        add(self, lane, START, until, now_s)

    return [patch.object(RowFences, "add", to_the_mark)]


def _no_conditional_put() -> Patches:
    def put_if(self: MemoryBlobStore, key: str, body: bytes, *, etag: str | None) -> str:
        self.put(key, body)
        return self.get(key)[1]

    return [patch.object(MemoryBlobStore, "put_if", put_if)]


def _no_outbox() -> Patches:
    """Closed windows are emitted after the commit, but nothing of them stays in the committed state."""
    to_checkpoint = AggregateState.to_checkpoint

    def forgetting(self: AggregateState) -> Any:
        kept, self.leaving = self.leaving, Leaving()
        saved = to_checkpoint(self)
        self.leaving = kept
        return saved

    return [patch.object(AggregateState, "to_checkpoint", forgetting)]


def _no_inheritance() -> Patches:
    return [patch.object(lineage, "taken_over", lambda *_: iter(()))]


def _no_findings_in_the_outbox() -> Patches:
    """Anomalies are emitted after the commit, but the committed state does not hold them."""
    tables = Watched.tables

    def forgetting(self: Watched) -> Any:
        kept = tables(self)
        return kept | {name: kept[name].slice(0, 0) for name in ("found", "raised")}

    return [patch.object(Watched, "tables", forgetting)]


def _no_closed_in_layers() -> Patches:
    """What has closed of a layer of open windows counts as open still."""
    return [patch.object(Layer, "_is_open", lambda self, parts, code, streams: np.ones(len(parts), bool))]


def _no_order() -> Patches:
    """Rows leave clean in the order in which they were read, not in that of the stream."""
    return [patch.object(normalise, "_in_order", lambda rows: rows)]


def _no_edition() -> Patches:
    """Readers take all that is listed, as if no day had been made anew."""
    listed = [patch.object(editions, "of_listed", lambda *_: editions.NONE)]
    return [*listed, patch.object(editions, "shows_gold", lambda edition, key: True)]


def _no_replacing_segments() -> Patches:
    """Readers of the serving table take all segments of a series."""
    return [patch.object(segment_reads._Replacing, "replaces", lambda self, items: np.zeros(len(items), bool))]


def _no_open() -> Patches:
    """A day is made anew though some of its windows are open still."""
    return [patch.object(cut, "_open", lambda *_: {})]


def _no_waiting_for_aggregate() -> Patches:
    """What clean has handed on counts as applied."""
    return [patch.object(RowFences, "behind", lambda *_: 0)]


def _no_finishing() -> Patches:
    """A run that died between the edition's record and the serving table is not taken up."""
    return [patch.object(applying, "unfinished", lambda ports: [])]


ALL: dict[str, Callable[[], Patches]] = {
    "fence": _no_pack_fence,
    "row_identity": _no_row_identity,
    "gaps": _no_gaps,
    "conditional_put": _no_conditional_put,
    "outbox": _no_outbox,
    "inheritance": _no_inheritance,
    "order": _no_order,
    "closed_in_layers": _no_closed_in_layers,
    "findings_outbox": _no_findings_in_the_outbox,
    "edition": _no_edition,
    "replacing_segments": _no_replacing_segments,
    "open_days": _no_open,
    "waiting": _no_waiting_for_aggregate,
    "finishing": _no_finishing,
}

NOTICED_BY = {
    "outbox": 3,
    "inheritance": 2,
    "conditional_put": 13,
    "order": 21,
    "gaps": 45,
    "findings_outbox": 49,
    "edition": 0,
    "replacing_segments": 0,
    "finishing": 16,
    "open_days": 32,
    "waiting": 32,
}
"""A seed whose schedule noticed it when this was written: where looking begins. Rules and code change what a seed does,
so it may be one that no longer does; ``python -m tests.simulation.run --mutate NAME`` names another."""


def seeds(name: str, n: int) -> list[int]:
    """0 … n - 1, the seed that is likely to notice the mutation first."""
    return sorted(range(n), key=lambda seed: (seed != NOTICED_BY.get(name), seed))


@contextmanager
def applied(name: str | None) -> Iterator[None]:
    with ExitStack() as stack:
        for change in ALL[name]() if name else []:
            stack.enter_context(change)
        yield
