"""A landed object: looked at once as a whole, then read in parts, always the same version of it."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, BinaryIO

from levada.core import keys
from levada.core.access import TENANT, TENANTS
from levada.core.errors import BadRecordError, UnavailableError
from levada.domains.declaration import Domain
from levada.ingest import pieces, readers, shifted
from levada.ingest.blocks import Readable
from levada.ingest.content import HEAD_BYTES, PARQUET, PLAIN, Content, read_up_to, survey
from levada.ingest.ledger import Piece, Plan, Progress
from levada.ingest.parts import Part
from levada.ingest.pieces import Order
from levada.ingest.texts import format_of, is_plain
from levada.ports import BlobStore

MAX_SPOOL_BYTES = 400 * 1024 * 1024
"""Parquet is read from a copy on disk, of which a function has 512 MiB."""


class GoneError(Exception):
    """The object was there a moment ago."""


@dataclass(frozen=True, slots=True)
class File:
    """One version of an object."""

    key: str
    etag: str
    domain: Domain
    content: Content
    kind: str
    """Its format."""
    spool: Path
    """A copy on disk, where it is Parquet."""
    blobs: BlobStore

    @property
    def shift_us(self) -> int:
        """By how much ``clean`` shall move the times of its rows."""
        return shifted.shift_of(self.key)

    def first_progress(self) -> Progress:
        """Where its first row stands. Raises BadRecordError: the file as a whole cannot be read."""
        return readers.first_progress(self.kind, self.content, self.domain, self.spool)

    @property
    def is_plain(self) -> bool:
        """Are the stored bytes themselves the lines?"""
        return self.kind != PARQUET and is_plain(self.content, self.kind, self.domain.encoding)

    def parts(self, plan: Plan, progress: Progress, end: int | None = None) -> Generator[Part, None, None]:
        """What stands behind the progress, of a plain file up to ``end``.

        Raises UnavailableError when the object was replaced meanwhile.
        """
        if plan.format == PARQUET:
            yield from readers.parquet_parts(self.spool, self.domain, plan, progress)
            return
        with ExitStack() as stack:

            def open_at(offset: int) -> Readable:
                stream = stack.enter_context(closing(_open(self.blobs, self.key, offset)))
                # the stream is of one version of the object: is it the one that was hashed?
                if etag_of(self.blobs, self.key) != self.etag:
                    raise UnavailableError(f"{self.key}: was replaced while it was read")
                return stream

            yield from readers.text_parts(open_at, self.content, self.domain, plan, progress, end)

    def cut(self, started: Progress, piece_bytes: int) -> list[Piece]:
        """The pieces of a plain file behind its header line."""
        with closing(_open(self.blobs, self.key, started.offset)) as stream:
            return list(pieces.cut(stream, started, piece_bytes))


def domain_of(key: str, domains: Mapping[str, Domain]) -> str:
    """Raises BadRecordError: ``outside_landing`` or ``unknown_domain``."""
    if not key.startswith(keys.LANDING):
        raise BadRecordError("outside_landing", f"key {key!r}: must begin with {keys.LANDING}<domain>/")
    name, slash, _ = key.removeprefix(keys.LANDING).partition("/")
    if not slash or name not in domains:
        raise BadRecordError(
            "unknown_domain",
            f"key {key!r}: must be {keys.LANDING}<domain>/<file> with a domain of {', '.join(sorted(domains))}",
        )
    return name


def tenant_of(key: str, default: str) -> str:
    """Whose rows a landed file holds: of the tenant whose folder it lies in, else the default's.

    Raises BadRecordError ``bad_tenant``.
    """
    named = keys.landed_tenant(key)
    if named is None:
        return default
    if not TENANT.fullmatch(named):
        raise BadRecordError("bad_tenant", f"key {key!r}: {keys.TENANT}={named!r} must be {TENANTS}")
    return named


def etag_of(blobs: BlobStore, key: str) -> str:
    """Raises GoneError."""
    blob = next(iter(blobs.list(key)), None)
    if blob is None or blob.key != key:
        raise GoneError
    return blob.etag


def of_order(order: Order, domain: Domain, kind: str, blobs: BlobStore) -> File:
    """The file that a piece is ordered of: it was read as a whole when it was cut. Raises GoneError."""
    blob = next(iter(blobs.list(order.key)), None)
    if blob is None or blob.key != order.key or blob.etag != order.etag:
        raise GoneError
    with closing(_open(blobs, order.key)) as stream:
        content = Content(order.sha256, blob.size, PLAIN, read_up_to(stream, HEAD_BYTES))
    return File(order.key, order.etag, domain, content, kind, Path(), blobs)


@contextmanager
def looked_at(
    key: str, domain: Domain, blobs: BlobStore, seen: Callable[[str], None] = lambda _: None
) -> Iterator[File]:
    """Read all of it once: its content's hash, compression and format.

    Args:
        seen: told the hash, before anything else about the file can be refused.

    Raises:
        GoneError: there is no such object.
        BadRecordError: no rows can be read from it.
    """
    etag, shift_us = etag_of(blobs, key), shifted.shift_of(key)
    with tempfile.NamedTemporaryFile(prefix="levada-") as spool:
        with closing(_open(blobs, key)) as stream:
            content = survey(stream, _Spool(spool))
        content = replace(content, sha256=shifted.identity(content.sha256, shift_us))
        spool.flush()
        seen(content.sha256)
        yield File(key, etag, domain, content, format_of(key, content, domain.encoding), Path(spool.name), blobs)


class _Spool:
    """A copy on disk, bounded."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file, self._left = file, MAX_SPOOL_BYTES

    def write(self, data: bytes, /) -> None:
        self._left -= len(data)
        if self._left < 0:
            raise BadRecordError("file_too_large", f"Parquet of more than {MAX_SPOOL_BYTES} bytes: split it")
        self._file.write(data)


def _open(blobs: BlobStore, key: str, offset: int = 0) -> BinaryIO:
    try:
        return blobs.open(key, offset=offset)
    except KeyError:
        raise GoneError from None
