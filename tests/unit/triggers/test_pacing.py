"""How often the runner reads."""

from __future__ import annotations

from levadactl.triggers.pacing import Pace, ReadClock
from levadactl.triggers.testkit import VirtualClock


def test_shards_are_read_often_while_records_come_and_once_a_second_when_all_is_quiet() -> None:
    clock = VirtualClock()
    reads = ReadClock(Pace(), clock)
    delays = []
    for quiet_s in (0, 3, 4, 30, 31):
        reads.have_records()
        clock.advance(quiet_s)
        delays.append(reads.delay_s(6))

    assert delays == [0.1, 0.1, 0.2, 0.2, 1.0]


def test_the_first_record_after_a_quiet_time_makes_every_shard_due() -> None:
    clock = VirtualClock()
    reads = ReadClock(Pace(), clock)
    assert not reads.have_records()
    clock.advance(31)

    assert reads.have_records()
    assert reads.delay_s(6) == 0.1
    assert not reads.have_records()


def test_under_lasting_load_at_most_twice_the_wanted_iterators_are_alive() -> None:
    clock = VirtualClock()
    reads = ReadClock(Pace(most_iterators=300), clock)
    most = 0
    for _ in range(4000):
        for _ in range(6):
            reads.read(1)
        reads.have_records()
        clock.advance(reads.delay_s(6))
        most = max(most, reads.iterators)

    assert 300 <= most <= 612
