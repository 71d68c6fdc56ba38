"""Open windows as layers: each batch lays its partials over those of the batches before and leaves their bytes alone.

A window may have a partial in several layers; they are merged when it closes, when somebody reads it, and when there
are too many layers. (P. O'Neil et al., "The Log-Structured Merge-Tree", 1996, keeps an index that way.) A layer is
never changed: what has closed of it is known by the ends of the windows that are still open.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from levada.aggregate.held import Held
from levada.core import reductions
from levada.core.groups import Flags, Ints
from levada.core.merging import merged
from levada.core.parts import Parts, concat

MOST = 8
"""With more layers the newest are merged."""
SPARSE = 4
"""A layer is written anew when no more than one in so many of its partials is open."""

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
        return cls(Held.of(parts), len(parts), _ends(parts.ends_us(), *_streams(parts)))

    def parts(self) -> Parts:
        """Partials of open windows."""
        parts = self.held.parts
        if len(parts) == self.rows:
            return parts
        return parts.take(np.flatnonzero(self._is_open(parts, *_streams(parts))))

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
        is_open = self._is_open(parts, code, streams)
        lowest = np.iinfo(np.int64).min
        closes = is_open & (ends <= np.array([ends_us.get(stream, lowest) for stream in streams])[code])
        gone, at = np.flatnonzero(closes), np.flatnonzero(is_open & ~closes)
        if SPARSE * len(at) <= len(parts):
            return parts.take(gone), Layer.of(parts.take(at))
        return parts.take(gone), Layer(self.held, len(at), _ends(ends[at], code[at], streams))

    def _is_open(self, parts: Parts, code: Ints, streams: Sequence[Stream]) -> Flags:
        highest = np.iinfo(np.int64).max
        found: Flags = parts.ends_us() >= np.array([self.open.get(stream, (highest, 0))[0] for stream in streams])[code]
        return found

    def to_json(self) -> list[Any]:
        return [len(self.held.to_bytes()), self.rows, [[*stream, *ends] for stream, ends in sorted(self.open.items())]]


def stored(layers: Sequence[Layer]) -> tuple[list[Any], bytes]:
    """(JSON about them, their bytes)"""
    return [layer.to_json() for layer in layers], b"".join(layer.held.to_bytes() for layer in layers)


def read(known: Sequence[Any], bodies: bytes) -> list[Layer]:
    """The inverse of ``stored``; no layer is decoded."""
    found, at, view = [], 0, memoryview(bodies)
    for size, rows, ends in known:
        still = {(domain, tenant): (first, last) for domain, tenant, first, last in ends}
        found.append(Layer(Held(rows, body=view[at : at + size]), rows, still))
        at += size
    return found


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


def closed(layers: Sequence[Layer], ends_us: Mapping[Stream, int]) -> tuple[Parts | None, list[Layer]]:
    """(windows that close, merged; layers of those that stay open)."""
    found = [layer.close(ends_us) for layer in layers]
    gone = [parts for parts, _ in found if parts is not None and len(parts)]
    return (merged(gone) if gone else None), [layer for _, layer in found if layer is not None]


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


def _streams(parts: Parts) -> tuple[Ints, list[Stream]]:
    """(stream of each partial as a place in the list, streams)"""
    domain, tenant = parts.texts["domain"], parts.texts["tenant"]
    domains, tenants = domain.dictionary.to_pylist(), tenant.dictionary.to_pylist()
    code = domain.codes.astype(np.int64) * len(tenants) + tenant.codes
    return code, [(one, other) for one in domains for other in tenants]


def _ends(ends: Ints, code: Ints, streams: Sequence[Stream]) -> dict[Stream, tuple[int, int]]:
    if len(streams) == 1:
        return {streams[0]: (int(ends.min()), int(ends.max()))}
    first, last = (choose(ends, code, len(streams)).tolist() for choose in (reductions.lowest, reductions.highest))
    there = np.bincount(code, minlength=len(streams)).tolist()
    return {stream: (first[i], last[i]) for i, stream in enumerate(streams) if there[i]}
