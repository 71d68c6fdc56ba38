"""Open windows as layers: each batch lays its partials over those of the batches before and leaves their bytes alone.

A window may have a partial in several layers; they are merged when it closes, when somebody reads it, and when there
are too many layers. (P. O'Neil et al., "The Log-Structured Merge-Tree", 1996, keeps an index that way.) A layer is
never changed: what has closed of it is known by the ends of the windows that are still open.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from levada.aggregate.held import Held
from levada.core import columns, reductions
from levada.core.groups import Flags, Ints
from levada.core.merging import merged
from levada.core.parts import PARTIAL, Parts, concat

MOST = 8
"""With more layers the newest are merged."""
SPARSE = 4
"""A layer is written anew when no more than one in so many of its partials is open."""

NEVER, FOREVER = np.iinfo(np.int64).min, np.iinfo(np.int64).max
NO_PARTIALS = columns.empty(PARTIAL)

Stream = tuple[str, str]
"""(domain, tenant): what has a watermark of its own, so that one tenant's clock cannot close another's windows."""


@dataclass(frozen=True, slots=True)
class Layer:
    """Partials, of which those count whose windows are open."""

    held: Held
    rows: int
    """Partials of open windows."""
    open: dict[Stream, tuple[int, int]]
    """Ends of the first and the last window that are open, microseconds; those that end before the first are closed."""

    @classmethod
    def of(cls, parts: Parts) -> Layer:
        return cls(Held(parts=parts), len(parts), _ends(parts.ends_us(), *_streams(parts)))

    def parts(self) -> Parts:
        """Partials of open windows."""
        parts = self.held.parts
        if len(parts) == self.rows:
            return parts
        return parts.take(np.flatnonzero(self._is_open(parts.ends_us(), *_streams(parts))))

    def close(self, ends_us: Mapping[Stream, int]) -> tuple[Parts | None, Layer | None]:
        """(what closes, what is left).

        Args:
            ends_us: of each stream the end of the last window that closes.
        """
        if all(ends_us.get(stream, first - 1) < first for stream, (first, _) in self.open.items()):
            return None, self
        if all(ends_us.get(stream, first - 1) >= last for stream, (first, last) in self.open.items()):
            return self.parts(), None
        parts = self.held.parts
        code, streams = _streams(parts)
        ends = parts.ends_us()
        closes = ends <= _each(streams, code, {stream: ends_us.get(stream, NEVER) for stream in streams})
        stays = ~closes
        if len(parts) > self.rows:
            is_open = self._is_open(ends, code, streams)
            closes &= is_open
            stays &= is_open
        gone, at = np.flatnonzero(closes), np.flatnonzero(stays)
        if SPARSE * len(at) <= len(parts):
            return parts.take(gone), Layer.of(parts.take(at))
        return parts.take(gone), Layer(self.held, len(at), _ends(ends[at], code[at], streams))

    def _is_open(self, ends: Ints, code: Ints, streams: Sequence[Stream]) -> Flags:
        firsts = {stream: self.open.get(stream, (FOREVER, 0))[0] for stream in streams}
        found: Flags = ends >= _each(streams, code, firsts)
        return found


def _each(streams: Sequence[Stream], code: Ints, times: Mapping[Stream, int]) -> Ints | int:
    """What each partial's stream has; one number where there is one stream only."""
    found = [times[stream] for stream in streams]
    return found[0] if len(found) == 1 else np.array(found)[code]


@dataclass(slots=True)
class Leaving:
    """Windows that have closed: what the layers held before, and how far each stream was closed then. So nothing is
    written of them but what was written already, and whoever asks later merges the same partials again."""

    rows: int = 0
    """Windows, merged."""
    layers: Sequence[Layer] = ()
    """Those that hold some of them, as they were before."""
    ends_us: Mapping[Stream, int] = field(default_factory=dict)
    _parts: Parts | None = None
    _table: pa.Table | None = None

    @classmethod
    def of(cls, parts: Parts | None) -> Leaving:
        """All of these, one a window."""
        if parts is None or not len(parts):
            return cls()
        layer = Layer.of(parts)
        return cls(len(parts), [layer], last_ends([layer]), parts)

    @property
    def parts(self) -> Parts | None:
        """None when there are none."""
        if self._parts is None and self.rows:
            self._parts = merged([gone for layer in self.layers if (gone := layer.close(self.ends_us)[0])])
        return self._parts

    @property
    def table(self) -> pa.Table:
        """PARTIAL"""
        if self._table is None:
            self._table = NO_PARTIALS if self.parts is None else self.parts.table()
        return self._table


def stored(layers: Sequence[Layer], leaving: Leaving) -> dict[str, Any]:
    """JSON about the layers and about what has closed, and the bytes of both."""
    held = {id(layer.held): layer.held for layer in (*layers, *leaving.layers)}
    places = {name: place for place, name in enumerate(held)}
    bodies = [one.to_bytes() for one in held.values()]

    def about(some: Sequence[Layer]) -> list[Any]:
        return [[places[id(one.held)], one.rows, _pairs(one.open)] for one in some]

    ends = [[*stream, us] for stream, us in sorted(leaving.ends_us.items())] if leaving.rows else []
    return {
        "layers": about(layers),
        "outbox": leaving.rows,
        "outbox_layers": about(leaving.layers),
        "outbox_ends": ends,
        "bodies": [len(body) for body in bodies],
        "layer_bytes": b"".join(bodies),
    }


def read(known: Mapping[str, Any]) -> tuple[list[Layer], Leaving]:
    """The inverse of ``stored``; nothing is decoded."""
    held, at, view = [], 0, memoryview(known["layer_bytes"])
    for size in known["bodies"]:
        held.append(Held(body=view[at : at + size]))
        at += size

    def layers(some: Sequence[Any]) -> list[Layer]:
        return [Layer(held[place], rows, _unpaired(ends)) for place, rows, ends in some]

    ends_us = {(domain, tenant): us for domain, tenant, us in known["outbox_ends"]}
    return layers(known["layers"]), Leaving(known["outbox"], layers(known["outbox_layers"]), ends_us)


def _pairs(ends: Mapping[Stream, tuple[int, int]]) -> list[list[Any]]:
    return [[*stream, *pair] for stream, pair in sorted(ends.items())]


def _unpaired(raw: Sequence[Any]) -> dict[Stream, tuple[int, int]]:
    return {(domain, tenant): (first, last) for domain, tenant, first, last in raw}


def laid(layers: Sequence[Layer], parts: Sequence[Parts]) -> list[Layer]:
    """With these on top; when there are too many the newest become one, and older ones with them that are no more than
    twice as large. So a large layer is written again only when much has come on top of it."""
    found = [*layers, Layer.of(concat(parts))] if parts else list(layers)
    if len(found) <= MOST:
        return found
    at, rows = len(found) - 1, found[-1].rows
    while at and found[at - 1].rows <= 2 * rows:
        at -= 1
        rows += found[at].rows
    if at == len(found) - 1:
        return found
    return [*found[:at], Layer.of(merged([layer.parts() for layer in found[at:]]))]


def closed(layers: Sequence[Layer], ends_us: Mapping[Stream, int]) -> tuple[Leaving, list[Layer]]:
    """(windows that close, layers of those that stay open)."""
    found = [(layer, *layer.close(ends_us)) for layer in layers]
    touched = [(layer, parts) for layer, parts, _ in found if parts is not None and len(parts)]
    left = [layer for _, _, layer in found if layer is not None]
    if not touched:
        return Leaving(), left
    parts = merged([parts for _, parts in touched])
    return Leaving(len(parts), [layer for layer, _ in touched], ends_us, parts), left


def open_parts(layers: Sequence[Layer]) -> Parts | None:
    """All open windows, merged; None when there are none."""
    return merged([layer.parts() for layer in layers]) if layers else None


def last_ends(layers: Sequence[Layer]) -> dict[Stream, int]:
    """Of each stream the end of its last open window, microseconds."""
    found: dict[Stream, int] = {}
    for layer in layers:
        for stream, (_, last) in layer.open.items():
            found[stream] = max(last, found.get(stream, last))
    return found


def _streams(parts: Parts) -> tuple[NDArray[Any], list[Stream]]:
    """(stream of each partial as a place in the list, streams)"""
    domain, tenant = parts.texts["domain"], parts.texts["tenant"]
    if domain.same and tenant.same:
        return domain.codes, [(domain.dictionary[0].as_py(), tenant.dictionary[0].as_py())]
    domains, tenants = domain.dictionary.to_pylist(), tenant.dictionary.to_pylist()
    code = domain.codes.astype(np.int64) * len(tenants) + tenant.codes
    return code, [(one, other) for one in domains for other in tenants]


def _ends(ends: Ints, code: Ints, streams: Sequence[Stream]) -> dict[Stream, tuple[int, int]]:
    if len(streams) == 1:
        return {streams[0]: (int(ends.min()), int(ends.max()))}
    first, last = (choose(ends, code, len(streams)).tolist() for choose in (reductions.lowest, reductions.highest))
    there = np.bincount(code, minlength=len(streams)).tolist()
    return {stream: (first[i], last[i]) for i, stream in enumerate(streams) if there[i]}
