"""Which letters are outstanding: not redriven, not read since, not part of something that comes again by itself."""

from __future__ import annotations

import json
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc

from levada.core import editions, keys, lineage, parquet
from levada.core.checkpoint import Checkpoint
from levada.core.errors import UnavailableError
from levada.core.keys import Span
from levada.core.lake import partitions
from levada.ports import BlobStore
from levadactl.deadletters import ledger
from levadactl.deadletters.letters import AGGREGATE, CLEAN, INGEST, Letter, read

ATTEMPTS = 5
Place = tuple[str, str, int, int]
"""Stage, shard token, first and last sequence number: what a discarded batch holds. Two streams may share a token."""
Rows = set[tuple[str, int, int]]
"""(source, position, row)."""


@dataclass(slots=True)
class Standing:
    """Every letter, by where it stands."""

    outstanding: list[Letter] = field(default_factory=list)
    redriven: list[Letter] = field(default_factory=list)
    """Sent again and acknowledged."""
    read: list[Letter] = field(default_factory=list)
    """A later attempt at the same record could read them."""
    uncommitted: list[Letter] = field(default_factory=list)
    """Their batch is still tried: nothing is decided yet."""
    discarded: list[Letter] = field(default_factory=list)
    """Their batch was given up and waits in the queue; they come again with it."""

    def state_of(self, letter: Letter) -> str:
        """Name of the list that holds it."""
        return next(name for name in NAMES if any(one.id == letter.id for one in getattr(self, name)))


NAMES = ("outstanding", "redriven", "read", "uncommitted", "discarded")


def survey(blobs: BlobStore, given_up: Iterable[Place] = ()) -> Standing:
    """Sort all letters. given_up: what the discarded batches in the queue hold."""
    out, done = Standing(), ledger.acknowledged(blobs)
    marks = {stage: _marks(blobs, stage) for stage in (CLEAN, AGGREGATE)}
    places = list(given_up)
    waiting: list[Letter] = []
    found = read(blobs)
    for letter in found:
        if letter.id in done:
            out.redriven.append(letter)
        elif letter.stage == INGEST:
            (out.read if _is_loaded(blobs, letter) else out.outstanding).append(letter)
        elif _lies_in(letter, places):
            out.discarded.append(letter)
        elif int(letter.sequence) > marks[letter.stage].get(letter.shard, -1):
            out.uncommitted.append(letter)
        else:
            waiting.append(letter)
    _sort_read(blobs, waiting, {letter.at for letter in found if letter.stage == CLEAN and letter.whole}, out)
    return out


def _lies_in(letter: Letter, places: Iterable[Place]) -> bool:
    at, sequence = (letter.stage, letter.shard), int(letter.sequence)
    return any((stage, token) == at and first <= sequence <= last for stage, token, first, last in places)


def _marks(blobs: BlobStore, stage: str) -> dict[str, int]:
    """Shard token → the last sequence number that the stage has committed."""
    found = {}
    for token in lineage.tokens(blobs, stage):
        body, _ = blobs.get(keys.checkpoint(stage, token))
        found[str(token)] = int(Checkpoint.peek(body)["mark"])
    return found


def _is_loaded(blobs: BlobStore, letter: Letter) -> bool:
    """Has a file with this content been loaded since, under whatever name?"""
    said = json.loads(letter.payload)
    domain = str(said["key"]).removeprefix(keys.LANDING).partition("/")[0]
    if not said["sha256"]:
        return False
    try:
        body, _ = blobs.get(keys.ledger(domain, letter.tenant, said["sha256"]))
    except KeyError:
        return False
    return bool(json.loads(body)["done"])


def _sort_read(blobs: BlobStore, waiting: Sequence[Letter], wholes: set[tuple[str, str]], out: Standing) -> None:
    """An attempt before a deploy refuses what the next attempt reads: then the row stands in silver.

    wholes: records that some attempt refused as a whole.
    """
    clean = [letter for letter in waiting if letter.stage == CLEAN]
    out.outstanding += [letter for letter in waiting if letter.stage != CLEAN]
    there = in_silver(blobs, clean)
    records = {(source, position) for source, position, _ in there}
    for letter in clean:
        at = (letter.source, letter.position or 0)
        if letter.whole:
            gone = at in records
        else:
            # refused as a whole by one attempt and row by row by another: the whole holds the row
            gone = (*at, letter.row) in there or (letter.at in wholes and at not in records)
        (out.read if gone else out.outstanding).append(letter)


def in_silver(blobs: BlobStore, letters: Sequence[Letter]) -> Rows:
    """Rows of these letters' records that stand in objects of silver or events which hold the records' positions, or
    in those of days that were made anew.

    Raises UnavailableError when compaction replaced objects under every one of ATTEMPTS listings.
    """
    for _ in range(ATTEMPTS):
        try:
            return _in_silver(blobs, letters)
        except KeyError:  # an output stands before its inputs go, so another listing finds all rows
            continue
    raise UnavailableError(f"silver/, events/: objects vanished while being read, {ATTEMPTS} times")


def _in_silver(blobs: BlobStore, letters: Sequence[Letter]) -> Rows:
    places: dict[str, list[int]] = defaultdict(list)
    for letter in letters:
        places[letter.shard].append(int(letter.sequence))
    for sequences in places.values():
        sequences.sort()
    sources = pa.array(sorted({letter.source for letter in letters}), pa.string())
    found: Rows = set()
    for key in _objects(blobs, letters, places):
        rows = parquet.from_bytes(blobs.get(key)[0], ["source", "position", "row"])
        rows = rows.set_column(0, "source", rows["source"].cast(pa.string()))
        rows = rows.filter(pc.is_in(rows["source"], sources)).group_by(rows.column_names).aggregate([])
        found.update(zip(*(rows[name].to_pylist() for name in ("source", "position", "row")), strict=True))
    return found


def _objects(blobs: BlobStore, letters: Sequence[Letter], places: dict[str, list[int]]) -> Iterator[str]:
    """Keys of objects whose range holds one of the places, and of those that count of days that were made anew."""
    domains = {letter.domain for letter in letters}
    below = [""] if keys.UNKNOWN_DOMAIN in domains else [f"domain={name}/" for name in sorted(domains)]
    for prefix in (f"{layer}/{rest}" for rest in below for layer in ("silver", "events")):
        for domain, date, listed in partitions(blobs.list(prefix)):
            yield from editions.of_listed(blobs, domain, date, (b.key for b in listed)).objects & {
                b.key for b in listed
            }
            yield from (blob.key for blob in listed if _holds(blob.key, places))


def _holds(key: str, places: dict[str, list[int]]) -> bool:
    try:
        span = Span.parse(editions.token_of(key))
    except ValueError:
        return False  # nothing of ours, or of an edition
    sequences = places.get(str(span.token), [])
    at = bisect_left(sequences, int(span.first))
    return at < len(sequences) and sequences[at] <= int(span.last)
