"""Packs: many events in one stream record. Magic, one JSON header line, then the body.

``LVP1{"v":1,"domain":…,"tenant":…,"source":…,"position":n,"count":k,"codec":…}\\n<body>``

Light producers write NDJSON bodies (this module needs no pyarrow); whoever holds columns writes Arrow
(``core/columns.py``). Anything that does not begin with the magic is a plain record of some other producer.
"""

from __future__ import annotations

import hashlib
import json
import threading
import zlib
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import msgspec

from levada.core.errors import BadRecordError
from levada.core.jsontext import NOT_JSON

if TYPE_CHECKING:
    import zstandard

MAGIC = b"LVP1"
VERSION = 1
NDJSON_GZIP = "ndjson+gzip"
NDJSON_ZSTD = "ndjson+zstd"
ARROW_ZSTD = "arrow+zstd"
CODECS = (NDJSON_GZIP, NDJSON_ZSTD, ARROW_ZSTD)

MAX_PACK_BYTES = 1_000_000
"""A stream record holds 1 MiB with its partition key; ours stay a little below."""
MAX_BODY_BYTES = 64 * 1024 * 1024
"""What a body may inflate to. 1 MiB of zeros inflates to 1 GiB under gzip: never believe a sender."""
MAX_PACK_ROWS = 50_000
"""Five times what our own producers put in one: a line of one byte costs its reader a thousand."""
MAX_HEADER_BYTES = 4096
MAX_NUMBER = 1 << 63
"""Positions and counts stay below: fences and columns keep them in 64 bits."""
LANES = 32
"""Part of the format, not a setting: a fence knows a lane by its number."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """What a pack says of itself. ``(source, position)`` is its identity."""

    domain: str
    tenant: str
    source: str
    position: int
    count: int
    codec: str
    trace: str = ""
    extra: dict[str, Any] | None = None
    """Fields of a later version or of one kind of pack, kept as they came."""

    def to_json(self) -> dict[str, Any]:
        fields: dict[str, Any] = {"v": VERSION, "domain": self.domain, "tenant": self.tenant, "source": self.source}
        fields |= {"position": self.position, "count": self.count, "codec": self.codec}
        if self.trace:
            fields["trace"] = self.trace
        return fields | (self.extra or {})


def lane_of(series_key: str) -> int:
    """The lane, 0 to 31, that carries this series: a series stays in one lane and so in order."""
    return int.from_bytes(hashlib.md5(series_key.encode(), usedforsecurity=False).digest()[:4], "big") % LANES


def partition_key(lane: int) -> str:
    return f"lane-{lane:02d}"


def encode(header: Header, body: bytes) -> bytes:
    """body: already in the header's codec."""
    line = json.dumps(header.to_json(), separators=(",", ":"), ensure_ascii=False).encode()
    if len(line) > MAX_HEADER_BYTES:
        raise ValueError(f"pack header of {len(line)} bytes: at most {MAX_HEADER_BYTES}")
    return b"".join((MAGIC, line, b"\n", body))


def is_pack(data: bytes) -> bool:
    return data.startswith(MAGIC)


def split(data: bytes) -> tuple[Header, bytes]:
    """Header and undecoded body of a pack.

    Raises:
        BadRecordError: ``pack_header`` when the header is not what this version reads, naming the field.
    """
    end = data.find(b"\n", len(MAGIC), len(MAGIC) + MAX_HEADER_BYTES + 1)
    if end < 0:
        raise BadRecordError("pack_header", f"no end of the header line within {MAX_HEADER_BYTES} bytes")
    try:
        raw = msgspec.json.decode(data[len(MAGIC) : end])
    except NOT_JSON as err:
        raise BadRecordError("pack_header", f"not JSON: {err}") from err
    return _header(raw), data[end + 1 :]


_FIELDS: dict[str, type[Any]] = {
    "domain": str,
    "tenant": str,
    "source": str,
    "position": int,
    "count": int,
    "codec": str,
}


def _header(raw: Any) -> Header:
    if not isinstance(raw, dict) or raw.get("v") != VERSION:
        version = raw.get("v") if isinstance(raw, dict) else raw
        raise BadRecordError("pack_header", f"v={version!r}: this version reads {VERSION}")
    for name, kind in _FIELDS.items():
        value: Any = raw.get(name)
        if type(value) is not kind or (kind is int and not 0 <= value < MAX_NUMBER):  # a bool is no number here
            raise BadRecordError("pack_header", f"{name}={value!r}: must be {kind.__name__}, a number 0 to 2**63 - 1")
    if raw["count"] > MAX_PACK_ROWS:
        raise BadRecordError("pack_rows", f"count={raw['count']}: at most {MAX_PACK_ROWS}")
    if raw["codec"] not in CODECS:
        raise BadRecordError("pack_codec", f"codec={raw['codec']!r}: must be one of {', '.join(CODECS)}")
    known = {name: raw.pop(name) for name in _FIELDS}
    trace = str(raw.pop("trace", ""))
    del raw["v"]
    return Header(**known, trace=trace, extra=raw or None)


def compress(body: bytes, codec: str) -> bytes:
    if codec == NDJSON_GZIP:
        packer = zlib.compressobj(1, zlib.DEFLATED, 31)
        return packer.compress(body) + packer.flush()
    return zstd(body, ZSTD_LEVEL)


ZSTD_LEVEL = 3
"""Of packs. Lower ones are faster and larger."""


def zstd(body: Any, level: int) -> bytes:
    """body: bytes, or any buffer of them."""
    return _compressor(level).compress(body)


_own = threading.local()
"""What one thread may use at a time: its compressors. A new one for each pack costs as much as half the compression."""


def _compressor(level: int) -> zstandard.ZstdCompressor:
    kept: dict[int, zstandard.ZstdCompressor] = _own.__dict__.setdefault("compressors", {})
    if level not in kept:
        import zstandard

        kept[level] = zstandard.ZstdCompressor(level=level, write_content_size=True)
    return kept[level]


def inflate(body: bytes, codec: str, *, limit: int = MAX_BODY_BYTES) -> bytes:
    """Raises BadRecordError: ``body_too_large`` beyond the limit (bytes), ``body_corrupt`` when it does not inflate."""
    try:
        return _gunzip(body, limit) if codec == NDJSON_GZIP else _unzstd(body, limit)
    except BadRecordError:
        raise
    except Exception as err:  # zlib.error and ZstdError share no base
        raise BadRecordError("body_corrupt", f"{codec}: {err}") from err


def _gunzip(body: bytes, limit: int) -> bytes:
    unpacker = zlib.decompressobj(31)
    out = unpacker.decompress(body, limit + 1)
    if len(out) > limit:
        raise BadRecordError("body_too_large", f"inflates to more than {limit} bytes")
    if not unpacker.eof or unpacker.unused_data:
        raise BadRecordError("body_corrupt", "gzip: cut short, or followed by other bytes")
    return out


@cache
def _decompressor() -> zstandard.ZstdDecompressor:
    import zstandard

    return zstandard.ZstdDecompressor()


def _unzstd(body: bytes, limit: int) -> bytes:
    import zstandard

    size = zstandard.get_frame_parameters(body).content_size
    if size == zstandard.CONTENTSIZE_UNKNOWN:  # a streaming producer does not know: bound the output instead
        size = -1
    if size > limit:
        raise BadRecordError("body_too_large", f"inflates to {size} bytes: at most {limit}")
    if size >= 0:
        return _decompressor().decompress(body, allow_extra_data=False)
    with zstandard.ZstdDecompressor().stream_reader(body) as reader:
        out = reader.read(limit + 1)
    if len(out) > limit:
        raise BadRecordError("body_too_large", f"inflates to more than {limit} bytes")
    return out
