"""What the producer does when nothing dies: packs, order, intervals, repeats, limits (B9, A28, C27)."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pyarrow as pa
import pytest

from levada.core import columns, packs
from levada.core.errors import ConfigError
from levada.core.packs import ARROW_ZSTD, NDJSON_ZSTD, partition_key
from levada.ingest.lanes import UNREADABLE, lane_of_item
from levada.producer import Limits, Producer, SpoolFullError
from levada.producer.tables import by_lane
from levadactl.memory import ManualClock, MemorySink
from tests.unit.producer.hostile import (
    SENSORS,
    SERIES,
    HostileStream,
    consumed,
    each_once,
    event,
    sent_until_refused,
)


def producer(stream: Any, clock: ManualClock | None = None, **limits: Any) -> Producer:
    return Producer(stream, clock or ManualClock(), SENSORS, limits=Limits(**limits))


def test_an_event_travels_in_the_lane_that_every_other_way_in_gives_it() -> None:
    stream = MemorySink()
    with producer(stream) as made:
        made.send_all(event(i) for i in range(100))

    expected: dict[str, list[int]] = {}
    for i in range(100):
        expected.setdefault(partition_key(lane_of_item(event(i), SENSORS, "default")), []).append(i)
    assert consumed(stream.entries) == expected
    assert {packs.split(entry.data)[0].codec for entry in stream.entries} == {NDJSON_ZSTD}


def test_positions_of_a_lane_are_numbered_without_gaps_for_texts_and_tables_alike() -> None:
    stream = MemorySink()
    with producer(stream, pack_rows=4, table_pack_rows=5) as made:
        made.send_all(event(i) for i in range(30))
        made.send_table(pa.Table.from_pylist([event(i) for i in range(30, 60)]))
        made.send_all(event(i) for i in range(60, 90))

    assert each_once(stream.entries, 90)
    positions: dict[str, list[int]] = {}
    for entry in stream.entries:
        header = packs.split(entry.data)[0]
        positions.setdefault(header.source, []).append(header.position)
    assert all(found == list(range(len(found))) for found in positions.values())


def test_packs_are_made_when_lanes_are_full_on_average_when_time_is_up_and_on_flush() -> None:
    clock, stream = ManualClock(), MemorySink()
    made = producer(stream, clock, pack_rows=10, interval_s=5)

    made.send_all(event(i * SERIES) for i in range(9))  # one sensor, one lane
    assert stream.entries == []
    made.send(event(9 * SERIES))
    assert [packs.split(entry.data)[0].count for entry in stream.entries] == [10]
    made.send(event(10 * SERIES))
    clock.sleep(4.9)
    made.tick()
    assert len(stream.entries) == 1
    clock.sleep(0.1)
    made.tick()
    assert len(stream.entries) == 2
    made.send(event(11 * SERIES))
    assert made.flush()
    assert len(stream.entries) == 3


def test_only_what_was_refused_is_sent_again_and_before_what_stands_behind_it() -> None:
    stream = HostileStream(["refuse0", "refuse1"])
    clock = ManualClock()
    start_s = clock.now_s()
    with producer(stream, clock, pack_rows=2) as made:
        made.send_all(event(i) for i in range(60))

    assert each_once(stream.entries, 60)
    sources = [(h.source, h.position) for h in (packs.split(entry.data)[0] for entry in stream.entries)]
    assert len(set(sources)) == len(sources), "what was acknowledged is not sent again"
    assert made.stats.retries > 0
    assert clock.now_s() > start_s, "waits between attempts"


def test_an_answer_that_is_lost_has_the_same_packs_sent_again() -> None:
    stream = HostileStream(["lost"])
    with producer(stream) as made:
        made.send_all(event(i) for i in range(20))

    sent = [entry.data for entry in stream.entries]
    assert len(sent) == 2 * len(set(sent))
    assert each_once(stream.entries, 20)


def test_while_the_stream_is_down_sending_does_not_wait_for_it() -> None:
    clock, stream = ManualClock(), HostileStream(["down"] * 1000)
    made = producer(stream, clock, pack_rows=1)
    start_s = clock.now_s()

    made.send_all(event(i) for i in range(500))

    assert clock.now_s() == start_s
    assert stream.requests == 1, "the next attempt is due later"
    assert made.stats.waiting == 500
    clock.sleep(3600)
    made.tick()
    assert stream.requests == 2
    stream.faults.clear()
    assert made.flush()
    assert each_once(stream.entries, 500)


def test_pauses_between_attempts_grow_up_to_half_a_minute() -> None:
    clock, stream = ManualClock(), HostileStream(["down"] * 1000)
    made = producer(stream, clock, attempts=12)
    made.send(event(0))
    start_s = clock.now_s()

    assert not made.flush()

    # 0.75 (a jitter of one half) of 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6, then of 30
    assert clock.now_s() - start_s == pytest.approx(0.75 * (50.8 + 5 * 30))


def test_a_full_spool_refuses_the_next_event_and_loses_none_that_it_took() -> None:
    clock, stream = ManualClock(), HostileStream(["down"] * 10_000)
    made = producer(stream, clock, pack_rows=1, spool_bytes=20_000)
    taken = sent_until_refused(made)
    with pytest.raises(SpoolFullError, match="wait to be sent, the limit is 20000"):
        made.send(event(taken))

    stream.faults.clear()
    clock.sleep(60)
    made.tick()
    made.send(event(taken))
    made.close()
    assert 50 < taken < 1000
    assert each_once(stream.entries, taken + 1)


def test_a_table_is_refused_as_a_whole_when_the_spool_is_full() -> None:
    stream = HostileStream(["down"] * 100)
    made = producer(stream, spool_bytes=1)
    made.send_table(pa.Table.from_pylist([event(0)]))

    with pytest.raises(SpoolFullError):
        made.send_table(pa.Table.from_pylist([event(1)]))

    assert (made.stats.taken, made.stats.waiting) == (1, 1)


def test_lines_are_taken_as_they_stand_and_broken_ones_too() -> None:
    stream = MemorySink()
    lines = [b'{"sensor":"s1","value":1}', b'{"sensor":"s1",', b"[]", b'  {"sensor":7,"value":2}  ']
    with producer(stream) as made:
        for line in lines:
            made.send_line(line)
        with pytest.raises(ValueError, match="must be one event"):
            made.send_line(b'{"value":1}\n{"value":2}')

    found = {e.partition_key: packs.inflate(packs.split(e.data)[1], NDJSON_ZSTD).splitlines() for e in stream.entries}
    assert found[partition_key(lane_of_item({"sensor": "s1"}, SENSORS, "default"))] == [lines[0]]
    assert found[partition_key(lane_of_item({"sensor": 7}, SENSORS, "default"))] == [lines[3].strip()]
    assert found[partition_key(UNREADABLE)] == [lines[1], lines[2]]


@pytest.mark.parametrize("sensor", [1, 1.0, True, None, "1", " 1 "])
def test_a_key_is_remembered_by_its_text_only(sensor: object) -> None:
    stream = MemorySink()
    item = event(0) | {"sensor": sensor}
    with producer(stream, pack_rows=100) as made:
        made.send_all([event(0) | {"sensor": other} for other in (True, 1.0, 1, None, "1")])
        made.send(item)

    assert partition_key(lane_of_item(item, SENSORS, "default")) in {entry.partition_key for entry in stream.entries}


def test_what_json_cannot_hold_and_what_no_pack_can_hold_is_refused_and_nothing_is_taken() -> None:
    made = producer(MemorySink())

    with pytest.raises(TypeError):
        made.send(event(0) | {"value": object()})
    with pytest.raises(ValueError, match="at most"):
        made.send(event(0) | {"note": "x" * 1_000_000})

    assert made.stats.taken == 0


def test_a_stream_that_is_not_there_is_an_error_and_the_event_waits() -> None:
    class Missing(MemorySink):
        def put(self, entries: Any) -> list[str | None]:
            raise ConfigError("put 1 records on nowhere: ResourceNotFoundException")

    made = producer(Missing())
    made.send(event(0))

    with pytest.raises(ConfigError, match="nowhere"):
        made.flush()

    assert made.stats.waiting == 1


def test_a_pack_of_many_large_events_is_cut_until_each_part_fits() -> None:
    stream = MemorySink()
    import random

    dice = random.Random(1)
    with producer(stream, pack_rows=10) as made:
        made.send_all(event(i * SERIES) | {"note": dice.randbytes(150_000).hex()} for i in range(10))

    assert sum(packs.split(entry.data)[0].count for entry in stream.entries) == 10
    assert len(stream.entries) > 1
    assert all(len(entry.data) <= packs.MAX_PACK_BYTES for entry in stream.entries)


def test_the_rows_of_a_table_go_to_the_lanes_of_their_events_whatever_the_type_of_the_key() -> None:
    rows = [event(i) | {"sensor": [None, "a", "b"][i % 3]} for i in range(50)]
    numbers = [event(i) | {"sensor": i % 7} for i in range(50)]
    for items in (rows, numbers):
        table = pa.Table.from_pylist(items)
        coded = table.set_column(0, "sensor", table["sensor"].combine_chunks().dictionary_encode())
        for one in (table, coded, pa.concat_tables([table.slice(0, 20), table.slice(20)])):
            found = {lane: part["value"].to_pylist() for lane, part in by_lane(one, SENSORS, "t")}
            expected: dict[int, list[int]] = {}
            for item in items:
                expected.setdefault(lane_of_item(item, SENSORS, "t"), []).append(item["value"])
            assert found == expected


def test_a_slice_of_a_table_carries_no_texts_of_other_rows() -> None:
    stream = MemorySink()
    table = pa.table({"sensor": pa.array([f"sensor-{i:06}" for i in range(20_000)]).dictionary_encode()})
    table = table.append_column("value", pa.array(range(20_000)))
    with producer(stream, table_pack_rows=100) as made:
        made.send_table(table)

    body = packs.split(stream.entries[0].data)[1]
    assert len(columns.from_bytes(body)["sensor"].combine_chunks().dictionary) == 100
    assert {packs.split(entry.data)[0].codec for entry in stream.entries} == {ARROW_ZSTD}


def test_the_numbers_add_up() -> None:
    stream = HostileStream(["", "down", "down"])
    made = producer(stream, pack_rows=10)
    made.send_all(event(i * SERIES) for i in range(25))
    stats = made.stats

    assert stats.taken == stats.buffered + stats.written == 25
    assert stats.written + stats.recovered == stats.sent + stats.waiting


@pytest.mark.parametrize("limits", [{"pack_rows": 0}, {"pack_rows": 10_001}, {"spool_bytes": 0}, {"attempts": 0}])
def test_a_limit_out_of_range_is_refused_by_name(limits: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(limits))}="):
        Limits(**limits)


def test_an_edge_device_needs_neither_pyarrow_nor_numpy_nor_boto3() -> None:
    program = """
import sys
for name in ("pyarrow", "numpy", "pandas", "boto3", "botocore"):
    sys.modules[name] = None  # an import of it raises
from levada.domains.air_quality import AIR_QUALITY
from levada.producer import Producer
from levada.wiring import SystemClock
class Sink:
    def put(self, entries):
        return [None] * len(entries)
with Producer(Sink(), SystemClock(), AIR_QUALITY) as producer:
    producer.send({"Date": "2025-12-01", "Time": "18:00:00", "CO(GT)": 2.6})
print(producer.stats.sent, *sorted(m for m in sys.modules if m.split(".")[0] == "levada"))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert done.stdout.startswith("1 ")
    assert not [name for name in done.stdout.split()[1:] if name.startswith(("levada.adapters", "levada.clean"))]
