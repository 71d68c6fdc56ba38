"""Editions: days of a domain that were made anew from bronze, and what they stand for.

An edition of a day is some objects beside those that the stages have written, and one small record that names them and
says what they replace: all rows of each shard of the raw stream up to a sequence number, all gold of each shard of the
clean stream up to a generation. One conditional put of that record makes the whole day change at once. What it hides
may stand there as long as it likes, or be written again by an attempt that went to sleep: nobody reads it. What the
stages write later lies behind those positions, and is merged with the edition as with everything else.

Objects of editions are named ``r<number>-<digest of the content>.parquet``, and no other object of a day is: a listing
without such a name has no edition, so that whoever reads one that was never made anew asks for nothing more.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from levada.core import keys
from levada.core.errors import ConfigError
from levada.core.keys import Span
from levada.core.positions import ShardToken
from levada.ports import Blob, BlobStore

VERSION = 1
LAYERS = ("silver", "events", "gold")
"""Of which a day has objects, each at least one (without rows if need be)."""
_NAME = re.compile(r"r(\d{6})-[0-9a-f]{32}")


@dataclass(frozen=True, slots=True)
class Edition:
    """What a day's record says; the one of a day that was never made anew replaces nothing."""

    number: int = 0
    """How manieth edition of the day it is; 0 for none."""
    raw: Mapping[str, int] = field(default_factory=dict)
    """Shard token → the last sequence number whose rows are replaced."""
    gold: Mapping[str, int] = field(default_factory=dict)
    """Shard token → the last generation that is replaced."""
    objects: frozenset[str] = frozenset()
    """Keys."""
    finished: bool = False
    """Whether the serving table and the rollups are known to have it."""

    def replaces(self, span: Span) -> bool:
        """All rows of an object with this name."""
        return int(span.last) <= self.raw.get(str(span.token), -1)

    def mark(self, token: ShardToken) -> int:
        """Rows of the shard up to this sequence number are replaced; -1 for none."""
        return self.raw.get(str(token), -1)

    def replaces_gold(self, token: str, generation: int) -> bool:
        """An object of gold, or a segment of the serving table, by who emitted it."""
        if match := _NAME.fullmatch(token):
            return int(match[1]) < self.number
        return generation <= self.gold.get(token, -1)

    def to_bytes(self) -> bytes:
        raw = {shard: str(sequence) for shard, sequence in sorted(self.raw.items())}  # larger than JSON's numbers
        told = {"v": VERSION, "number": self.number, "raw": raw, "gold": dict(sorted(self.gold.items()))}
        told |= {"objects": sorted(self.objects), "finished": self.finished}
        return json.dumps(told, separators=(",", ":")).encode()

    @classmethod
    def from_bytes(cls, body: bytes) -> Edition:
        """Raises ConfigError for a record of another version."""
        told = json.loads(body)
        if told.get("v") != VERSION:
            raise ConfigError(f"edition v={told.get('v')!r}: this version reads {VERSION}")
        raw = {shard: int(sequence) for shard, sequence in told["raw"].items()}
        return cls(int(told["number"]), raw, told["gold"], frozenset(told["objects"]), bool(told["finished"]))


NONE = Edition()


def load(blobs: BlobStore, domain: str, date: str) -> tuple[Edition, str | None]:
    """(the day's edition, ETag of its record); ``NONE`` and None when there is none."""
    try:
        body, etag = blobs.get(keys.edition(domain, date))
    except KeyError:
        return NONE, None
    return Edition.from_bytes(body), etag


def dates(blobs: BlobStore, domain: str) -> list[str]:
    """Days of the domain that have a record, in order."""
    found = blobs.list(keys.editions_prefix(domain))
    return [blob.key.rpartition("date=")[2].removesuffix(".json") for blob in found]


def of_listed(blobs: BlobStore, domain: str, date: str, names: Iterable[str]) -> Edition:
    """The edition of a day of which these are the objects' keys, of one layer or more."""
    return load(blobs, domain, date)[0] if any(is_made_anew(name) for name in names) else NONE


def is_made_anew(key: str) -> bool:
    """Is it an object of an edition, committed or not?"""
    return _NAME.fullmatch(token_of(key)) is not None


def number_of(key: str) -> int:
    """Of which edition an object is; 0 for one of no edition."""
    match = _NAME.fullmatch(token_of(key))
    return int(match[1]) if match else 0


def token_of(key: str) -> str:
    """Name of an edition's object without its end: it stands where a shard's token does."""
    return key.rpartition("/")[2].removesuffix(".parquet")


def name(layer: str, domain: str, date: str, number: int, body: bytes) -> str:
    """Key of an edition's object. The content names it, so that two runs at once never write each other's objects."""
    digest = hashlib.sha256(body).hexdigest()[:32]
    return f"{layer}/domain={domain}/date={date}/r{number:06d}-{digest}.parquet"


def gold_shown(blobs: BlobStore, domain: str, date: str, listed: Sequence[Blob]) -> list[Blob]:
    """Those of a day's gold objects that count."""
    edition = of_listed(blobs, domain, date, (blob.key for blob in listed))
    return [blob for blob in listed if shows_gold(edition, blob.key)]


def shows_gold(edition: Edition, key: str) -> bool:
    """Whether a gold object counts. Raises ConfigError for a name that levada does not write."""
    if is_made_anew(key):
        return key in edition.objects
    return not edition.number or not edition.replaces_gold(*emission_of(key))


def emission_of(key: str) -> tuple[str, int]:
    """(who emitted a gold object, how manieth emission it was); an edition is who, and its only one 0.

    Raises ConfigError for a name that levada does not write.
    """
    if is_made_anew(key):
        return token_of(key), 0
    token, _, generation = token_of(key).rpartition("-")
    try:
        found = str(ShardToken.parse(token)), int(generation)
    except ValueError as err:
        raise ConfigError(
            f"{key}: not an object of gold: must look like gold/domain=<domain>/date=<day>/<shard>-<generation>.parquet"
        ) from err
    return found
