"""A landed object's format, and text of any encoding and layout as lines of UTF-8. Streams, in constant memory."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator

from levada.core.errors import BadRecordError
from levada.ingest.blocks import Readable
from levada.ingest.content import CSV, NDJSON, PARQUET, PARQUET_MAGIC, READ_BYTES, Content, compression_of
from levada.ingest.dialect import BOM

UTF8, UTF16_LE, UTF16_BE, LATIN = "utf-8", "utf-16-le", "utf-16-be", "latin"
MARKS = {codecs.BOM_UTF16_LE: UTF16_LE, codecs.BOM_UTF16_BE: UTF16_BE}
LINES, ARRAY, VALUES = "lines", "array", "values"
"""A line is a row; one JSON array; JSON values one behind the other, laid out over several lines."""
FORMATS = {"csv": CSV, "tsv": CSV, "txt": CSV, "ndjson": NDJSON, "jsonl": NDJSON, "json": NDJSON}
FORMATS |= {"parquet": PARQUET, "pq": PARQUET}
MAX_STRING_BYTES = 4 * READ_BYTES
"""A JSON string that has no end within so many bytes has none."""
UNENDED = b"the array has no end"
"""The last line of an array that is cut short: no JSON, so that it is noticed."""


def _as_latin1(err: UnicodeError) -> tuple[str, int]:
    """Bytes that Windows-1252 leaves open, as ISO 8859-1 has them."""
    assert isinstance(err, UnicodeDecodeError)  # noqa: S101  # only ever used to decode
    return err.object[err.start : err.end].decode("latin-1"), err.end


def _as_marks(err: UnicodeError) -> tuple[str, int]:
    """Bytes that are no UTF-16, as what no UTF-8 has: the line that they are in is refused, not mended."""
    assert isinstance(err, UnicodeDecodeError)  # noqa: S101  # only ever used to decode
    return "".join(chr(0xDC00 + byte) for byte in err.object[err.start : err.end]), err.end


codecs.register_error("levada-latin1", _as_latin1)
codecs.register_error("levada-marks", _as_marks)


def format_of(key: str, content: Content, declared: str = "") -> str:
    """By the extension (``.gz`` and ``.zst`` aside), else by what the content looks like.

    Args:
        declared: the domain's encoding.

    Raises:
        BadRecordError: ``empty_file``; ``unsupported_format`` with what it seems to be and what is read.
    """
    if not content.size:
        raise BadRecordError("empty_file", "the object has no bytes")
    if content.head.startswith(PARQUET_MAGIC):
        if content.compression:
            raise _unsupported(f"Parquet inside {content.compression}: store it as it is")
        return PARQUET
    if compression_of(content.head):
        raise _unsupported("compressed twice")
    head = head_of(content, declared).removeprefix(BOM)
    if b"\0" in head:
        raise _unsupported("binary, or text of an encoding without a byte order mark")
    name = key.rpartition("/")[2].lower().removesuffix(".gz").removesuffix(".zst")
    known = FORMATS.get(name.rpartition(".")[2])
    looks = NDJSON if head.lstrip()[:1] in (b"{", b"[") else CSV
    if known == PARQUET:
        raise _unsupported("named Parquet, but does not begin with PAR1")
    return known or looks


def _unsupported(what: str) -> BadRecordError:
    return BadRecordError(
        "unsupported_format", f"{what}; read are CSV, NDJSON, JSON arrays (plain, gzip or zstd) and Parquet"
    )


def encoding_of(head: bytes, declared: str = "") -> str:
    """By the byte order mark; else what the domain declares; else Latin where the first line is no UTF-8.

    Args:
        head: the beginning of the inflated text.

    Raises BadRecordError ``unsupported_format`` for UTF-32.
    """
    if head.startswith((codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)):
        raise BadRecordError("unsupported_format", "UTF-32; read are UTF-8, UTF-16 and Windows-1252")
    for mark, name in MARKS.items():
        if head.startswith(mark):
            return name
    if declared and not head.startswith(BOM):
        return declared
    line, ended, _ = head.partition(b"\n")
    if line.lstrip()[:1] in (b"{", b"["):  # JSON is UTF-8
        return UTF8
    try:
        codecs.getincrementaldecoder(UTF8)().decode(line, final=bool(ended))
    except UnicodeDecodeError:
        return LATIN
    return UTF8


def layout_of(kind: str, head: bytes) -> str:
    """Of a text of this format; head: its beginning, in UTF-8."""
    if kind != NDJSON:
        return LINES
    text = head.removeprefix(BOM).lstrip()
    if text.startswith(b"["):
        return ARRAY
    first, ended, _ = text.partition(b"\n")
    return VALUES if ended and first.strip() == b"{" else LINES


def is_plain(content: Content, kind: str, declared: str) -> bool:
    """Is the stored object itself the lines? Then a reader may begin anywhere in it."""
    if content.compression or encoding_of(content.head, declared) != UTF8:
        return False
    return layout_of(kind, content.head) == LINES


def as_lines(stream: Readable, content: Content, kind: str, declared: str) -> Readable:
    """The whole inflated text as lines of UTF-8, the same bytes every time."""
    encoding = encoding_of(content.head, declared)
    if encoding != UTF8:
        stream = _Pieces(_transcoded(stream, encoding))
    layout = layout_of(kind, head_of(content, declared))
    return stream if layout == LINES else _Pieces(_items(stream, layout))


def head_of(content: Content, declared: str) -> bytes:
    """The beginning of the text in UTF-8."""
    encoding = encoding_of(content.head, declared)
    if encoding == UTF8:
        return content.head
    return _decoder(encoding).decode(content.head).removeprefix("\ufeff").encode(errors="surrogatepass")


class _Pieces:
    """A stream of pieces of any size."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces, self._rest = pieces, b""

    def read(self, size: int, /) -> bytes:
        have, got = len(self._rest), [self._rest]
        while have < size and (piece := next(self._pieces, None)) is not None:
            got.append(piece)
            have += len(piece)
        data = b"".join(got)
        self._rest = data[size:]
        return data[:size]


def _decoder(encoding: str) -> codecs.IncrementalDecoder:
    if encoding == LATIN:
        return codecs.getincrementaldecoder("cp1252")("levada-latin1")
    return codecs.getincrementaldecoder(encoding)("levada-marks")


def _transcoded(stream: Readable, encoding: str) -> Iterator[bytes]:
    decoder, begun = _decoder(encoding), False
    while data := stream.read(READ_BYTES):
        text = decoder.decode(data)
        yield (text if begun else text.removeprefix("\ufeff")).encode(errors="surrogatepass")
        begun = begun or bool(text)
    yield decoder.decode(b"", final=True).encode(errors="surrogatepass")


_TOKEN = re.compile(rb'"(?:[^"\\]++|\\.)*+"|["{}\[\],]', re.DOTALL)
_QUOTE, _COMMA, _BRACKET, _OPENING, _CLOSING = ord('"'), ord(","), ord("]"), b"{[", b"}]"
_BLANKS = bytes.maketrans(b"\r\n", b"  ")


class _Splitter:
    """Where in a text of JSON values one ends and the next begins."""

    def __init__(self, layout: str) -> None:
        self._floor = 1 if layout == ARRAY else 0
        """How deep the items stand: 1 in an array, 0 outside."""
        self._depth = 0
        self._begun = layout != ARRAY

    @property
    def unended(self) -> bool:
        return self._floor > 0

    def split(self, text: bytes) -> tuple[list[bytes], bytes]:
        """(pieces, with a line end behind each item; what is left, to stand before the text that comes next)."""
        if not self._begun:
            bracket = text.find(b"[")  # only blanks and a byte order mark stand before it
            if bracket < 0:
                return [], text
            text, self._begun, self._depth = text[bracket + 1 :], True, 1
        out: list[bytes] = []
        start = end = 0  # of what has not been given out; of the last token
        for token in _TOKEN.finditer(text):
            mark = text[token.start()]
            if mark == _QUOTE and token.end() - token.start() == 1:
                break  # a string that goes on behind the text
            end = token.end()
            cut = self._cut(mark, end)
            if cut is not None:
                out += [text[start:cut], b"\n"]
                start = end
        return [*out, text[start:end]], text[end:]

    def _cut(self, mark: int, end: int) -> int | None:
        """Where the item ends that this token ends; None when it ends none."""
        if mark in _OPENING:
            self._depth += 1
        elif mark == _COMMA:
            return end - 1 if self._floor and self._depth == self._floor else None
        elif mark in _CLOSING:
            self._depth -= 1
            if self._floor and self._depth < self._floor:  # the end of the array
                self._depth = self._floor = 0
                return end - 1 if mark == _BRACKET else end
            if not self._floor and self._depth <= 0:
                self._depth = 0
                return end
        return None


def _items(stream: Readable, layout: str) -> Iterator[bytes]:
    """Each item on a line of its own, as it was written but for line ends, which become blanks.

    What is no JSON makes lines that are none either: ``clean`` refuses them one by one, and nothing is left out.
    """
    splitter, rest = _Splitter(layout), b""
    while data := stream.read(READ_BYTES):
        if len(rest) > MAX_STRING_BYTES:  # no JSON any more: what is left is handed on as it is
            yield rest + b"\n" + data
            while data := stream.read(READ_BYTES):
                yield data
            return
        pieces, rest = splitter.split(rest + data.translate(_BLANKS))
        yield b"".join(pieces)
    yield rest
    if splitter.unended:
        yield b"\n" + UNENDED
