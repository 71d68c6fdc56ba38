"""A large plain text file cut into pieces of whole lines, each loaded by an invocation of its own.

A piece is a file of its own to everybody behind: its packs have a source of its own, and its ledger says how far it has
come. The file's ledger names the pieces, and is done when all of theirs are. No quoted field goes over a line end, so
every line end is a place to cut at.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from levada.core import keys
from levada.ingest.blocks import Readable
from levada.ingest.content import READ_BYTES
from levada.ingest.ledger import COUNTS, Ledger, Piece, Progress
from levada.ports import BlobStore

PIECE_BYTES = 256 * 1024 * 1024
MAX_PIECES = 10_000
"""What four digits number."""


@dataclass(frozen=True, slots=True)
class Order:
    """A call to load one piece."""

    key: str
    etag: str
    """Of the version of the object that was cut."""
    sha256: str
    index: int

    def to_event(self) -> dict[str, Any]:
        return {"piece": {"key": self.key, "etag": self.etag, "sha256": self.sha256, "index": self.index}}

    @classmethod
    def from_event(cls, event: Mapping[str, Any]) -> Order:
        return cls(**event["piece"])


def content_of(sha256: str, index: int) -> str:
    """What stands for a piece's content in its ledger's key and its packs' source, which has 32 characters of it."""
    return f"{sha256[:27]}.{index:04d}"


def cut(stream: Readable, started: Progress, piece_bytes: int) -> Iterator[Piece]:
    """Pieces of at least piece_bytes (but the last) that begin and end with a line.

    Args:
        stream: stands at the beginning of the first line, which ``started`` is about.
    """
    start = at = started.offset
    line = first = started.line
    while data := stream.read(READ_BYTES):
        done = 0
        while (found := data.find(b"\n", max(done, start + piece_bytes - at - 1))) >= 0:
            line += data.count(b"\n", done, found + 1)
            done = found + 1
            yield Piece(start, first, at + done)
            start, first = at + done, line
        line += data.count(b"\n", done)
        at += len(data)
    if at > start:
        yield Piece(start, first, at)


def standing(blobs: BlobStore, domain: str, tenant: str, sha256: str, ledger: Ledger) -> tuple[list[int], Counter[str]]:
    """(pieces that are not done on this stream; the counts of those that are)."""
    missing: list[int] = []
    counts: Counter[str] = Counter(ledger.started.counts)
    for index in range(len(ledger.pieces)):
        try:
            piece = Ledger.from_bytes(blobs.get(keys.ledger(domain, tenant, content_of(sha256, index)))[0])
        except KeyError:
            missing.append(index)
            continue
        if not piece.done or piece.created_s != ledger.created_s:
            missing.append(index)
            continue
        counts.update({name: piece.progress.counts[name] for name in COUNTS if name != "bytes"})
    return missing, counts
