"""What aggregate gave up or refused: back onto the clean stream as it is, each row once, whatever came since (B24)."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from levada.core import packs
from levada.core.packs import partition_key
from levada.ports import Entry
from levadactl.deadletters import listing
from levadactl.deadletters.sending import Choice
from levadactl.deadletters.sending import redrive as run
from tests.unit.deadletters.fakes import FIXED, Pipeline, Stream, ndjson, reading
from tests.unit.deadletters.steps import dry, outstanding, pack, redriven
from tests.unit.deadletters.test_discarded import BODIES, fail


def cleaned(pipeline: Pipeline, first: int, n: int = 3) -> None:
    """Clean hands on n readings of every sensor's lane, a batch each; aggregate has not seen them yet."""
    for at in range(first, first + n):
        pipeline.produce(pack(reading(at), source="file/sim#07", n=at))
        for shard in range(2):
            if batch := pipeline.next_batch(pipeline.raw, shard, 100):
                pipeline.stage(pipeline.raw, batch)
                pipeline._read["raw"][shard] += len(batch)


def give_up(pipeline: Pipeline, size: int, *, committed: bool = False) -> int:
    """Aggregate's next batch of each shard is given up; how many records that is."""
    n = 0
    for shard in range(2):
        if batch := pipeline.next_batch(pipeline.clean, shard, size):
            if committed:
                pipeline.stage(pipeline.clean, batch)
            n += len(pipeline.discard(pipeline.clean, shard, size))
    return n


def values(n: int) -> list[float]:
    return [float(i) for i in range(n)]


@pytest.mark.parametrize("later", [0, 4])
def test_a_discarded_batch_comes_back_once_though_its_lanes_have_gone_on(later: int) -> None:
    pipeline = Pipeline(FIXED)
    cleaned(pipeline, 0)
    n = give_up(pipeline, 2)
    cleaned(pipeline, 3, later)
    pipeline.run()
    assert pipeline.windows()[0] < 3 + later, "windows lack what was given up"
    assert dry(pipeline).batches.rows == n

    report = redriven(pipeline)

    assert (report.batches.sent, report.batches.settled, report.batches.failing) == (n, len(report_ids(report)), {})
    pipeline.holds(*values(3 + later))
    assert not pipeline.queue.messages
    redriven(pipeline)
    pipeline.holds(*values(3 + later))


def report_ids(report: object) -> range:
    return range(report.batches.selected)  # type: ignore[attr-defined]


def test_a_batch_that_was_committed_before_it_was_given_up_changes_nothing() -> None:
    """Its results could not be written to the serving table: the windows have its rows."""
    pipeline = Pipeline(FIXED)
    cleaned(pipeline, 0)
    give_up(pipeline, 100, committed=True)
    cleaned(pipeline, 3)
    pipeline.run()

    report = redriven(pipeline)

    assert (report.batches.applied, report.batches.sent) == (3, 0)
    assert not pipeline.queue.messages
    pipeline.holds(*values(6))


def test_a_batch_of_aggregate_is_shown_with_its_records() -> None:
    pipeline = Pipeline(FIXED)
    cleaned(pipeline, 0)
    give_up(pipeline, 100)

    one = listing.overview(pipeline.ports)["batches"][0]

    assert one["function"] == "levada-aggregate"
    assert listing.show(pipeline.ports, one["ids"][0])["first_records"][0]["header"]["domain"] == "sim"


@pytest.mark.parametrize("calls", [0, 1, 2])
def test_a_redrive_that_is_cut_short_is_repeated_exactly(calls: int) -> None:
    pipeline = Pipeline(FIXED)
    cleaned(pipeline, 0)
    give_up(pipeline, 100)
    cleaned(pipeline, 3)
    pipeline.run()
    pipeline.clean.fail_at, pipeline.clean.error = calls, KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        run(pipeline.ports, Choice(), dry_run=False, rate=4)
    pipeline.run()
    assert pipeline.queue.messages
    assert not pipeline.queue.hidden

    redriven(pipeline)

    pipeline.holds(*values(6))


@settings(max_examples=150, deadline=None)
@given(
    effects=st.integers(0, 11),
    attempts=st.integers(0, 2),
    sizes=st.lists(st.integers(1, 3), max_size=3),
    before=st.booleans(),
    seen=st.integers(0, 3),
    cut=st.none() | st.integers(0, 4),
    alone=st.booleans(),
)
def test_what_both_stages_gave_up_comes_in_once(  # a schedule
    effects: int, attempts: int, sizes: list[int], before: bool, seen: int, cut: int | None, alone: bool
) -> None:
    """Clean's attempts had handed rows on, aggregate gave some of those up, and the lanes may have gone on since."""
    pipeline = Pipeline(FIXED)
    cleaned(pipeline, 100, 1)
    pipeline.produce(*BODIES)
    shard = next(i for i in range(2) if pipeline.next_batch(pipeline.raw, i, 100))
    for _ in range(attempts):
        fail(pipeline, shard, effects)
    pipeline.discard(pipeline.raw, shard, 100)
    if before:
        cleaned(pipeline, 10, 3)
    for size in sizes:
        give_up(pipeline, size)
        apply_some(pipeline, seen)
    if not before:
        cleaned(pipeline, 10, 3)
    pipeline.run()
    if cut is not None:
        pipeline.raw.fail_at, pipeline.raw.error = cut, KeyboardInterrupt()
        try:
            run(pipeline.ports, Choice(), dry_run=False, rate=4)
        except KeyboardInterrupt:
            pipeline.run()
        pipeline.raw.fail_at = None
    if alone and pipeline.queue.messages:
        one = listing.overview(pipeline.ports)["batches"][-1]["ids"][-1]
        redriven(pipeline, Choice(id=one))

    redriven(pipeline)

    pipeline.holds(*(float(n) for n in range(13)), 100.0)
    assert not pipeline.queue.messages


def apply_some(pipeline: Pipeline, n: int) -> None:
    for shard in range(2):
        if n and (batch := pipeline.next_batch(pipeline.clean, shard, n)):
            pipeline.stage(pipeline.clean, batch)
            pipeline._read["clean"][shard] += len(batch)


def test_what_aggregate_refused_comes_back_when_it_knows_the_domain() -> None:
    pipeline = Pipeline(FIXED)
    pipeline.aggregate_domains = {}
    cleaned(pipeline, 0)
    pipeline.run()
    pipeline.aggregate_domains = None
    cleaned(pipeline, 3)
    pipeline.run()
    assert pipeline.windows()[0] == 3
    n = len(outstanding(pipeline))

    report = redriven(pipeline)

    assert (report.letters.selected, report.letters.sent, report.letters.failing) == (n, n, {})
    pipeline.holds(*values(6))
    assert not outstanding(pipeline)
    redriven(pipeline)
    pipeline.holds(*values(6))


def test_what_is_nothing_for_aggregate_stays_and_says_why() -> None:
    pipeline = Pipeline(FIXED)
    put(pipeline.clean, b"{}")
    put(pipeline.clean, packs.MAGIC + b"{}\n")
    pipeline.run()

    report = redriven(pipeline)

    assert report.letters.failing == {"not_a_pack": 1, "pack_header": 1}
    assert len(outstanding(pipeline)) == 2


def put(stream: Stream, data: bytes) -> None:
    stream.put([Entry(partition_key(1), data)])


def test_letters_of_one_stream_are_not_taken_for_those_of_the_other() -> None:
    """Both streams may have been made in the same second, and number their records alike."""
    pipeline = Pipeline(FIXED)
    pipeline.produce(ndjson(reading(1), reading(2, t="never")), json.dumps(reading(3)).encode(), key="single")
    pipeline.run()
    assert len(outstanding(pipeline)) == 1
    put(pipeline.clean, b"{}")
    for shard in range(2):
        if pipeline.next_batch(pipeline.clean, shard, 100):
            pipeline.discard(pipeline.clean, shard, 100)

    assert listing.overview(pipeline.ports)["outstanding"] == 1
