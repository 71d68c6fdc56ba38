"""What ``levada dlq redrive`` has done, or would do."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, fields
from typing import Any

from levadactl.deadletters.judging import Verdict


@dataclass(slots=True)
class Count:
    """What became of one kind of dead letters, or would become of them."""

    selected: int = 0
    passing: int = 0
    """Letters (of a batch: records) of which something would pass now."""
    rows: int = 0
    """Rows that would pass."""
    sent: int = 0
    """Letters (of a batch: records) that were sent and acknowledged."""
    failing: Counter[str] = field(default_factory=Counter)
    """Those that would fail again, by reason; they stay where they are (records of a batch are sent nevertheless)."""
    refused_rows: Counter[str] = field(default_factory=Counter)
    """Rows that would come back alone, out of records that would pass."""

    def see(self, verdict: Verdict) -> None:
        self.rows += verdict.rows
        if verdict.passes:
            self.passing += 1
            self.refused_rows.update(verdict.refused)
        else:
            self.failing[verdict.reason] += 1


@dataclass(slots=True)
class Batches(Count):
    """Discarded batches."""

    records: int = 0
    """Records that are still in the stream."""
    lost: int = 0
    """Records that the stream no longer has: nothing brings them back from here."""
    published: int = 0
    """Rows that aggregate has already; they go into the lake only."""
    applied: int = 0
    """Records that aggregate had committed before they were given up."""
    settled: int = 0
    """Messages deleted."""


@dataclass(slots=True)
class Report:
    """The command's answer."""

    dry_run: bool
    letters: Count = field(default_factory=Count)
    files: Count = field(default_factory=Count)
    batches: Batches = field(default_factory=Batches)
    calls: Count = field(default_factory=Count)

    def to_json(self) -> dict[str, Any]:
        return {"dry_run": self.dry_run} | {
            name: _plain(getattr(self, name)) for name in ("letters", "files", "batches", "calls")
        }


def _plain(count: Count) -> dict[str, Any]:
    values = {one.name: getattr(count, one.name) for one in fields(count)}
    return {name: dict(value) if isinstance(value, Counter) else value for name, value in values.items()}
