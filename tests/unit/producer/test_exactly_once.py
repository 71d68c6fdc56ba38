"""Whatever fails, and wherever the process ends: the consumer has each event that was taken, once, in order (C27)."""

from __future__ import annotations

from functools import partial
from itertools import count

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from levada.core import packs
from levada.core.errors import UnavailableError
from levada.producer import Limits, Producer
from levadactl.memory import ManualClock
from tests.unit.producer.hostile import FAULTS, SENSORS, Crash, HostileDisk, HostileStream, consumed, each_once, event

ACTIONS = st.one_of(
    st.tuples(st.just("send"), st.integers(1, 12)),
    st.tuples(st.just("table"), st.integers(1, 12)),
    st.tuples(st.sampled_from(["flush", "tick", "persist", "wait", "close"]), st.just(0)),
)
LIFE = st.tuples(st.integers(0, 60), st.floats(0, 1), st.booleans())
"""(call of the disk at which the process ends, how much of that write is there, whether the power fails too)."""


class Input:
    """A reader that begins again where the producer's mark says."""

    def __init__(self, producer: Producer) -> None:
        self.producer = producer
        self.next = producer.mark or 0

    def do(self, what: str, n: int, clock: ManualClock) -> None:
        producer, first = self.producer, self.next
        self.next += n
        if what == "send":
            for i in range(first, first + n):
                producer.send(event(i), mark=i + 1)
        elif what == "table":
            producer.send_table(pa.Table.from_pylist([event(i) for i in range(first, first + n)]), mark=first + n)
        elif what == "wait":
            clock.sleep(5)
        else:
            getattr(producer, what)()


@settings(max_examples=400)
@given(
    actions=st.lists(ACTIONS, max_size=30),
    lives=st.lists(LIFE, max_size=6),
    faults=st.lists(st.sampled_from(FAULTS), max_size=30),
    sync=st.booleans(),
)
def test_any_sequence_of_failures_ends_with_each_event_once_and_in_order(
    actions: list[tuple[str, int]], lives: list[tuple[int, float, bool]], faults: list[str], sync: bool
) -> None:
    clock, stream, sessions = ManualClock(), HostileStream(faults), (f"s{i}" for i in count())
    limits = Limits(pack_rows=3, table_pack_rows=4, interval_s=1, attempts=2, sync=sync)
    steps, lived, end = iter(actions), iter(lives), 0
    files: dict[str, bytearray] = {}
    while True:
        crash_at, part, power = next(lived, (-1, 0.0, False))
        disk = HostileDisk(files, crash_at=crash_at, part=part)
        try:
            producer = Producer(stream, clock, SENSORS, disk=disk, limits=limits, new_session=partial(next, sessions))
            reader = Input(producer)
            for what, n in steps:
                end = max(end, reader.next + n)
                reader.do(what, n, clock)
                if what == "close":
                    break
            else:
                if reader.next < end:  # what a crash had taken back
                    reader.do("send", end - reader.next, clock)
                while not producer.flush():
                    clock.sleep(60)
                producer.close()
                break
            files = disk.files
        except Crash:
            # without sync a loss of power may take events, by contract: those are another test's
            files = disk.after(power_lost=power and sync)

    assert each_once(stream.entries, end)


@settings(max_examples=200)
@given(
    lives=st.lists(LIFE, min_size=1, max_size=6),
    faults=st.lists(st.sampled_from(["", "down", "lost", "refuse0"]), max_size=10),
)
def test_without_sync_a_loss_of_power_may_take_events_but_never_gives_a_position_out_twice(
    lives: list[tuple[int, float, bool]], faults: list[str]
) -> None:
    clock, stream, sessions = ManualClock(), HostileStream(faults), (f"s{i}" for i in count())
    files: dict[str, bytearray] = {}
    offered = 0
    for crash_at, part, _ in [*lives, (-1, 0.0, False)]:
        disk = HostileDisk(files, crash_at=crash_at, part=part)
        try:
            producer = Producer(
                stream,
                clock,
                SENSORS,
                disk=disk,
                limits=Limits(pack_rows=2, sync=False),
                new_session=partial(next, sessions),
            )
            for _ in range(20):
                offered += 1  # never the same again: what is lost stays lost
                producer.send(event(offered))
            while not producer.flush():
                clock.sleep(60)
            producer.close()
        except Crash:
            pass
        files = disk.after(power_lost=True)

    bodies: dict[tuple[str, int], bytes] = {}
    for entry in stream.entries:
        header, body = packs.split(entry.data)
        assert bodies.setdefault((header.source, header.position), body) == body
    arrived = [i for ids in consumed(stream.entries).values() for i in ids]
    assert len(set(arrived)) == len(arrived)
    assert set(range(offered - 19, offered + 1)) <= set(arrived)


@pytest.mark.parametrize("power_lost", [False, True])
@pytest.mark.parametrize("sync", [False, True])
def test_the_process_may_end_at_every_single_call_of_a_second_life(sync: bool, power_lost: bool) -> None:
    reached = set()
    for crash_at in range(40):
        clock, stream, sessions = ManualClock(), HostileStream(), (f"s{i}" for i in count())
        files: dict[str, bytearray] = {}
        for life, at in enumerate((-1, crash_at, -1)):
            disk = HostileDisk(files, crash_at=at)
            try:
                limits = Limits(pack_rows=2, sync=sync)
                with Producer(
                    stream, clock, SENSORS, disk=disk, limits=limits, new_session=partial(next, sessions)
                ) as producer:
                    first = producer.mark or 0
                    for i in range(first, 20 * (life + 1)):
                        producer.send(event(i), mark=i + 1)
                        if i % 8 == 7:
                            producer.flush()
                files = disk.files
            except Crash:
                reached.add(crash_at)
                files = disk.after(power_lost=power_lost)
        if sync or not power_lost:
            assert each_once(stream.entries, 60)
        else:  # the mark may be lost with its events, then they are read again: but nothing that was sent is lost
            assert {i for ids in consumed(stream.entries).values() for i in ids} == set(range(60))
    assert len(reached) > 15


def test_without_a_folder_what_waits_at_the_end_is_an_error() -> None:
    stream = HostileStream(["down"] * 50)
    producer = Producer(stream, ManualClock(), SENSORS, limits=Limits(attempts=3))
    producer.send(event(0))

    with pytest.raises(UnavailableError, match="1 events were not sent, and there is no spool folder"):
        producer.close()


def test_with_a_folder_what_waits_at_the_end_is_sent_by_the_next_process() -> None:
    disk, stream = HostileDisk(), HostileStream(["down"] * 3)
    with Producer(stream, ManualClock(), SENSORS, disk=disk, limits=Limits(attempts=3)) as producer:
        producer.send(event(0))
    assert (producer.stats.written, producer.stats.waiting, stream.entries) == (1, 1, [])

    with Producer(stream, ManualClock(), SENSORS, disk=disk) as again:
        assert again.stats.recovered == 1

    assert each_once(stream.entries, 1)
