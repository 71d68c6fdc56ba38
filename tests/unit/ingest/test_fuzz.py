"""Whatever comes in (figure 6 of issue 6): no crash, no hang, nothing lost without a word, and no bomb goes off.

Every way in is fed through the real handlers: HTTP requests, landed files, stream records.
"""

from __future__ import annotations

import base64
import gzip
import io
import json
import os
from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bench.harness import forget_peak, peak_mib, rss_mib
from levada.clean import reading
from levada.core import columns, packs
from levada.core.jsontext import NOT_JSON
from levada.core.kinesis_event import Batch
from levada.core.packs import ARROW_ZSTD, CODECS, MAX_BODY_BYTES, MAX_PACK_ROWS, NDJSON_GZIP, NDJSON_ZSTD, Header
from levada.domains.registry import registered
from levada.ingest.files import LOADED, REFUSED
from levada.ingest.http_handler import ROUTES, handler
from levada.ingest.http_request import BATCH
from levada.wiring import using
from levadactl.memory import MemoryDeps
from tests.unit.ingest.support import DOMAINS, HEADER, Stage

EXAMPLES = int(os.environ.get("LEVADA_FUZZ", "300"))
"""``make fuzz EXAMPLES=20000`` looks further."""
RULES = reading.Rules(domains=DOMAINS, tenant="default", latest_us=2**62)
GOOD = b'{"t":"2024-01-01","id":"s1","a":1,"b":"2,5"}'


def read(datas: Sequence[bytes], rules: reading.Rules = RULES) -> reading.Reading:
    """What clean makes of the records."""
    if not datas:
        return reading.Reading()
    n = len(datas)
    numbers = [str(i) for i in range(n)]
    return reading.read(Batch("", "shardId-000000000000", numbers, [0.0] * n, list(datas), [""] * n), 0, rules, yes)


def yes(_: Header) -> bool:
    return True


def rows_of(found: reading.Reading) -> list[int]:
    """The record of each good row."""
    return sorted(rec for table in found.tables if table.rows.num_rows for rec in table.rows["rec"].to_pylist())


# ---------------------------------------------------------------- stream records


def pack(body: bytes, codec: str, count: int, **fields: Any) -> bytes:
    header = {"v": 1, "domain": "tiny", "tenant": "t", "source": "s#01", "position": 0, "count": count, "codec": codec}
    return packs.MAGIC + json.dumps(header | fields).encode() + b"\n" + body


def body_of(codec: str, rows: int = 2) -> bytes:
    if codec == ARROW_ZSTD:
        texts = pa.array(["s1"] * rows).dictionary_encode()
        return columns.to_bytes(
            pa.table({"t": ["2024-01-01"] * rows, "id": texts, "a": [1.5] * rows, "b": ["2"] * rows})
        )
    return packs.compress((GOOD + b"\n") * rows, codec)


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """A pack with some of its bytes changed, cut off, or put in."""
    codec = draw(st.sampled_from(CODECS))
    data = bytearray(pack(body_of(codec), codec, 2))
    if codec != NDJSON_GZIP and draw(st.booleans()):  # what stands behind the compression
        inner = bytearray(packs.inflate(body_of(codec), codec))
        for _ in range(draw(st.integers(1, 4))):
            inner[draw(st.integers(0, len(inner) - 1))] = draw(st.integers(0, 255))
        return pack(packs.compress(bytes(inner), codec), codec, 2)
    for _ in range(draw(st.integers(1, 4))):
        data[draw(st.integers(0, len(data) - 1))] = draw(st.integers(0, 255))
    end = draw(st.integers(0, len(data)))
    return bytes(data[:end] if draw(st.booleans()) else data) + draw(st.binary(max_size=4))


RECORD = st.one_of(
    damaged(),
    st.binary(max_size=200),
    st.binary(max_size=200).map(lambda d: packs.MAGIC + d),
    st.text(alphabet='{}[]",:0123456789.eE+-ntaidb \n\\', max_size=80).map(str.encode),
)


@settings(max_examples=EXAMPLES)
@given(records=st.lists(RECORD, max_size=4))
def test_no_record_takes_the_good_ones_beside_it_along(records: list[bytes]) -> None:
    """Each is rows, or stands in quarantine: the batch goes on."""
    good = [pack(body_of(codec), codec, 2) for codec in CODECS]
    batch = [good[0], *records, *good[1:]]

    found = read(batch)

    rows = rows_of(found)
    first = [0, *range(len(batch) - len(good) + 1, len(batch))]
    assert [rows.count(i) for i in first] == [2, 2, 2]
    accounted = {*rows, *(bad.record for bad, _ in found.bad), *(i for many in found.records.values() for i in many)}
    assert accounted == set(range(len(batch)))


@pytest.mark.parametrize("record", [b"[" * 100_000, b'{"a":' * 100_000, b'{"t":' + b"[" * 5000 + b"]" * 5000 + b"}"])
@pytest.mark.parametrize("domain", ["tiny", *registered()])
def test_a_record_nested_without_end_is_quarantined(record: bytes, domain: str) -> None:
    named = record.replace(b"{", b'{"domain":"%b",' % domain.encode(), 1)
    rules = reading.Rules(domains={**DOMAINS, **registered()}, tenant="default", latest_us=2**62)
    packed = pack(packs.compress(record, NDJSON_ZSTD), NDJSON_ZSTD, 1, domain=domain)

    found = read([GOOD.replace(b"{", b'{"domain":"tiny",', 1), record, named, packed], rules)

    assert rows_of(found) == [0]
    assert {bad.record for bad, _ in found.bad} == {1, 2, 3}


def arrow_stream(table: pa.Table, compression: str | None = None) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema, options=pa.ipc.IpcWriteOptions(compression=compression)) as writer:
        writer.write_table(table)
    return packs.compress(sink.getvalue().to_pybytes(), ARROW_ZSTD)


def unsized(data: bytes) -> bytes:
    """A frame that does not say what it inflates to."""
    packer = zstandard.ZstdCompressor(level=19).compressobj()
    return packer.compress(data) + packer.flush()


ZEROS = bytes(MAX_BODY_BYTES + 1)
LYING = packs.compress(ZEROS, NDJSON_ZSTD)[:4] + b"\x04" + unsized(ZEROS)[5:]
NOTHING = pa.table({"a": pa.Array.from_buffers(pa.null(), (1 << 31) - 1, [None])})
MANY = pa.table({"a": columns.zeros(9_000_000, pa.float64())})
LONG = pa.array(["x" * 100_000]).dictionary_encode()
SHARED = pa.DictionaryArray.from_arrays(pa.array([0] * 20_000, pa.int32()), LONG.dictionary)
BOMBS = {
    "gzip": lambda: pack(gzip.compress(ZEROS), NDJSON_GZIP, 1),
    "zstd that says its size": lambda: pack(packs.compress(ZEROS, NDJSON_ZSTD), NDJSON_ZSTD, 1),
    "zstd that does not": lambda: pack(unsized(ZEROS), NDJSON_ZSTD, 1),
    "zstd that lies": lambda: pack(
        packs.compress(ZEROS, NDJSON_ZSTD)[:4] + b"\x04" + unsized(ZEROS)[5:], NDJSON_ZSTD, 1
    ),
    "empty lines": lambda: pack(packs.compress(b"\n" * (MAX_BODY_BYTES - 1), NDJSON_ZSTD), NDJSON_ZSTD, 1),
    "empty lines, counted": lambda: pack(packs.compress(b"\n" * (1 << 25), NDJSON_ZSTD), NDJSON_ZSTD, 1 << 25),
    "a plain record of a million lines": lambda: b"{}\n" * 300_000,
    "a plain array of a million items": lambda: b"[" + b"0," * 500_000 + b"0]",
    "arrow, zstd": lambda: pack(packs.compress(ZEROS, ARROW_ZSTD), ARROW_ZSTD, 1),
    "arrow, compressed within": lambda: pack(arrow_stream(MANY, "zstd"), ARROW_ZSTD, 9_000_000),
    "arrow, rows of nothing": lambda: pack(arrow_stream(NOTHING), ARROW_ZSTD, (1 << 31) - 1),
    "arrow, rows of nothing, uncounted": lambda: pack(arrow_stream(NOTHING), ARROW_ZSTD, 3),
    "arrow, one long text for all rows": lambda: pack(arrow_stream(pa.table({"id": SHARED})), ARROW_ZSTD, 20_000),
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_refused_within_bounds(name: str) -> None:
    bomb = BOMBS[name]()
    assert len(bomb) <= 1024 * 1024
    forget_peak()
    before = rss_mib()

    found = read([pack(body_of(ARROW_ZSTD), ARROW_ZSTD, 2), bomb])

    assert rows_of(found) == [0, 0]
    assert {bad.record for bad, _ in found.bad} == {1}
    assert len(found.bad) == 1
    assert peak_mib() - before < 4 * MAX_BODY_BYTES / 2**20


def test_a_pack_of_more_rows_than_any_producer_makes_is_refused() -> None:
    found = read([pack(body_of(NDJSON_ZSTD, 3), NDJSON_ZSTD, MAX_PACK_ROWS + 1)])

    assert [bad.reason for bad, _ in found.bad] == ["pack_rows"]


# ---------------------------------------------------------------- files


def parquet(table: pa.Table) -> bytes:
    sink = io.BytesIO()
    pq.write_table(table, sink)
    return sink.getvalue()


PARQUET = parquet(pa.table({"t": ["2024-01-01"] * 9, "id": ["s"] * 9, "a": [1.0] * 9, "b": list(range(9))}))
LINE = st.one_of(
    st.sampled_from([b"2024-01-01;s1;1;2", b'2024-01-02;"s;2";3,5;-200', b";;;", b"", b'"', b'a"b;"";c;d', b"\r"]),
    st.binary(max_size=30),
    st.text(alphabet='";,\n\r 0123456789\t', max_size=30).map(str.encode),
)
TEXT = st.lists(LINE, max_size=30).map(b"\n".join)
JSONS = st.lists(st.sampled_from([GOOD, b"{", b"[", b"]", b",", b'"', b"\\", b"1", b" ", b"\n", b"null"]), max_size=30)


@st.composite
def file(draw: st.DrawFn) -> tuple[str, bytes]:
    """(name, bytes): something that looks like a file that is read, more or less."""
    kind = draw(st.sampled_from(["csv", "csv", "ndjson", "json", "parquet", "any"]))
    if kind == "csv":
        body = HEADER + b"\n" + draw(TEXT)
    elif kind in ("ndjson", "json"):
        body = draw(st.sampled_from([b"", b"["])) + b"".join(draw(JSONS))
    elif kind == "parquet":
        changed = bytearray(PARQUET)
        for _ in range(draw(st.integers(0, 3))):
            changed[draw(st.integers(4, len(changed) - 1))] = draw(st.integers(0, 255))
        body = bytes(changed)
    else:
        body = draw(st.binary(max_size=300))
    ending = draw(st.sampled_from(["", ".gz", ".zst"]))
    if ending == ".gz":
        body = gzip.compress(body)
    elif ending == ".zst":
        body = zstandard.ZstdCompressor().compress(body)
    if draw(st.booleans()):
        body = draw(st.sampled_from([b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff", b""])) + body
    return f"landing/tiny/a.{kind}{ending}", body


@settings(max_examples=EXAMPLES)
@given(landed=file(), block=st.integers(30, 400))
def test_every_line_of_a_file_is_a_row_or_empty_or_in_quarantine(landed: tuple[str, bytes], block: int) -> None:
    stage = Stage(block_bytes=block, block_rows=4, pack_rows=3)

    outcome = stage.load(landed[1], landed[0])

    if outcome.status == REFUSED:
        assert outcome.reason
        assert len(stage.quarantined()) == 1
        return
    counts = outcome.counts
    header = 1 if "csv" in landed[0] or (landed[1] and counts["lines"] > sum_of(counts)) else 0
    assert outcome.status == LOADED
    assert counts["lines"] == header + sum_of(counts)
    found = read([entry.data for entry in stage.sink.entries])
    assert len(rows_of(found)) + len(found.bad) == counts["rows_read"] + counts["bad_rows"]


def sum_of(counts: Any) -> int:
    return int(counts["rows_read"] + counts["bad_rows"] + counts["empty_rows"])


@pytest.mark.parametrize(
    ("texts", "says"),
    [
        (pa.DictionaryArray.from_arrays(pa.array([0] * 40_000, pa.int32()), pa.array(["x" * 500_000])), "decode to"),
        (pa.array(["s" * (1 << 28), "s"]), "inflates to"),
    ],
)
def test_a_parquet_file_that_inflates_to_gigabytes_is_refused_within_bounds(texts: pa.Array, says: str) -> None:
    n = len(texts)
    body = parquet(pa.table({"t": ["2024-01-01"] * n, "id": texts, "a": [1.0] * n, "b": [2.0] * n}))
    assert len(body) < 20 * 2**20
    forget_peak()
    before = rss_mib()

    outcome = Stage().load(body, "landing/tiny/a.parquet")

    assert (outcome.status, outcome.reason.partition(":")[0]) == (REFUSED, "file_too_large")
    assert says in outcome.reason
    assert peak_mib() - before < 300


@pytest.mark.parametrize("pack_with", [gzip.compress, zstandard.ZstdCompressor().compress])
def test_a_file_that_inflates_to_a_thousand_times_its_size_is_read_in_constant_memory(pack_with: Any) -> None:
    body = pack_with(HEADER + (b"\n" + b" " * 999) * (1 << 18))
    stage = Stage()
    forget_peak()
    before = rss_mib()

    outcome = stage.load(body, "landing/tiny/a.csv")

    assert outcome.counts["empty_rows"] == 1 << 18
    assert peak_mib() - before < 250


# ---------------------------------------------------------------- HTTP


def send(memory: MemoryDeps, event: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    with using(memory):
        answer = handler(event, None)
    assert answer["headers"]["Content-Type"] == "application/json"
    return answer["statusCode"], json.loads(answer["body"])


def request(path: str, body: bytes, kind: str = "application/json", **headers: str) -> dict[str, Any]:
    return {
        "path": path,
        "httpMethod": "POST",
        "headers": {"Content-Type": kind, **headers},
        "queryStringParameters": {"domain": "air_quality"},
        "requestContext": {"requestId": "r"},
        "body": base64.b64encode(body).decode(),
        "isBase64Encoded": True,
    }


TYPES = st.sampled_from(
    ["application/json", "application/x-ndjson", "application/gzip", "multipart/form-data; boundary=X", "text/csv", "x"]
)
FORM = b'--X\r\nContent-Disposition: form-data; name="file"; filename="%b"\r\n\r\n%b\r\n--X--'
PIECES = [GOOD, b"{}", b"[", b"]", b",", b"\n", b'{"T":', b"1}", b"NaN", b"\xff"]
NAMES = st.sampled_from(["Content-Encoding", "Idempotency-Key", "x"])
BODY = st.one_of(
    st.binary(max_size=200),
    st.lists(st.sampled_from([GOOD, b"{}", b"[", b"]", b",", b"\n", b'{"T":', b"1}", b"NaN", b"\xff"]), max_size=9).map(
        b"".join
    ),
    st.tuples(st.binary(max_size=20), st.binary(max_size=60)).map(lambda two: FORM % two),
    st.binary(max_size=60).map(gzip.compress),
)


@settings(max_examples=EXAMPLES)
@given(
    path=st.sampled_from([*ROUTES, "/v1/event/", "/"]),
    body=BODY,
    kind=TYPES,
    more=st.dictionaries(
        st.sampled_from(["Content-Encoding", "Idempotency-Key", "x"]), st.text(max_size=8), max_size=2
    ),
    as_text=st.booleans(),
    query=st.none() | st.dictionaries(st.sampled_from(["domain", "name", "url"]), st.text(max_size=9), max_size=3),
)
def test_any_request_is_answered(
    path: str, body: bytes, kind: str, more: dict[str, str], as_text: bool, query: dict[str, str] | None
) -> None:
    memory = MemoryDeps()
    event = request(path, body, kind, **more) | {"queryStringParameters": query}
    if as_text:
        event |= {"body": body.decode(errors="replace"), "isBase64Encoded": False}

    status, answer = send(memory, event)

    assert status in (200, 201, 202) or 400 <= status < 500
    assert status < 300 or "error" in answer or answer["failed"]
    if status == 200 and "total" in answer:
        assert answer["total"] == answer["success"] + answer["failed"]
        assert sum(packs.split(entry.data)[0].count for entry in memory.raw.entries) == answer["success"]
    assert all(key.startswith("landing/") and ".." not in key for key in memory.blobs.objects)


VALUE = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**20), 10**20),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=6),
    st.sampled_from(["1", " 2,5 ", "1e5", "1.", ".", "-", "+.5", "1 000", "", "  ", "nan", "inf", "0x1", "１", "1_0"]),
    st.sampled_from(["2026-01-01", "2026-01-01T10:00:00Z", "31/12/2025", "18.00.00", "1767225600", "2026-02-30", "x"]),
    st.lists(st.integers(), max_size=2),
    st.dictionaries(st.text(max_size=2), st.integers(), max_size=1),
)
PLAIN_DOMAINS = {name: one for name, one in registered().items() if one.derive is None}


TIMES = st.sampled_from(["2025-12-31T23:59:59Z", "31/12/2025", "2025-12-31 10:00:00", "10.00.00"])


@st.composite
def item(draw: st.DrawFn) -> dict[str, Any]:
    domain = PLAIN_DOMAINS[draw(st.sampled_from(sorted(PLAIN_DOMAINS)))]
    names = draw(st.lists(st.sampled_from(sorted(domain.columns)), unique=True))
    found = {name: draw(VALUE) for name in names}
    for name in domain.time.columns:  # mostly a time that somebody would write
        if draw(st.booleans()):
            found[name] = draw(
                st.sampled_from(["2025-12-31T23:59:59Z", "31/12/2025", "2025-12-31 10:00:00", "10.00.00"])
            )
    return found | {"domain": domain.name}


@settings(max_examples=EXAMPLES)
@given(items=st.lists(item(), min_size=1, max_size=5))
@example(items=[{"domain": "sensor", "timestamp": 1767226200000001.0, "machine_id": 0, "metric": 0, "sensor_id": 0}])
def test_what_is_accepted_over_http_is_what_clean_takes(items: list[dict[str, Any]]) -> None:
    """Nobody is told "accepted" of a row that ends in quarantine, nor refused one that a file may bring."""
    memory = MemoryDeps()
    texts = [json.dumps(one, ensure_ascii=False).encode() for one in items]

    status, answer = send(memory, request(BATCH, b"\n".join(texts), "application/x-ndjson"))

    rules = reading.Rules(domains=registered(), tenant="default", latest_us=2**62)
    ahead = any("ahead of now" in error["reason"] for error in answer["errors"])
    assert status == 200 or (status == 422 and ahead), answer  # 422: the skew limit, where nothing was accepted
    assert read([entry.data for entry in memory.raw.entries], rules).bad == []
    for error in answer["errors"]:
        if "ahead of now" not in error["reason"]:
            assert read([texts[error["index"]]], rules).bad, error


@given(text=st.text(alphabet='{}[]",:ab\\ ', max_size=40))
def test_a_strict_reader_sees_every_second_key(text: str) -> None:
    """What json itself finds with a hook for pairs, and nothing else."""
    from levada.core.jsontext import fault_of

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        assert len(dict(pairs)) == len(pairs)
        return dict(pairs)

    try:
        value = json.loads(text)
    except (ValueError, *NOT_JSON):
        return
    try:
        json.loads(text, object_pairs_hook=once)
        expected = False
    except AssertionError:
        expected = True
    assert bool(fault_of(text.encode(), value)) == expected
