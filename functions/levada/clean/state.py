"""What clean remembers of a shard: how far it has come, which packs it has seen, and what it has counted."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from levada.core.checkpoint import Checkpoint
from levada.core.positions import PackFences, RowFences

STAGE = "clean"
FIELDS = ("rows", "measurements", "values", "missing", "out_of_range", "undated", "events", "quarantined", "duplicates")
"""Counters per domain. ``duplicates`` are packs that came again; all others count each row once, ever."""


@dataclass(slots=True)
class CleanState:
    mark: int = -1
    """The last applied sequence number of the shard."""
    fences: PackFences = field(default_factory=PackFences)
    lanes: RowFences = field(default_factory=RowFences)
    """What has been handed on, lane by lane: each record says where the one before it ended."""
    counters: dict[str, Counter[str]] = field(default_factory=dict)
    """Domain → FIELDS, and ``missing:<metric>``, ``out_of_range:<metric>``, ``quarantined:<reason>`` beside them."""
    updated_s: int = 0

    def count(self, domain: str) -> Counter[str]:
        return self.counters.setdefault(domain, Counter())

    def to_checkpoint(self) -> Checkpoint:
        return Checkpoint(
            {
                "mark": str(self.mark),
                "fences": self.fences.to_bytes(),
                "lanes": self.lanes.to_bytes(),
                "counters": {name: dict(sorted(c.items())) for name, c in sorted(self.counters.items())},
                "updated_s": self.updated_s,
            }
        )

    @classmethod
    def from_header(cls, header: dict[str, Any]) -> CleanState:
        return cls(
            mark=int(header["mark"]),
            fences=PackFences.from_bytes(header["fences"]),
            lanes=RowFences.from_bytes(header["lanes"]),
            counters={name: Counter(c) for name, c in header["counters"].items()},
            updated_s=int(header["updated_s"]),
        )
