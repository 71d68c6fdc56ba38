"""The clean stage on ports in memory: exact counts, nothing twice, nothing lost (B11–B19, D27)."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from levada.clean import outgoing, stage
from levada.clean.handler import stage_deps
from levada.clean.state import CleanState
from levada.core import columns, packs, parquet
from levada.core.checkpoint import Checkpoint
from levada.core.errors import ConflictError, UnavailableError
from levada.core.packs import NDJSON_GZIP, Header
from levada.core.positions import ShardToken
from levadactl.memory import MemoryDeps
from tests.builders import ARRIVED_US, batch, pack, source_row

CHECKPOINT = "checkpoints/clean/6553f100-000000000000"


def _objects(memory: MemoryDeps, prefix: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for blob in memory.blobs.list(prefix):
        rows += parquet.from_bytes(memory.blobs.objects[blob.key]).to_pylist()
    return rows


def _run(memory: MemoryDeps, bodies: Iterable[bytes], *, first: int = 1, shard: int = 0) -> stage.Summary:
    return stage.run(batch(bodies, first=first, shard=shard), stage_deps(memory))


def _state(memory: MemoryDeps) -> CleanState:
    return CleanState.from_header(Checkpoint.peek(memory.blobs.objects[CHECKPOINT]))


def test_a_good_pack_becomes_bronze_as_it_came_and_silver_by_day() -> None:
    memory, body = MemoryDeps(), pack([source_row(0), source_row(6)])

    summary = _run(memory, [body])

    assert (summary.applied, summary.rows, summary.quarantined) == (1, 2, 0)
    assert [r["payload"] for r in _objects(memory, "bronze/domain=air_quality/date=2026-01-01/")] == [body]
    assert len(_objects(memory, "silver/domain=air_quality/date=2004-03-10/")) == 13
    assert len(_objects(memory, "silver/domain=air_quality/date=2004-03-11/")) == 13
    row = _objects(memory, "silver/")[0]
    assert (row["source"], row["position"], row["row"]) == ("file/test#01", 0, 0)
    assert (row["shard"], int(row["sequence"])) == ("6553f100-000000000000", 1)


def test_sentinels_ranges_and_missing_are_counted_per_metric() -> None:
    memory = MemoryDeps()
    rows = [source_row(0, **{"CO(GT)": "-200", "NOx(GT)": "1001", "T": ""}), source_row(1, **{"CO(GT)": "-200"})]

    _run(memory, [pack(rows)])

    counts = _state(memory).counters["air_quality"]
    assert (counts["rows"], counts["measurements"], counts["values"]) == (2, 26, 22)
    assert (counts["missing"], counts["missing:co"], counts["missing:temperature"]) == (3, 2, 1)
    assert (counts["out_of_range"], counts["out_of_range:nox"]) == (1, 1)


BAD_ROWS = {
    "not_a_number": {"CO(GT)": "abc"},
    "not_a_time": {"Date": "31/02/2004"},
    "future_time": {"Date": "10/03/2094"},
}


@pytest.mark.parametrize("reason", BAD_ROWS)
def test_a_bad_row_goes_to_quarantine_with_everything_and_its_neighbours_to_silver(reason: str) -> None:
    memory = MemoryDeps()

    _run(memory, [pack([source_row(0), source_row(1, **BAD_ROWS[reason]), source_row(2)], n=4)])

    (bad,) = _objects(memory, "quarantine/stage=clean/domain=air_quality/")
    assert (bad["reason"], bad["source"], bad["position"], bad["row"]) == (reason, "file/test#01", 4, 1)
    assert json.loads(bad["payload"]) == source_row(1, **BAD_ROWS[reason])
    assert next(iter(BAD_ROWS[reason].values())) in bad["detail"]
    assert bad["trace"] == "1-2"
    assert {r["row"] for r in _objects(memory, "silver/")} == {0, 2}
    counts = _state(memory).counters["air_quality"]
    assert (counts["rows"], counts["quarantined"], counts[f"quarantined:{reason}"]) == (2, 1, 1)


def test_a_line_that_ingest_could_not_split_is_quarantined_as_the_line_it_was() -> None:
    memory = MemoryDeps()
    table = {name: pa.array([text, ""], pa.string()) for name, text in source_row(0).items()}
    table |= {"__line": pa.array([2, 3]), "__raw": pa.array([None, "10/03/2004;18"])}
    table["__reason"] = pa.array([None, "too_few_fields: expected 15 fields, got 2"])
    header = Header(domain="air_quality", tenant="t", source="f#01", position=0, count=2, codec="arrow+zstd")

    _run(memory, [packs.encode(header, columns.to_bytes(pa.table(table)))])

    (bad,) = _objects(memory, "quarantine/")
    assert (bad["reason"], bad["detail"]) == ("too_few_fields", "expected 15 fields, got 2")
    assert (bad["payload"], bad["line"]) == (b"10/03/2004;18", 3)


def test_an_undated_row_is_kept_apart() -> None:
    memory = MemoryDeps()

    _run(memory, [pack([source_row(0, Date="", Time="")])])

    rows = _objects(memory, "silver/domain=air_quality/date=__undated__/")
    assert len(rows) == 13
    assert {(r["time"], r["quality"]) for r in rows} == {(None, 8)}
    assert _state(memory).counters["air_quality"]["undated"] == 1


UNREADABLE = {
    "not_json": b"\xff\xfe",
    "unknown_domain": b'{"domain": "weather"}',
    "not_an_object": b"[1]",
    "pack_header": b"LVP1{}\n",
    "pack_codec": b'LVP1{"v":1,"domain":"d","tenant":"t","source":"s","position":0,"count":1,"codec":"xml"}\n',
    "pack_count": packs.encode(
        Header(domain="air_quality", tenant="t", source="s", position=0, count=5, codec=NDJSON_GZIP),
        packs.compress(b"{}", NDJSON_GZIP),
    ),
}


@pytest.mark.parametrize("reason", UNREADABLE)
def test_a_record_that_cannot_be_read_never_blocks_the_ones_behind_it(reason: str) -> None:
    memory = MemoryDeps()

    summary = _run(memory, [pack([source_row(0)]), UNREADABLE[reason], pack([source_row(1)], n=1)])

    assert (summary.applied, summary.quarantined, summary.rows) == (3, 1, 2)
    (bad,) = _objects(memory, "quarantine/")
    assert (bad["reason"], bad["payload"], int(bad["sequence"])) == (reason, UNREADABLE[reason], 2)
    assert _state(memory).mark == 3


def test_plain_json_of_another_producer_is_read_with_numbers_or_text() -> None:
    memory = MemoryDeps()
    item = source_row(0) | {"CO(GT)": 2.5, "domain": "air_quality"}
    lines = json.dumps(item).encode() + b"\n" + b'{"a": 1}\n' + b"nonsense"

    _run(memory, [json.dumps(item).encode(), json.dumps([item, item]).encode(), lines])

    silver = _objects(memory, "silver/")
    assert {r["value"] for r in silver if r["metric"] == "co"} == {2.5}
    assert len(silver) == 4 * 13
    assert {r["source"][:22] for r in silver} == {"6553f100-000000000000/"}
    assert len({(r["source"], r["position"], r["row"], r["metric"]) for r in silver}) == len(silver)
    assert Counter(r["reason"] for r in _objects(memory, "quarantine/")) == {"no_known_field": 1, "not_json": 1}


@given(st.lists(st.integers(0, 5), min_size=1, max_size=12), st.data())
def test_resent_and_redelivered_packs_are_applied_once_however_the_batches_are_cut(
    numbers: list[int], data: st.DataObject
) -> None:
    memory = MemoryDeps()
    stream = [pack([source_row(n), source_row(n + 100)], n=n) for n in numbers]
    done = 0
    while done < len(stream):  # each delivery begins anywhere up to the checkpoint, as after a crash or a re-cut
        start = data.draw(st.integers(0, done))
        end = data.draw(st.integers(max(start + 1, done), len(stream)))
        _run(memory, stream[start:end], first=start + 1)
        done = max(done, end)

    silver = _objects(memory, "silver/")
    distinct = {(r["source"], r["position"], r["row"], r["metric"]) for r in silver}
    assert len(silver) == len(distinct) == len(set(numbers)) * 2 * 13
    assert _state(memory).counters["air_quality"]["rows"] == len(set(numbers)) * 2
    assert len(memory.clean.entries) == len({e.data for e in memory.clean.entries})


def test_the_second_writer_of_a_checkpoint_loses_and_a_retry_then_skips() -> None:
    memory = MemoryDeps()
    body = pack([source_row(0)])
    _run(memory, [body])
    first = memory.blobs.objects.pop(CHECKPOINT)

    class Overtaken(type(memory.blobs)):  # type: ignore[misc]  # somebody commits between our read and our put
        def put_all(self, objects: Iterable[tuple[str, bytes]]) -> None:
            super().put_all(objects)
            self.objects[CHECKPOINT] = first

    blobs = Overtaken()
    blobs.objects = memory.blobs.objects
    memory.blobs = blobs
    with pytest.raises(ConflictError):
        _run(memory, [body])

    assert _run(memory, [body]).applied == 0


def test_an_outage_raises_and_commits_nothing() -> None:
    memory = MemoryDeps()
    memory.clean.down = True

    with pytest.raises(UnavailableError):
        _run(memory, [pack([source_row(0)])])

    assert CHECKPOINT not in memory.blobs.objects


def test_rows_of_a_lane_leave_in_the_order_of_the_stream_even_when_schemas_alternate() -> None:
    memory = MemoryDeps()
    item = json.dumps(source_row(1) | {"domain": "air_quality", "CO(GT)": 1.5}).encode()

    _run(memory, [pack([source_row(0)]), item, pack([source_row(2)], n=1)])

    (entry,) = memory.clean.entries
    header, body = packs.split(entry.data)
    rows = columns.from_bytes(body)
    co = [int(s) for s, m in zip(rows["sequence"].to_pylist(), rows["metric"].to_pylist(), strict=True) if m == "co"]
    assert co == [1, 2, 3]
    assert (header.extra or {})["last"][0].endswith("3")


def test_a_pack_of_rows_carries_the_identity_of_its_own_records_only() -> None:
    """Or every lane would send the positions of the whole batch along."""
    memory = MemoryDeps()

    _run(memory, [pack([source_row(n)], n=n, tenant=f"t{n}") for n in range(3)])

    for entry in memory.clean.entries:
        rows = columns.from_bytes(packs.split(entry.data)[1])
        assert [len(rows[name].chunk(0).dictionary) for name in ("sequence", "source", "tenant")] == [1, 1, 1]
    assert len(memory.clean.entries) == 3


def test_a_child_shard_skips_what_its_parent_has_applied() -> None:
    memory = MemoryDeps()
    _run(memory, [pack([source_row(0)], n=0)])
    token = ShardToken(memory.topology.created, 1)
    memory.topology.parents_of = {token: [ShardToken(memory.topology.created, 0)]}

    summary = _run(memory, [pack([source_row(0)], n=0), pack([source_row(1)], n=1)], first=10, shard=1)

    assert (summary.duplicates, summary.rows) == (1, 1)


def test_bronze_is_named_by_arrival_not_by_a_clock() -> None:
    memory = MemoryDeps()
    memory.clock.time_s += 86_400 * 30

    _run(memory, [pack([source_row(0)])])

    assert next(memory.blobs.list("bronze/")).key.split("/")[2] == "date=2026-01-01"
    assert ARRIVED_US // 1_000_000 == 1_767_225_600


def _links(memory: MemoryDeps) -> dict[str, list[tuple[list[Any], list[Any]]]]:
    """Lane → (after, last) of its records, in order."""
    found: dict[str, list[tuple[list[Any], list[Any]]]] = {}
    for entry in memory.clean.entries:
        header = packs.split(entry.data)[0]
        assert header.extra is not None
        found.setdefault(header.source, []).append((header.extra["after"], header.extra["last"]))
    return found


def test_each_record_says_where_the_one_before_it_in_its_lane_ended() -> None:
    """So that the next stage knows what is missing when one was given up."""
    memory = MemoryDeps()
    for n in range(3):
        _run(memory, [pack([source_row(n), source_row(n + 1)], n=n)], first=n * 5 + 1)

    (lane,) = _links(memory).values()

    assert lane == [
        (["", -1], [f"{1:056d}", 1]),
        ([f"{1:056d}", 1], [f"{6:056d}", 1]),
        ([f"{6:056d}", 1], [f"{11:056d}", 1]),
    ]


def test_an_attempt_that_did_not_commit_has_moved_no_lane_on(monkeypatch: pytest.MonkeyPatch) -> None:
    memory = MemoryDeps()
    _run(memory, [pack([source_row(0)])])
    with monkeypatch.context() as patched:
        patched.setattr(memory.blobs, "put_if", _refuse)
        with pytest.raises(UnavailableError):
            _run(memory, [pack([source_row(1)], n=1)], first=2)

    _run(memory, [pack([source_row(1)], n=1), pack([source_row(2)], n=2)], first=2)

    (lane,) = _links(memory).values()
    assert [after for after, _ in lane] == [["", -1], [f"{1:056d}", 0], [f"{1:056d}", 0]]


def _refuse(*_: object, **__: object) -> str:
    raise UnavailableError("put_if: refused")


def test_a_record_that_is_too_large_is_cut_and_its_halves_are_linked(monkeypatch: pytest.MonkeyPatch) -> None:
    memory = MemoryDeps()
    monkeypatch.setattr(outgoing, "MAX_PACK_BYTES", 3_500)

    _run(
        memory,
        [
            pack(
                [
                    source_row(h, **dict.fromkeys(("CO(GT)", "NOx(GT)", "T"), f"{h % 40},{h * 7919 % 1000}"))
                    for h in range(300)
                ]
            )
        ],
    )

    (lane,) = _links(memory).values()
    assert len(lane) > 1
    assert [after for after, _ in lane[1:]] == [last for _, last in lane[:-1]]


def _packed_lines(rows: list[dict[str, str]]) -> bytes:
    body = packs.compress(b"".join(json.dumps(row).encode() + b"\n" for row in rows), NDJSON_GZIP)
    header = Header(domain="air_quality", tenant="default", source="s", position=0, count=len(rows), codec=NDJSON_GZIP)
    return packs.encode(header, body)


FORMS = {
    "columns": lambda rows: [pack(rows)],
    "lines in a pack": lambda rows: [_packed_lines(rows)],
    "plain lines": lambda rows: [b"\n".join(json.dumps(r | {"domain": "air_quality"}).encode() for r in rows)],
    "records": lambda rows: [json.dumps(r | {"domain": "air_quality"}, indent=1).encode() for r in rows],
}


@pytest.mark.parametrize("form", FORMS)
def test_a_row_that_makes_too_large_a_record_is_quarantined_and_the_rows_around_it_go_on(
    form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A poison record otherwise: no retry makes it smaller, and the shard would stand still (B18)."""
    memory = MemoryDeps()
    bodies = FORMS[form]([source_row(h) for h in range(4)])
    real = columns.to_bytes

    def to_bytes(table: pa.Table) -> bytes:
        """As if what the third row becomes were incompressible."""
        hours = {at.hour for at in table["time"].to_pylist()}
        return real(table) + bytes(packs.MAX_PACK_BYTES if 20 in hours else 0)

    monkeypatch.setattr(columns, "to_bytes", to_bytes)

    summary = _run(memory, bodies)

    assert (summary.rows, summary.quarantined) == (3, 1)
    (refused,) = _objects(memory, "quarantine/")
    assert refused["reason"] == "record_too_large"
    assert refused["detail"].startswith("makes a record of 100")
    assert json.loads(refused["payload"])["Time"] == "20.00.00"
    assert (refused["row"], int(refused["sequence"])) == ((0, 3) if form == "records" else (2, 1))
    counts = _state(memory).counters["air_quality"]
    assert (counts["rows"], counts["quarantined:record_too_large"]) == (3, 1)
    assert len(_objects(memory, "silver/")) == 3 * 13
    sent = [columns.from_bytes(packs.split(entry.data)[1]).num_rows for entry in memory.clean.entries]
    assert sum(sent) == 3 * 13
    (lane,) = _links(memory).values()
    assert [after for after, _ in lane[1:]] == [last for _, last in lane[:-1]]
    assert _run(memory, bodies).applied == 0


@pytest.mark.parametrize("early", ["0000-01-01T00:00:00Z", "0001-01-01T00:00:00+23:00", "0000-12-31 23:59:59"])
def test_a_time_before_the_calendar_is_none_and_stops_nothing(early: str) -> None:
    """A date of the year 0 has no name in the lake; an offset may lead there too (B12, B18)."""
    memory = MemoryDeps()
    items = [{"domain": "telemetry", "timestamp": at, "unit": "u", "x": 1} for at in (early, "2004-03-10T18:00:00Z")]

    summary = _run(memory, [json.dumps(item).encode() for item in items])

    assert (summary.rows, summary.quarantined) == (1, 1)
    assert _objects(memory, "quarantine/")[0]["reason"] == "not_a_time"


def test_a_year_of_three_digits_is_a_year_beside_others() -> None:
    memory = MemoryDeps()
    items = [
        {"domain": "telemetry", "timestamp": at, "unit": "u", "x": 1} for at in ("0999-01-01T00:00:00Z", "2004-03-10")
    ]

    assert _run(memory, [json.dumps(item).encode() for item in items]).rows == 2
