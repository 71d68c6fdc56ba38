"""The ledger of one file content: how it is loaded, how far that has come, and whether it is done.

One JSON object per (domain, tenant, sha256), moved only by conditional puts. It never expires: what has been loaded is
not loaded twice, whatever its name.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from levada.core.errors import ConfigError

VERSION = 1
MAX_NAMES = 20
COUNTS = ("lines", "rows_read", "bad_rows", "empty_rows", "packs", "bytes")


@dataclass(frozen=True, slots=True)
class Plan:
    """How the file is cut. Every attempt follows the first one's plan, or its packs would hold other rows."""

    format: str
    compression: str
    block_bytes: int
    block_rows: int
    pack_rows: int


@dataclass(frozen=True, slots=True)
class Piece:
    """Whole lines of a file: bytes ``[start, end)``, the first of them line ``line``."""

    start: int
    line: int
    end: int


@dataclass(slots=True)
class Progress:
    """All packs before this point are acknowledged by the stream."""

    blocks: int = 0
    offset: int = 0
    """Where the next block begins: byte of the inflated text, or row of a Parquet file."""
    line: int = 1
    """The next line, or row."""
    positions: dict[int, int] = field(default_factory=dict)
    """Lane → position of its next pack."""
    counts: Counter[str] = field(default_factory=Counter)
    """COUNTS; each line counts once, however often it was sent."""


@dataclass(slots=True)
class Ledger:
    plan: Plan
    created_s: int
    """The raw stream's identity; packs that an earlier stream got may be lost."""
    started: Progress
    """Where the first block begins (behind the header line): where sending everything again begins."""
    progress: Progress
    names: list[str] = field(default_factory=list)
    """Keys it came under, the first MAX_NAMES."""
    done: bool = False
    duplicates: int = 0
    """How often the content came again after it was done."""
    updated_s: int = 0
    pieces: list[Piece] = field(default_factory=list)
    """Each has a ledger of its own, and this one is done when all of them are; none: the file is loaded as one."""

    def seen_as(self, key: str) -> None:
        if key not in self.names and len(self.names) < MAX_NAMES:
            self.names.append(key)

    def restart(self, created_s: int) -> None:
        """Another stream: what the earlier one had not handed on is lost, so everything is sent once more."""
        self.created_s, self.done, self.progress = created_s, False, _copy(self.started)

    def to_bytes(self) -> bytes:
        return json.dumps({"v": VERSION, **_to_json(self)}, separators=(",", ":"), sort_keys=True).encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> Ledger:
        """Raises ConfigError when another version wrote it (never guess at what has been sent)."""
        raw = json.loads(data)
        if not isinstance(raw, dict) or raw.pop("v", None) != VERSION:
            raise ConfigError(f"ledger {data[:60]!r}: this version reads v={VERSION}")
        return _from_json(raw)


def begin(plan: Plan, created_s: int, started: Progress) -> Ledger:
    """A ledger for a content that was never seen."""
    return Ledger(plan, created_s, started, _copy(started))


def _copy(progress: Progress) -> Progress:
    return _progress(_progress_json(progress))


def _to_json(ledger: Ledger) -> dict[str, Any]:
    return {
        "plan": asdict(ledger.plan),
        "stream": {"created_s": ledger.created_s},
        "started": _progress_json(ledger.started),
        "progress": _progress_json(ledger.progress),
        "names": ledger.names,
        "done": ledger.done,
        "counts": {name: ledger.progress.counts[name] for name in COUNTS},
        "duplicates": ledger.duplicates,
        "updated_s": ledger.updated_s,
    } | ({"pieces": [[p.start, p.line, p.end] for p in ledger.pieces]} if ledger.pieces else {})


def _from_json(raw: Mapping[str, Any]) -> Ledger:
    return Ledger(
        plan=Plan(**raw["plan"]),
        created_s=raw["stream"]["created_s"],
        started=_progress(raw["started"]),
        progress=_progress(raw["progress"]),
        names=raw["names"],
        done=raw["done"],
        duplicates=raw["duplicates"],
        updated_s=raw["updated_s"],
        pieces=[Piece(*p) for p in raw.get("pieces", [])],
    )


def _progress_json(progress: Progress) -> dict[str, Any]:
    return {
        "blocks": progress.blocks,
        "offset": progress.offset,
        "line": progress.line,
        "positions": {str(lane): n for lane, n in sorted(progress.positions.items())},
        "counts": {name: progress.counts[name] for name in COUNTS},
    }


def _progress(raw: Mapping[str, Any]) -> Progress:
    positions = {int(lane): n for lane, n in raw["positions"].items()}
    return Progress(raw["blocks"], raw["offset"], raw["line"], positions, Counter(raw["counts"]))
