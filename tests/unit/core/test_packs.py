"""Packs: what goes in comes out; what a sender gets wrong is named; no bomb inflates (B9)."""

from __future__ import annotations

import gzip
import json
import zlib
from typing import Any

import pyarrow as pa
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from levada.core import columns, packs
from levada.core.errors import BadRecordError
from levada.core.packs import ARROW_ZSTD, NDJSON_GZIP, NDJSON_ZSTD, Header

HEADER = Header(domain="d", tenant="t", source="s#01", position=3, count=2, codec=NDJSON_GZIP, trace="1-abc")


@pytest.mark.parametrize("codec", [NDJSON_GZIP, NDJSON_ZSTD])
@given(body=st.binary(max_size=2000))
def test_a_body_survives_the_pack(codec: str, body: bytes) -> None:
    data = packs.encode(HEADER, packs.compress(body, codec))

    header, packed = packs.split(data)

    assert header == HEADER
    assert packs.inflate(packed, codec) == body


def test_an_arrow_table_survives_the_pack() -> None:
    table = pa.table({"a": pa.array([1, None, 3], pa.int64()), "t": pa.array(["x", "x", None]).dictionary_encode()})

    assert columns.from_bytes(columns.to_bytes(table)).equals(table)


def test_fields_of_a_later_version_are_kept() -> None:
    raw = packs.encode(HEADER, b"").replace(b'"count":2', b'"count":2,"colour":"blue"')

    assert packs.split(raw)[0].extra == {"colour": "blue"}


@pytest.mark.parametrize(
    ("change", "names"),
    [
        ({"v": 2}, "v=2"),
        ({"domain": 7}, "domain=7"),
        ({"source": None}, "source=None"),
        ({"position": -1}, "position=-1"),
        ({"position": True}, "position=True"),
        ({"position": 1 << 63}, "position=9223372036854775808"),
        ({"count": "2"}, "count='2'"),
    ],
)
def test_a_wrong_header_field_is_named_with_its_value(change: dict[str, Any], names: str) -> None:
    line = json.dumps(HEADER.to_json() | change).encode()

    with pytest.raises(BadRecordError, match=names) as err:
        packs.split(packs.MAGIC + line + b"\n")

    assert err.value.reason == "pack_header"


@pytest.mark.parametrize("data", [b"LVP1", b"LVP1{}", b"LVP1[]\n", b"LVP1\xff\n", b"LVP1" + b"x" * 10_000 + b"\n"])
def test_a_header_that_is_none_is_refused_not_crashed_on(data: bytes) -> None:
    with pytest.raises(BadRecordError):
        packs.split(data)


@given(st.binary(max_size=300))
def test_no_bytes_crash_the_decoder(tail: bytes) -> None:
    for data in (packs.MAGIC + tail, packs.encode(HEADER, tail)):
        try:
            header, body = packs.split(data)
            packs.inflate(body, header.codec)
            columns.from_bytes(body)
        except BadRecordError:
            continue


def _bombs(n: int) -> list[tuple[str, bytes]]:
    zeros = b"\0" * n
    streamed = zstandard.ZstdCompressor().compressobj()  # such a frame does not state its size
    return [
        (NDJSON_GZIP, gzip.compress(zeros, mtime=0)),
        (NDJSON_ZSTD, zstandard.compress(zeros)),
        (NDJSON_ZSTD, streamed.compress(zeros) + streamed.flush()),
    ]


@pytest.mark.parametrize(("codec", "bomb"), _bombs(300_000))
def test_a_bomb_is_refused_at_the_limit(codec: str, bomb: bytes) -> None:
    with pytest.raises(BadRecordError, match=r"at most|more than") as err:
        packs.inflate(bomb, codec, limit=200_000)

    assert err.value.reason == "body_too_large"


@pytest.mark.parametrize(("codec", "body"), _bombs(1000))
def test_the_same_body_passes_within_the_limit(codec: str, body: bytes) -> None:
    assert packs.inflate(body, codec, limit=1000) == b"\0" * 1000


@pytest.mark.parametrize("body", [b"", b"plain", gzip.compress(b"x" * 100, mtime=0)[:-9], zlib.compress(b"x")])
def test_a_broken_gzip_body_is_corrupt(body: bytes) -> None:
    with pytest.raises(BadRecordError) as err:
        packs.inflate(body, NDJSON_GZIP)

    assert err.value.reason == "body_corrupt"


def test_an_arrow_body_of_other_bytes_is_corrupt() -> None:
    with pytest.raises(BadRecordError) as err:
        columns.from_bytes(packs.compress(b"not arrow at all", ARROW_ZSTD))

    assert err.value.reason == "body_corrupt"


def test_a_series_keeps_its_lane_and_lanes_are_used() -> None:
    lanes = [packs.lane_of(f"series-{i}") for i in range(2000)]

    assert lanes == [packs.lane_of(f"series-{i}") for i in range(2000)]
    assert set(lanes) == set(range(packs.LANES))
