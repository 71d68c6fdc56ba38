"""The aggregate stage on ports in memory: each row in its window once, results only from committed state."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from levada.aggregate import stage
from levada.aggregate.emit import Emitted
from levada.aggregate.state import AggregateState
from levada.clean import stage as clean
from levada.clean.handler import stage_deps as clean_deps
from levada.core import parquet
from levada.core.checkpoint import Checkpoint
from levada.core.errors import UnavailableError
from levada.core.partials import merge
from levada.domains.registry import enabled
from levada.ports import Entry
from levadactl.memory import MemoryDeps
from tests.builders import batch, clean_batch, pack, source_row

CHECKPOINT = "checkpoints/aggregate/6553f100-000000000000"


def _deps(memory: MemoryDeps, emitted: Emitted | None = None) -> stage.AggregateDeps:
    return stage.AggregateDeps(
        blobs=memory.blobs,
        serving=memory.serving,
        topology=memory.topology,
        clock=memory.clock,
        domains=enabled("*"),
        fence_horizon_h=48,
        emitted=emitted or Emitted(),
    )


def _published(hours: Sequence[int], *, per_pack: int = 1) -> list[Entry]:
    """What clean publishes for rows of these hours, a record per pack."""
    memory = MemoryDeps()
    chunks = [hours[i : i + per_pack] for i in range(0, len(hours), per_pack)]
    for n, chunk in enumerate(chunks):
        clean.run(batch([pack([source_row(h) for h in chunk], n=n)], first=n + 1), clean_deps(memory))
    return memory.clean.entries


def _state(memory: MemoryDeps) -> AggregateState:
    return AggregateState.from_checkpoint(Checkpoint.from_bytes(memory.blobs.objects[CHECKPOINT]))


def _gold(memory: MemoryDeps) -> list[dict[str, Any]]:
    return [r for b in memory.blobs.list("gold/") for r in parquet.from_bytes(memory.blobs.objects[b.key]).to_pylist()]


def _counts(memory: MemoryDeps) -> dict[str, int]:
    """Rows of the metric co per window start, closed and open together."""
    found: dict[str, int] = {}
    for row in [*_gold(memory), *_state(memory).open.to_pylist()]:
        if row["metric"] == "co":
            key = row["window_start"].strftime("%d %H")
            found[key] = found.get(key, 0) + row["count"]
    return found


def test_windows_close_when_the_watermark_passes_their_end() -> None:
    memory = MemoryDeps()

    stage.run(clean_batch(_published([0, 1, 2, 3])), _deps(memory))

    # the watermark is 21:00 less an hour of lateness: 18:00 and 19:00 are over
    assert {r["window_start"].hour for r in _gold(memory)} == {18, 19}
    assert {r["window_start"].hour for r in _state(memory).open.to_pylist()} == {20, 21}
    assert len(memory.serving.items) == 13 + 13


def test_a_late_row_opens_a_revision_that_readers_merge() -> None:
    memory = MemoryDeps()
    entries = _published([0, 1, 2, 3, 0])

    stage.run(clean_batch(entries[:4]), _deps(memory))
    summary = stage.run(clean_batch(entries[4:], first=5), _deps(memory))

    assert summary.late == 13
    mine = [r for r in _gold(memory) if r["metric"] == "co" and r["window_start"].hour == 18]
    assert [(r["count"], r["late"], r["generation"]) for r in mine] == [(1, 0, 1), (1, 1, 2)]
    assert _counts(memory)["10 18"] == 2


@given(st.lists(st.integers(0, 8), min_size=1, max_size=10), st.data())
def test_each_row_is_counted_once_however_records_are_cut_resent_and_redelivered(
    hours: list[int], data: st.DataObject
) -> None:
    memory, entries = MemoryDeps(), _published(hours)
    resent = data.draw(st.lists(st.integers(0, len(entries) - 1), max_size=4))
    stream = [*entries]
    for i in resent:  # an overtaken attempt publishes again: never before the first time
        stream.insert(data.draw(st.integers(stream.index(entries[i]) + 1, len(stream))), entries[i])
    done = 0
    while done < len(stream):
        start, end = data.draw(st.integers(0, done)), data.draw(st.integers(done + 1, len(stream)))
        for _ in range(data.draw(st.integers(1, 2))):
            stage.run(clean_batch(stream[start:end], first=start + 1), _deps(memory))
        done = end

    expected: dict[str, int] = {}
    for hour in hours:
        key = f"{10 + (18 + hour) // 24} {(18 + hour) % 24:02d}"
        expected[key] = expected.get(key, 0) + 1
    assert _counts(memory) == expected
    assert _state(memory).counters["air_quality"]["rows"] == len(hours) * 13


def test_a_record_cut_elsewhere_by_an_overtaken_attempt_is_applied_from_the_mark_on() -> None:
    rows = [source_row(h) for h in range(6)]
    packs = [pack(rows[i : i + 2], n=i) for i in range(0, 6, 2)]
    whole, parts = MemoryDeps(), MemoryDeps()
    clean.run(batch(packs), clean_deps(whole))
    clean.run(batch(packs[:2]), clean_deps(parts))
    memory = MemoryDeps()

    stage.run(clean_batch([*parts.clean.entries, *whole.clean.entries]), _deps(memory))

    assert sum(_counts(memory).values()) == 6


@given(st.lists(st.integers(0, 8), min_size=2, max_size=10), st.data())
def test_a_record_that_was_given_up_is_counted_once_when_it_comes_behind_later_ones(
    hours: list[int], data: st.DataObject
) -> None:
    """The redrive puts it on the stream again as it is; the fence of its lane knows that it is missing."""
    memory, entries = MemoryDeps(), _published(hours)
    lost = data.draw(st.lists(st.integers(0, len(entries) - 1), min_size=1, unique=True))
    stream = [e for i, e in enumerate(entries) if i not in lost]
    stream += [entries[i] for i in data.draw(st.permutations(lost + lost))]
    at = 1
    while stream:
        n = data.draw(st.integers(1, len(stream)))
        stage.run(clean_batch(stream[:n], first=at), _deps(memory))
        stream, at = stream[n:], at + n

    assert sum(_counts(memory).values()) == len(hours)
    assert _state(memory).counters["air_quality"]["rows"] == len(hours) * 13


class KilledError(BaseException):
    pass


class CrashingServing:
    """Dies before the first write, as a function does that is killed between commit and emission."""

    def put(self, items: Sequence[Mapping[str, Any]]) -> None:
        raise KilledError

    def query(self, pk: str, *, first: str = "", last: str = "", limit: int | None = None) -> Iterable[dict[str, Any]]:
        raise NotImplementedError

    def check(self) -> None:
        raise NotImplementedError


def test_a_crash_between_commit_and_emission_is_made_good_by_the_redelivery() -> None:
    memory, entries = MemoryDeps(), _published([0, 1, 2, 3])
    broken = _deps(memory)
    object.__setattr__(broken, "serving", CrashingServing())
    with pytest.raises(KilledError):
        stage.run(clean_batch(entries), broken)
    assert _gold(memory) == []

    summary = stage.run(clean_batch(entries), _deps(memory))

    assert summary.rows == 0
    assert {r["window_start"].hour for r in _gold(memory)} == {18, 19}
    assert sum(_counts(memory).values()) == 4


def test_nothing_is_emitted_that_is_not_committed() -> None:
    memory, entries = MemoryDeps(), _published([0, 1, 2, 3])
    real = memory.blobs.put_if

    def refuse(key: str, body: bytes, *, etag: str | None) -> str:
        raise UnavailableError(key)

    memory.blobs.put_if = refuse  # type: ignore[method-assign]
    with pytest.raises(UnavailableError):
        stage.run(clean_batch(entries), _deps(memory))
    memory.blobs.put_if = real  # type: ignore[method-assign]

    assert _gold(memory) == []
    assert memory.serving.items == {}


@pytest.mark.parametrize("warm", [True, False])
def test_what_is_emitted_is_not_written_again_by_a_warm_function_nor_by_a_cold_one(warm: bool) -> None:
    memory, entries, known = MemoryDeps(), _published([0, 1, 2, 3]), Emitted()
    stage.run(clean_batch(entries), _deps(memory, known))
    puts = memory.blobs.puts

    stage.run(clean_batch(entries), _deps(memory, known if warm else Emitted()))

    assert memory.blobs.puts == puts


def test_an_emission_that_was_cut_short_before_its_last_object_is_made_again_and_is_the_same() -> None:
    memory, entries = MemoryDeps(), _published([0, 4, 8, 12])  # windows of two days close
    stage.run(clean_batch(entries), _deps(memory))
    gold = [blob.key for blob in memory.blobs.list("gold/")]
    items, rows = dict(memory.serving.items), _gold(memory)
    assert len(gold) == 2
    memory.blobs.delete([gold[-1]])
    memory.serving.items.popitem()

    stage.run(clean_batch(entries), _deps(memory))

    assert memory.serving.items == items
    assert _gold(memory) == rows


def test_a_record_that_is_no_pack_of_rows_is_quarantined_and_the_rest_goes_on() -> None:
    memory, entries = MemoryDeps(), _published([0, 1])
    odd = [Entry("x", b"hello"), Entry("x", pack([source_row(0)]))]

    summary = stage.run(clean_batch([entries[0], *odd, entries[1]]), _deps(memory))

    assert (summary.quarantined, sum(_counts(memory).values())) == (2, 2)
    refused = parquet.from_bytes(memory.blobs.objects[next(memory.blobs.list("quarantine/stage=aggregate/")).key])
    assert refused["reason"].to_pylist() == ["not_a_pack", "not_canonical_rows"]


def test_undated_rows_take_part_in_no_window() -> None:
    memory, source = MemoryDeps(), MemoryDeps()
    clean.run(batch([pack([source_row(0, Date="", Time=""), source_row(1)])]), clean_deps(source))

    stage.run(clean_batch(source.clean.entries), _deps(memory))

    assert _counts(memory) == {"10 19": 1}
    assert _state(memory).counters["air_quality"]["undated"] == 13


def test_tenants_have_windows_and_watermarks_of_their_own() -> None:
    memory, source = MemoryDeps(), MemoryDeps()
    bodies = [pack([source_row(9)], tenant="fast", source="a#01"), pack([source_row(0)], tenant="slow", source="b#01")]
    clean.run(batch(bodies), clean_deps(source))

    summary = stage.run(clean_batch(source.clean.entries), _deps(memory))

    assert summary.late == 0
    assert merge(_state(memory).open).num_rows == 26
