"""What an object is: identity, compression, format; and what is no file that anybody reads."""

from __future__ import annotations

import gzip
import hashlib
import io

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from levada.core.errors import BadRecordError
from levada.ingest.content import GZIP, HEAD_BYTES, PLAIN, ZSTD, inflating, read_up_to, survey
from levada.ingest.dialect import BOM
from levada.ingest.texts import format_of

CSV_TEXT = b"t;id;a;b\n1;2;3;4\n"


def zstd(data: bytes) -> bytes:
    return zstandard.ZstdCompressor().compress(data)


def kind(key: str, data: bytes) -> str:
    return format_of(key, survey(io.BytesIO(data)))


@pytest.mark.parametrize(
    ("key", "data", "expected"),
    [
        ("landing/x/a.csv", CSV_TEXT, "csv"),
        ("landing/x/a.CSV.GZ", gzip.compress(CSV_TEXT, mtime=0), "csv"),
        ("landing/x/a.csv.zst", zstd(CSV_TEXT), "csv"),
        ("landing/x/a.csv.gz", CSV_TEXT, "csv"),
        ("landing/x/a.tsv", CSV_TEXT, "csv"),
        ("landing/x/a", CSV_TEXT, "csv"),
        ("landing/x.json/a", CSV_TEXT, "csv"),
        ("landing/x/a.csv", b"[a];b\n", "csv"),
        ("landing/x/a.ndjson", b'{"a":1}\n', "ndjson"),
        ("landing/x/a.jsonl.gz", gzip.compress(b'{"a":1}\n', mtime=0), "ndjson"),
        ("landing/x/a.dat", BOM + b' {"a":1}\n', "ndjson"),
        ("landing/x/a.json", b' [{"a":1}]', "ndjson"),
        ("landing/x/a", '[{"a":1}]'.encode("utf-16"), "ndjson"),
        ("landing/x/a.csv", "t;id\n".encode("utf-16"), "csv"),
        ("landing/x/a", "Zürich;Köln\n".encode("latin-1"), "csv"),
        ("landing/x/a.parquet", b"PAR1....PAR1", "parquet"),
        ("landing/x/a.csv", b"PAR1....PAR1", "parquet"),
    ],
)
def test_the_extension_decides_and_the_content_where_there_is_none(key: str, data: bytes, expected: str) -> None:
    assert kind(key, data) == expected


@pytest.mark.parametrize(
    ("key", "data", "says"),
    [
        ("a.csv", b"", "empty_file"),
        ("a.xlsx", b"PK\x03\x04\0\0", "binary"),
        ("a.csv", "t;id\n".encode("utf-16-le"), "binary, or text of an encoding without a byte order mark"),
        ("a.csv", "t;id\n".encode("utf-32"), "UTF-32"),
        ("a.parquet", CSV_TEXT, "does not begin with PAR1"),
        ("a.parquet.gz", gzip.compress(b"PAR1....PAR1", mtime=0), "Parquet inside gzip"),
        ("a.csv.gz", gzip.compress(gzip.compress(CSV_TEXT, mtime=0), mtime=0), "compressed twice"),
    ],
)
def test_what_is_not_read_is_refused_with_what_it_seems_to_be(key: str, data: bytes, says: str) -> None:
    with pytest.raises(BadRecordError, match=says):
        kind(f"landing/x/{key}", data)


@given(data=st.binary(max_size=4000), size=st.integers(1, 700))
def test_the_survey_hashes_stored_bytes_and_inflating_gives_the_inflated_ones(data: bytes, size: int) -> None:
    half = len(data) // 2
    for name, stored in (
        (PLAIN, b"x" + data),
        (GZIP, gzip.compress(data[:half], mtime=0) + gzip.compress(data[half:])),
        (ZSTD, zstd(data[:half]) + zstd(data[half:])),
    ):
        found = survey(io.BytesIO(stored))
        stream = inflating(io.BytesIO(stored), found.compression)
        pieces = list(iter(lambda stream=stream: stream.read(size), b""))  # type: ignore[misc]

        assert (found.sha256, found.size, found.compression) == (hashlib.sha256(stored).hexdigest(), len(stored), name)
        assert b"".join(pieces) == found.head == (stored if name == PLAIN else data)
        assert all(len(piece) == size for piece in pieces[:-1])


@pytest.mark.parametrize("pack", [gzip.compress, zstd])
@pytest.mark.parametrize("damage", [lambda d: d[:-3], lambda d: d + b"junk", lambda d: d[:30] + b"\0\0\0\0" + d[34:]])
def test_a_damaged_archive_is_found_before_anything_is_sent(pack: object, damage: object) -> None:
    stored = pack(b"".join(b"%d;%d\n" % (i, i * i) for i in range(3000)))  # type: ignore[operator]

    with pytest.raises(BadRecordError, match="corrupt_compression"):
        survey(io.BytesIO(damage(stored)))  # type: ignore[operator]


def test_parquet_alone_is_copied() -> None:
    copies = [io.BytesIO(), io.BytesIO()]

    survey(io.BytesIO(CSV_TEXT), copies[0])
    survey(io.BytesIO(b"PAR1" + bytes(3_000_000)), copies[1])

    assert [len(c.getvalue()) for c in copies] == [0, 3_000_004]


def test_of_a_large_file_only_the_beginning_is_held() -> None:
    found = survey(io.BytesIO(CSV_TEXT * 200_000))

    assert (len(found.head), found.size) == (HEAD_BYTES, len(CSV_TEXT) * 200_000)


def test_a_bomb_is_read_in_pieces() -> None:
    stream = inflating(io.BytesIO(zstd(bytes(1 << 28))), ZSTD)

    assert len(read_up_to(stream, 5)) == 5
    assert len(stream.read(1 << 20)) == 1 << 20
