"""The file stage: what is sent, what the ledger and the quarantine keep, and what happens to the same content again."""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from levada.clean.decode import LINE
from levada.core import parquet
from levada.core.errors import ConflictError, UnavailableError
from levada.domains.air_quality import AIR_QUALITY
from levada.ingest import files, landed
from levada.ports import Entry
from levadactl.memory import MemorySink
from tests.unit.ingest.support import (
    DOMAINS,
    HEADER,
    KEY,
    TINY,
    Stage,
    bad,
    by_position,
    canonical,
    good,
    headers,
    rows_of,
)

BODY = HEADER + b"\n" + b"".join(b"2024-01-%02d;s%d;%d;2,5\n" % (i % 28 + 1, i % 7, i) for i in range(100))


@pytest.fixture
def stage() -> Stage:
    return Stage()


def test_the_published_file_is_read_line_by_line(stage: Stage, air_quality_file: Path) -> None:
    """B6: 9,357 rows, 114 lines of separators, nothing bad; every line of the file is accounted for."""
    outcome = stage.load(air_quality_file.read_bytes(), "landing/air_quality/AirQualityUCI.csv")

    assert outcome.status == "loaded"
    assert outcome.counts == {
        "lines": 9472,
        "rows_read": 9357,
        "bad_rows": 0,
        "empty_rows": 114,
        "packs": 19,
        "bytes": 785_065,
    }
    rows = rows_of(stage.sink.entries)
    assert [r["__line"] for r in rows] == list(range(2, 9359))
    first = {"Date": "10/03/2004", "Time": "18.00.00", "CO(GT)": "2,6", "NMHC(GT)": "150", "AH": "0,7578"}
    assert first.items() <= rows[0].items()


def _in_other_dialect(text: str, *, iso: bool) -> bytes:
    """Comma-separated, decimals quoted, BOM; or ISO times, dashes, decimal points, LF."""
    rows = [fields[:15] for fields in csv.reader(io.StringIO(text), delimiter=";") if any(fields)]
    out = io.StringIO()
    if iso:
        for fields in rows[1:]:
            fields[0], fields[1] = fields[0].replace("/", "-"), fields[1].replace(".", ":")
            fields[2:] = [f.replace(",", ".") for f in fields[2:]]
    csv.writer(out, delimiter=";" if iso else ",", lineterminator="\n" if iso else "\r\n").writerows(rows)
    return out.getvalue().encode() if iso else b"\xef\xbb\xbf" + out.getvalue().encode()


def test_other_dialects_of_the_published_file_give_the_same_values(air_quality_file: Path) -> None:
    text = air_quality_file.read_bytes().decode()
    published = Stage(pack_rows=5000)
    published.load(text.encode(), "landing/air_quality/a.csv")
    expected, refused = canonical(published.sink.entries, AIR_QUALITY)
    assert (len(expected), refused) == (9357, [])

    for iso in (False, True):
        other = Stage(pack_rows=5000)
        outcome = other.load(_in_other_dialect(text, iso=iso), "landing/air_quality/b.csv")

        assert outcome.counts["rows_read"] == 9357
        assert canonical(other.sink.entries, AIR_QUALITY) == (expected, [])


def test_bad_lines_reach_clean_with_payload_reason_and_line(stage: Stage) -> None:
    body = b'\n2024-01-01;s;1;2\nonly;two\n2024-01-02;s;x;2\n;;;\n2024-13-40;s;1;2\n1;2;3;4;5\n2024-01-03;"s;1;2\n\n'

    outcome = stage.load(HEADER + b"\n" + body)

    # the header, then: blank, good, bad, good (for now), separators, good (for now), bad, bad, blank
    assert {**outcome.counts, "bytes": 0, "packs": 0} == {
        "lines": 10,
        "rows_read": 3,
        "bad_rows": 3,
        "empty_rows": 3,
        "packs": 0,
        "bytes": 0,
    }
    rows, refused = canonical(stage.sink.entries, TINY)
    assert [(r["v:a"], r["v:b"]) for r in rows] == [(1.0, 2.0)]
    assert sorted((line, reason) for line, reason, _ in refused) == [
        (4, "too_few_fields"),
        (5, "not_a_number"),
        (7, "not_a_time"),
        (8, "too_many_fields"),
        (9, "unbalanced_quote"),
    ]
    assert (4, "too_few_fields", b"only;two") in refused
    assert (9, "unbalanced_quote", b'2024-01-03;"s;1;2') in refused


@pytest.mark.parametrize("name", ["file.csv.gz", "file.csv.zst"])
@pytest.mark.parametrize("block_bytes", [50, 4 << 20])
def test_compressed_files_give_the_rows_of_the_plain_one(stage: Stage, name: str, block_bytes: int) -> None:
    pack = gzip.compress if name.endswith("gz") else zstandard.ZstdCompressor().compress
    plain, packed = Stage(block_bytes=block_bytes), Stage(block_bytes=block_bytes)
    plain.load(BODY)

    outcome = packed.load(pack(BODY), f"landing/tiny/{name}")

    assert rows_of(packed.sink.entries) == rows_of(plain.sink.entries)
    assert outcome.counts["rows_read"] == 100


def test_ndjson_is_sent_line_by_line_as_it_is(stage: Stage) -> None:
    lines = [json.dumps({"t": "2024-01-01", "id": f"s{i % 3}", "a": i, "b": 0}) for i in range(50)]

    outcome = stage.load(("\ufeff" + "\r\n".join([*lines, "", "{broken", ""])).encode(), "landing/tiny/file.ndjson")

    assert (outcome.counts["lines"], outcome.counts["rows_read"], outcome.counts["empty_rows"]) == (52, 51, 1)
    rows, refused = canonical(stage.sink.entries, TINY)
    assert sorted(r["v:a"] for r in rows) == list(range(50))
    assert [reason for _, reason, _ in refused] == []  # clean finds the broken line when it decodes
    assert sum(h.count for h in headers(stage.sink.entries)) == 51


def test_parquet_rows_are_sent_with_their_numbers(stage: Stage) -> None:
    stage.block_rows = 7
    sink = pa.BufferOutputStream()
    columns = {"t": ["2024-01-01"] * 40, "id": [f"s{i % 3}" for i in range(40)], "a": range(40), "b": [0.5] * 40}
    pq.write_table(pa.table({k: list(v) for k, v in columns.items()}), sink, row_group_size=15)

    outcome = stage.load(sink.getvalue().to_pybytes(), "landing/tiny/file.parquet")

    assert (outcome.counts["lines"], outcome.counts["rows_read"]) == (40, 40)
    assert [(r["__line"], r["a"]) for r in rows_of(stage.sink.entries)] == [(i + 1, i) for i in range(40)]
    assert sorted(r["v:a"] for r in canonical(stage.sink.entries, TINY)[0]) == list(range(40))


def test_a_file_without_rows_is_loaded_and_sends_nothing(stage: Stage) -> None:
    outcome = stage.load(HEADER)

    assert (outcome.status, outcome.counts["lines"], stage.sink.entries) == ("loaded", 1, [])


def test_the_same_content_again_changes_nothing_but_the_counter_of_duplicates(stage: Stage) -> None:
    """Whatever its name is."""
    first = stage.load(BODY)
    sent, before = list(stage.sink.entries), json.loads(stage.blobs.objects[stage.ledger()])

    again = [stage.load(BODY), stage.load(BODY, "landing/tiny/copy.txt")]

    assert first.status == "loaded"
    assert [(o.status, o.counts) for o in again] == [("duplicate", first.counts)] * 2
    assert stage.sink.entries == sent
    after = json.loads(stage.blobs.objects[stage.ledger()])
    assert after == before | {"duplicates": 2, "names": [KEY, "landing/tiny/copy.txt"]}


def test_content_of_another_domain_is_another_file(stage: Stage) -> None:
    stage.load(BODY)

    assert stage.load(BODY, "landing/air_quality/file.csv").status == "refused"  # columns of tiny, so not loaded


@pytest.mark.parametrize("done", [True, False], ids=["loaded", "half loaded"])
def test_a_stream_that_was_made_again_gets_everything_again(done: bool) -> None:
    stage = Stage(block_bytes=200)
    stage.blobs.objects[KEY] = BODY
    left = iter([900.0] * 5 + [0.0])
    if done:
        stage.load()
    else:
        with pytest.raises(UnavailableError, match="out of time"):
            files.load(KEY, stage.deps(), remaining_s=lambda: next(left))
        assert stage.sink.entries
    whole = Stage(block_bytes=200)
    whole.load(BODY)
    stage.sink, stage.topology.created = MemorySink(), stage.topology.created + 100

    outcome = stage.load(BODY)

    assert outcome.status == "loaded"
    assert by_position(stage.sink.entries) == by_position(whole.sink.entries)
    assert stage.load(BODY).status == "duplicate"


def test_a_stream_made_again_after_the_fences_are_gone_gets_nothing_twice(stage: Stage) -> None:
    """clean has forgotten the packs by then: to send them again would count them twice."""
    stage.load(BODY)
    sent = len(stage.sink.entries)
    stage.topology.created += 100
    stage.clock.time_s += 40 * 3600

    assert stage.load(BODY).status == "duplicate"
    assert len(stage.sink.entries) == sent


def test_running_out_of_time_saves_what_was_done_and_the_next_attempt_goes_on_there() -> None:
    left = iter([900.0, 900.0, 9.0])
    stage = Stage(block_bytes=500)
    stage.blobs.objects[KEY] = BODY
    whole = Stage(block_bytes=500)
    whole.load(BODY)

    with pytest.raises(UnavailableError, match=r"landing/tiny/file.csv: out of time after line \d+; resumes there"):
        files.load(KEY, stage.deps(), remaining_s=lambda: next(left))
    first = len(stage.sink.entries)
    assert 0 < first < len(whole.sink.entries)

    assert stage.load().counts["rows_read"] == 100
    assert stage.sink.entries[first:] == whole.sink.entries[first:]


def test_an_object_that_is_gone_is_nothing_to_do(stage: Stage) -> None:
    stage.blobs.objects[KEY + ".bak"] = BODY

    assert stage.load().status == "gone"
    assert stage.blobs.objects.keys() == {KEY + ".bak"}


def test_a_folder_is_no_file(stage: Stage) -> None:
    assert stage.load(b"", "landing/tiny/").status == "ignored"
    assert stage.quarantined() == []


@pytest.mark.parametrize(
    ("key", "body", "reason"),
    [
        ("landing/weather/a.csv", BODY, "unknown_domain"),
        ("landing/a.csv", BODY, "unknown_domain"),
        ("silver/tiny/a.csv", BODY, "outside_landing"),
        ("landing/../tiny/a.csv", BODY, "unknown_domain"),
        ("landing/tiny/a.csv", b"t;id;a\n1;2;3\n", "missing_columns"),
        ("landing/tiny/a.csv", b"", "empty_file"),
        ("landing/tiny/a.xlsx", b"PK\x03\x04\0", "unsupported_format"),
        ("landing/tiny/a.csv", b"x" * 70_000, "header_too_long"),
        ("landing/tiny/a.csv.gz", gzip.compress(BODY)[:-9], "corrupt_compression"),
        ("landing/tiny/a.parquet", b"PAR1" + BODY, "corrupt_parquet"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused_and_kept(stage: Stage, key: str, body: bytes, reason: str) -> None:
    """A10 A11: refused with its reason, nothing lost."""
    outcome = stage.load(body, key)
    stage.load(None, key)

    assert (outcome.status, outcome.reason.partition(":")[0]) == ("refused", reason)
    assert stage.blobs.objects[key] == body
    assert stage.sink.entries == []
    (name,) = stage.quarantined()
    known = key.startswith("landing/tiny/")
    assert name.startswith(f"quarantine/stage=ingest/domain={'tiny' if known else '__unknown__'}/")
    (row,) = parquet.from_bytes(stage.blobs.objects[name]).to_pylist()
    assert (row["stage"], row["reason"], row["source"]) == ("ingest", reason, key)
    assert json.loads(row["payload"])["key"] == key


def test_the_same_file_refused_twice_is_one_object_and_another_content_another(stage: Stage) -> None:
    for body in (b"t;id\n", b"t;id\n", b"t;a\n"):
        stage.load(body)

    assert len(stage.quarantined()) == 2


def test_a_file_larger_than_the_disk_is_refused(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(landed, "MAX_SPOOL_BYTES", 100)

    assert stage.load(b"PAR1" + bytes(200), "landing/tiny/a.parquet").reason.startswith("file_too_large")


def test_an_object_replaced_while_it_is_hashed_sends_nothing_under_the_wrong_name(stage: Stage) -> None:
    opened = stage.blobs.open

    def replace_then_open(key: str, *, offset: int = 0) -> io.BytesIO:
        if offset:
            stage.blobs.objects[KEY] = BODY.replace(b"2,5", b"9,9")
        return io.BytesIO(opened(key, offset=offset).read())

    stage.blobs.open = replace_then_open  # type: ignore[method-assign]

    with pytest.raises(UnavailableError, match="was replaced while it was read"):
        stage.load(BODY)
    assert stage.sink.entries == []


def test_an_object_deleted_after_it_was_hashed_is_gone(stage: Stage) -> None:
    opened = stage.blobs.open

    def open_once(key: str, *, offset: int = 0) -> io.BytesIO:
        if offset:
            raise KeyError(key)
        return io.BytesIO(opened(key).read())

    stage.blobs.open = open_once  # type: ignore[method-assign]

    assert stage.load(BODY).status == "gone"


def test_an_outage_of_the_store_raises_so_that_the_event_comes_again(stage: Stage) -> None:
    stage.blobs.down = True

    with pytest.raises(UnavailableError):
        stage.load(BODY)


class _Rival(MemorySink):
    """A stream during whose puts another attempt at the same file runs to its end."""

    def __init__(self, rival: Stage, at: int) -> None:
        super().__init__()
        self._rival, self._at, self._calls = rival, at, 0

    def put(self, entries: Sequence[Entry]) -> list[str | None]:
        self._calls += 1
        if self._calls == self._at:
            self._rival.load()
        return super().put(entries)


@pytest.mark.parametrize("at", [1, 5, 20])
def test_two_attempts_at_once_send_the_same_packs_and_one_of_them_counts(at: int) -> None:
    whole = Stage(block_bytes=100)
    counts = whole.load(BODY).counts
    rival = Stage(block_bytes=100)
    stage = Stage(blobs=rival.blobs, sink=_Rival(rival, at), block_bytes=100)

    outcome = stage.load(BODY)

    assert (outcome.status, outcome.counts) == ("duplicate", counts)
    assert by_position([*stage.sink.entries, *rival.sink.entries]) == by_position(whole.sink.entries)
    assert json.loads(stage.blobs.objects[stage.ledger()])["duplicates"] == 1


def test_attempts_that_overtake_each_other_all_the_time_still_end() -> None:
    """Somebody else touches the ledger before every third put."""
    stage, puts = Stage(block_bytes=100), 0
    put_if = stage.blobs.put_if

    def contested(key: str, body: bytes, *, etag: str | None) -> str:
        nonlocal puts
        puts += 1
        if puts % 3 == 0:
            stage.blobs.objects[key] += b" "
            raise ConflictError("lost")
        return put_if(key, body, etag=etag)

    stage.blobs.put_if = contested  # type: ignore[method-assign]
    whole = Stage(block_bytes=100)

    assert stage.load(BODY).counts == whole.load(BODY).counts
    assert by_position(stage.sink.entries) == by_position(whole.sink.entries)


def test_a_ledger_that_can_never_be_written_ends_in_an_error_and_not_in_a_loop(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lost(key: str, body: bytes, *, etag: str | None) -> str:
        raise ConflictError("lost")

    monkeypatch.setattr(files, "MAX_CONFLICTS", 5)
    stage.blobs.put_if = lost  # type: ignore[method-assign]

    with pytest.raises(UnavailableError, match="changed 5 times"):
        stage.load(BODY)


def test_good_and_bad_rows_are_told_apart_by_the_reserved_columns(stage: Stage) -> None:
    stage.load(HEADER + b"\n2024-01-01;s;1;2\nx\n")

    rows = rows_of(stage.sink.entries)
    assert [r["__line"] for r in good(rows)] == [2]
    assert bad(rows) == [(3, "too_few_fields", "x")]


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_the_first_line_of_a_file_without_a_header_is_a_row(
    stage: Stage, mark: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(DOMAINS, "tiny", replace(TINY, header=("t", "id", "a", "b")))

    outcome = stage.load(mark + b"2024-01-01;s1;1;2\n2024-01-02;s1;3;4\n")

    assert [(r["t"], r[LINE]) for r in rows_of(stage.sink.entries)] == [("2024-01-01", 1), ("2024-01-02", 2)]
    assert (outcome.counts["lines"], outcome.counts["rows_read"]) == (2, 2)
