"""What is outstanding, and what only looks so."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from levadactl.deadletters import standing
from tests.unit.deadletters.fakes import BROKEN, FIXED, Pipeline, ndjson, reading
from tests.unit.deadletters.steps import dry, outstanding, pack, redriven


def test_rows_of_a_batch_that_is_still_tried_are_not_decided_yet() -> None:
    pipeline = Pipeline(BROKEN)
    pipeline.produce(pack(reading(1, good=False)))
    crash_at_checkpoint(pipeline)

    found = standing.survey(pipeline.memory.blobs)

    assert (len(found.outstanding), len(found.uncommitted)) == (0, 1)
    assert dry(pipeline).letters.selected == 0


def test_crashed_attempts_leave_overlapping_objects_and_one_letter() -> None:
    pipeline = Pipeline(BROKEN)
    pipeline.produce(pack(reading(1, good=False)), pack(reading(2, good=False), n=1))
    crash_at_checkpoint(pipeline)
    pipeline.run(size=1)

    assert len(pipeline.quarantined()) == 4
    assert len(outstanding(pipeline)) == 2


def test_what_the_next_attempt_could_read_needs_no_redrive() -> None:
    """A deploy between two attempts at one batch fixed the domain."""
    pipeline = Pipeline(BROKEN)
    pipeline.produce(pack(reading(1), reading(2, good=False)), ndjson(reading(3, good=False)))
    crash_at_checkpoint(pipeline)
    pipeline.domains = FIXED
    pipeline.run(size=1)

    found = standing.survey(pipeline.memory.blobs)

    assert (len(found.outstanding), len(found.read)) == (0, 2)
    pipeline.holds(1, 2, 3)


def test_a_record_refused_as_a_whole_and_then_row_by_row_comes_back_once() -> None:
    """The domain was enabled between two attempts, and fixed later."""
    pipeline = Pipeline({})
    both_bad = pack(reading(3, good=False), reading(4, good=False), source="b#07")
    pipeline.produce(pack(reading(1), reading(2, good=False)), both_bad)
    crash_at_checkpoint(pipeline)
    pipeline.domains = BROKEN
    pipeline.run()
    pipeline.domains = FIXED

    redriven(pipeline)

    pipeline.holds(1, 2, 3, 4)
    assert not outstanding(pipeline)
    redriven(pipeline)
    pipeline.holds(1, 2, 3, 4)


def crash_at_checkpoint(pipeline: Pipeline) -> None:
    """One attempt at all that waits ends just before its commit."""

    def refuse(key: str) -> None:
        if key.startswith("checkpoints/"):
            raise RuntimeError("crash")

    attempt(pipeline, refuse)


def attempt(pipeline: Pipeline, before_put: Callable[[str], None]) -> None:
    memory = pipeline.memory

    class Crashing(type(memory.blobs)):  # type: ignore[misc]  # the store of this memory
        def put_if(self, key: str, body: bytes, *, etag: str | None) -> str:
            before_put(key)
            return str(super().put_if(key, body, etag=etag))

    crashing = Crashing()
    crashing.objects = memory.blobs.objects
    for shard in range(2):
        batch = pipeline.next_batch(pipeline.raw, shard, 100)
        if batch is not None:
            with pytest.raises(RuntimeError, match="crash"):
                pipeline.stage(pipeline.raw, batch, blobs=crashing)
