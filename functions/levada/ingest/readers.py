"""A landed file as a sequence of parts, whatever its format."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from levada.core.errors import BadRecordError
from levada.domains.declaration import Domain
from levada.ingest import csv_rows, dialect, ndjson_lines, parquet_rows, texts
from levada.ingest.blocks import Block, Readable, blocks
from levada.ingest.content import CSV, HEAD_BYTES, NDJSON, PARQUET, READ_BYTES, Content, inflating
from levada.ingest.ledger import Plan, Progress
from levada.ingest.parts import Part


def first_progress(kind: str, content: Content, domain: Domain, spool: Path) -> Progress:
    """Where the first row of a file stands.

    Args:
        kind: the format.
        spool: where a Parquet file was copied to.

    Raises:
        BadRecordError: the file as a whole cannot be read, and why.
    """
    if kind == PARQUET:
        parquet_rows.check(spool, domain)
    if kind != CSV:
        return Progress()
    top = top_of(content, domain)
    started = Progress(offset=top.size, line=top.lines + 1)
    started.counts["lines"] = top.lines
    return started


def parquet_parts(spool: Path, domain: Domain, plan: Plan, progress: Progress) -> Iterator[Part]:
    return parquet_rows.parts(spool, domain, start=progress.offset, block_rows=plan.block_rows)


def text_parts(
    open_at: Callable[[int], Readable],
    content: Content,
    domain: Domain,
    plan: Plan,
    progress: Progress,
    end: int | None = None,
) -> Iterator[Part]:
    """What stands behind the progress.

    Args:
        open_at: the stored bytes from an offset on; plain files begin right where they go on.
        end: of a plain file, where to stop: behind a line end.
    """
    if not texts.is_plain(content, plan.format, domain.encoding):
        stored = inflating(open_at(0), content.compression)
        stream = texts.as_lines(stored, content, plan.format, domain.encoding)
        _skip(stream, progress.offset)
    elif progress.offset >= (content.size if end is None else end):  # a range behind the end is an error to S3
        return
    else:
        stream = open_at(progress.offset)
        stream = stream if end is None else _UpTo(stream, end - progress.offset)
    read = _reader(content, domain, plan)
    line = progress.line
    for block in blocks(stream, start=progress.offset, block_bytes=plan.block_bytes):
        part = read(block, line)
        line = part.next_line
        yield part


class _UpTo:
    """So many bytes of a stream."""

    def __init__(self, stream: Readable, size: int) -> None:
        self._stream, self._left = stream, size

    def read(self, size: int, /) -> bytes:
        data = self._stream.read(min(size, self._left)) if self._left else b""
        self._left -= len(data)
        return data


def _reader(content: Content, domain: Domain, plan: Plan) -> Callable[[Block, int], Part]:
    if plan.format == NDJSON:
        return ndjson_lines.read_block
    form = top_of(content, domain).dialect
    return lambda block, line: csv_rows.read_block(block, line, form)


def top_of(content: Content, domain: Domain) -> dialect.Top:
    """What stands before the first row of a CSV file, and how its lines are written. Raises BadRecordError."""
    head = texts.head_of(content, domain.encoding)
    if len(content.head) == HEAD_BYTES:  # there is more: the last line may be cut
        head = head[: head.rfind(b"\n") + 1]
        if not head:
            raise BadRecordError("header_too_long", f"no line end within the first {HEAD_BYTES} bytes")
    return dialect.of_head(head, domain)


def _skip(stream: Readable, size: int) -> None:
    while size and (data := stream.read(min(size, READ_BYTES))):
        size -= len(data)
