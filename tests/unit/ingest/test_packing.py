"""Packs of a file: lanes by series, positions without gaps, sizes that a stream takes."""

from __future__ import annotations

import json
import random

import msgspec
import pyarrow as pa
import pytest

from levada.clean.decode import LINE, decode
from levada.core import packs
from levada.core.kinesis_event import StreamRecord
from levada.core.packs import LANES, MAX_PACK_BYTES, lane_of
from levada.domains.air_quality import AIR_QUALITY
from levada.domains.declaration import Domain
from levada.ingest.lanes import UNREADABLE, lane_of_item, series_key, text_of
from levada.ingest.packing import Packer
from levada.ingest.parts import BadLine, Part
from tests.unit.ingest.support import DOMAINS, TINY, headers, rows_of


def table(ids: list[str], a: str | list[str] = "1") -> pa.Table:
    n = len(ids)
    values = {"t": ["2024-01-01"] * n, "id": ids, "a": [a] * n if isinstance(a, str) else a, "b": ["2"] * n}
    return pa.table(values | {LINE: pa.array(range(2, n + 2), pa.int64())})


def packer(domain: Domain = TINY, pack_rows: int = 10) -> Packer:
    return Packer(domain, "default", "ab" * 32, pack_rows)


def test_a_series_stays_in_its_lane_and_in_the_order_of_the_file() -> None:
    ids = [f" s{random.Random(7).randrange(1, 90) * i % 50} " for i in range(400)]

    entries = list(packer().entries(Part(0, 0, rows=table(ids))))

    for entry in entries:
        lane = int(packs.split(entry.data)[0].source[-2:])
        rows = rows_of([entry])
        assert {lane_of(series_key("tiny", "default", "", "", r["id"].strip())) for r in rows} == {lane}
        assert entry.partition_key == f"lane-{lane:02d}"
    assert [r[LINE] for r in rows_of(entries)] == list(range(2, 402))
    for lane in range(LANES):
        mine = [e for e in entries if e.partition_key == f"lane-{lane:02d}"]
        lines = [int(r[LINE]) for e in mine for r in rows_of([e])]
        assert lines == sorted(lines)


def test_positions_count_per_lane_over_all_parts_without_gaps() -> None:
    one = packer()

    entries = [e for _ in range(5) for e in one.entries(Part(0, 0, rows=table([f"s{i}" for i in range(100)])))]

    seen: dict[str, list[int]] = {}
    for header in headers(entries):
        seen.setdefault(header.source, []).append(header.position)
    assert all(positions == list(range(len(positions))) for positions in seen.values())
    assert all(source.startswith(f"file/tiny/default/{'ab' * 16}#") for source in seen)
    assert one.positions == {int(s[-2:]): len(p) for s, p in seen.items()}


def test_a_domain_without_key_columns_has_one_lane_and_packs_of_the_size_that_is_set() -> None:
    rows = pa.table({"Date": ["x"] * 25, LINE: pa.array(range(25), pa.int64())})

    entries = list(packer(AIR_QUALITY).entries(Part(0, 0, rows=rows)))

    expected = lane_of(series_key("air_quality", "default", "", "", "station-1"))
    assert [(h.count, h.position, h.source[-2:]) for h in headers(entries)] == [
        (10, 0, f"{expected:02d}"),
        (10, 1, f"{expected:02d}"),
        (5, 2, f"{expected:02d}"),
    ]


def test_bad_lines_travel_alone_in_the_lane_of_nobody() -> None:
    bad = [BadLine(i, "raw", "too_few_fields: expected 4 fields, got 1") for i in (3, 9)]

    (entry,) = packer().entries(Part(0, 0, bad=bad))

    assert entry.partition_key == f"lane-{UNREADABLE:02d}"
    assert [r[LINE] for r in rows_of([entry])] == [3, 9]
    assert headers([entry])[0].count == 2


def test_packs_that_would_be_too_large_are_split_and_lose_nothing() -> None:
    noise = random.Random(1)
    texts = [noise.randbytes(30_000).hex() for _ in range(100)]

    entries = list(packer(pack_rows=100).entries(Part(0, 0, rows=table(["s"] * 100, texts))))

    assert all(len(e.data) <= MAX_PACK_BYTES for e in entries)
    assert [h.position for h in headers(entries)] == list(range(len(entries)))
    assert len(entries) > 2
    assert [r["a"] for r in rows_of(entries)] == texts


def test_packs_never_inflate_to_more_than_readers_allow() -> None:
    entries = list(packer(pack_rows=10_000).entries(Part(0, 0, rows=table(["s"] * 400, "x" * 250_000))))

    assert len(entries) > 1
    assert [h.count for h in headers(entries)] == [len(rows_of([e])) for e in entries]


def test_ndjson_lines_travel_unchanged_by_lane() -> None:
    lines = [json.dumps({"id": f"s{i % 9}", "a": i}).encode() for i in range(60)] + [b"{broken", b"[1]"]
    part = Part(0, 0, lines=lines, numbers=list(range(1, 63)))

    entries = list(packer().entries(part))

    bodies = {e.data: packs.inflate(packs.split(e.data)[1], packs.NDJSON_ZSTD).splitlines() for e in entries}
    assert sorted(line for body in bodies.values() for line in body) == sorted(lines)
    for entry, body in bodies.items():
        header = packs.split(entry)[0]
        assert header.count == len(body)
        assert header.extra == {"lines": [lines.index(body[0]) + 1, lines.index(body[-1]) + 1]}
        lane = int(header.source[-2:])
        for line in body:
            expected = UNREADABLE if line in lines[-2:] else lane_of_item(msgspec.json.decode(line), TINY, "default")
            assert lane == expected
        assert decode(StreamRecord(1, 0, entry), header, DOMAINS, "default").domain == "tiny"


@pytest.mark.parametrize(
    ("value", "text"),
    [("x", "x"), (" x ", "x"), (None, ""), (5, "5"), (1.5, "1.5"), (True, "true"), (["a"], '["a"]')],
)
def test_a_key_field_of_any_kind_is_a_text(value: object, text: str) -> None:
    assert text_of(value) == text
