"""Publishing: order per lane survives partial refusals, and only what failed is sent again (B9, A28)."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from levada.core.errors import UnavailableError
from levada.core.publishing import ATTEMPTS, MAX_REQUEST_BYTES, publish
from levada.ports import Entry
from levadactl.memory import ManualClock, MemorySink

ENTRIES = st.lists(st.tuples(st.integers(0, 4), st.binary(min_size=1, max_size=4)), max_size=40).map(
    lambda pairs: [Entry(f"lane-{lane}", bytes([i]) + data) for i, (lane, data) in enumerate(pairs)]
)


@given(ENTRIES, st.sets(st.integers(0, 60), max_size=ATTEMPTS - 1))
def test_each_lane_arrives_whole_and_in_order_whatever_is_refused_once(entries: list[Entry], refused: set[int]) -> None:
    sink = MemorySink()
    sink.refuse = refused

    done = publish(sink, entries, ManualClock())

    for lane in {e.partition_key for e in entries}:
        assert [e for e in sink.entries if e.partition_key == lane] == [e for e in entries if e.partition_key == lane]
    assert done.records == len(entries) == len(sink.entries)


class Recorder(MemorySink):
    def __init__(self) -> None:
        super().__init__()
        self.requests: list[list[Entry]] = []

    def put(self, entries: Sequence[Entry]) -> list[str | None]:
        self.requests.append(list(entries))
        return super().put(entries)


def test_a_lane_never_stands_twice_in_one_request() -> None:
    sink = Recorder()

    publish(sink, [Entry(f"lane-{i % 3}", b"x") for i in range(12)], ManualClock())

    assert all(len({e.partition_key for e in r}) == len(r) for r in sink.requests)
    assert len(sink.requests) == 4


def test_a_request_stays_within_five_megabytes() -> None:
    sink = Recorder()

    publish(sink, [Entry(f"lane-{i}", b"x" * 1_000_000) for i in range(9)], ManualClock())

    assert all(sum(len(e.data) for e in r) <= MAX_REQUEST_BYTES for r in sink.requests)


class Refusing(MemorySink):
    def put(self, entries: Sequence[Entry]) -> list[str | None]:
        return ["InternalFailure" for _ in entries]


def test_a_stream_that_always_refuses_is_given_up_with_growing_waits() -> None:
    clock = ManualClock(0)

    with pytest.raises(UnavailableError, match=f"refused {ATTEMPTS} times: InternalFailure"):
        publish(Refusing(), [Entry("lane-0", b"x")], clock)

    assert 3 < clock.time_s < 20


def test_an_unreachable_stream_is_an_error_at_once() -> None:
    sink = MemorySink()
    sink.down = True

    with pytest.raises(UnavailableError):
        publish(sink, [Entry("lane-0", b"x")], ManualClock())
