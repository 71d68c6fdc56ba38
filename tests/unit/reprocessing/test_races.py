"""Runs that overlap with another one, or with what is on its way through the stages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

from levada.archive import idle
from levada.core.errors import UnavailableError
from levadactl.deadletters import listing
from levadactl.deadletters.sending import Choice, redrive
from levadactl.memory import MemoryBlobStore, MemoryDeps, MemoryServingStore, MemorySink
from levadactl.reprocessing.places import waiting
from levadactl.reprocessing.ports import ReprocessError
from levadactl.reprocessing.run import Report, reprocess
from tests.unit.deadletters.fakes import FIXED, Pipeline, reading
from tests.unit.deadletters.steps import pack
from tests.unit.deadletters.test_behind_clean import cleaned, give_up
from tests.unit.reprocessing.world import EVERYTHING, anew, load, must_be_exact, ports, quietly, with_co_up_to

ROWS = 8
"""Of two days."""
FIRST, SECOND = with_co_up_to(1.0), with_co_up_to(0.0)


class CutShort(Exception):  # noqa: N818  # the process is gone: nothing handles it
    pass


class Dying(MemoryServingStore):
    """Of a process that ends when it is to serve a day's second edition."""

    def put(self, items: Sequence[Mapping[str, Any]]) -> None:
        if any('"number":2' in item.get("replaces", "") for item in items):
            raise CutShort


def test_a_run_notes_as_finished_only_the_editions_that_it_has_followed(memory: MemoryDeps) -> None:
    """While it has rollups made another run commits newer editions, and dies before these are served."""
    found = load(memory, ROWS)
    mine = ports(memory, FIRST)

    def roll_up(since: str) -> Mapping[str, Any]:
        with pytest.raises(CutShort):
            reprocess(ports(memory, SECOND, serving=Dying()), EVERYTHING, quietly, apply=True)
        return mine.roll_up(since)

    reprocess(replace(mine, roll_up=roll_up), EVERYTHING, quietly, apply=True)
    report = anew(memory, SECOND)

    assert report.finished
    must_be_exact(found, SECOND)


class Taken(MemoryBlobStore):
    """A lake out of which compaction, retention or another run takes an object after it was listed."""

    def __init__(self, real: MemoryBlobStore, prefix: str) -> None:
        super().__init__()
        self.objects, self.modified_s, self.now_s = real.objects, real.modified_s, real.now_s
        self.prefix = prefix

    def get(self, key: str) -> tuple[bytes, str]:
        if key.startswith(self.prefix):
            raise KeyError(key)
        return super().get(key)


@pytest.mark.parametrize("layer", ["bronze", "silver", "gold"])
def test_an_object_that_goes_while_it_is_looked_at_is_told_of(memory: MemoryDeps, layer: str) -> None:
    load(memory, ROWS)

    with pytest.raises(ReprocessError, match=f"{layer}/.* was replaced or deleted meanwhile: run it again"):
        reprocess(ports(memory, FIRST, blobs=Taken(memory.blobs, f"{layer}/")), EVERYTHING, quietly, apply=True)

    assert anew(memory, FIRST).applied


CLOSING = {"sim": replace(FIXED["sim"], lateness_s=0)}


def reprocessed(pipeline: Pipeline) -> Report:
    """Everything made anew, whether it differs or not."""
    here = ports(pipeline.memory, CLOSING["sim"], waiting=lambda: waiting(listing.overview(pipeline.ports)))
    return reprocess(here, EVERYTHING, quietly, apply=True, unchanged=True, wait_s=0)


def closed(pipeline: Pipeline) -> None:
    pipeline.memory.clock.time_s += 3600
    deps = pipeline.aggregate_deps()
    assert idle.close_idle(deps, idle_after_s=0).failures == []


@pytest.mark.parametrize("stage", ["clean", "aggregate"])
def test_rows_that_were_sent_again_and_not_applied_yet_are_not_made_anew(stage: str) -> None:
    """Bronze has them, and the stages have passed their places long ago: they would count twice when they come."""
    pipeline = Pipeline(CLOSING)
    if stage == "clean":
        lose_behind_the_lake(pipeline)
    else:
        cleaned(pipeline, 0)
        assert give_up(pipeline, 2)
    cleaned(pipeline, 3, 4)
    pipeline.run()
    closed(pipeline)
    with pytest.raises(ReprocessError, match=r"[12] discarded batch"):
        reprocessed(pipeline)

    redrive(pipeline.ports, Choice(), dry_run=False)
    with pytest.raises(ReprocessError, match=r"\d dead letters that were sent again are still on their way"):
        reprocessed(pipeline)
    pipeline.run()
    closed(pipeline)

    report = reprocessed(pipeline)
    assert report.applied
    assert report.differing == []


def lose_behind_the_lake(pipeline: Pipeline) -> None:
    """Clean's attempt at a batch puts it into the lake, publishes nothing, and is given up."""
    pipeline.produce(pack(reading(0), reading(1), source="file/sim#07", n=0))
    for shard in range(2):
        if batch := pipeline.next_batch(pipeline.raw, shard, 100):
            with pytest.raises(UnavailableError):
                pipeline.stage(pipeline.raw, batch, sink=Silent())
            pipeline.discard(pipeline.raw, shard, 100)


class Silent(MemorySink):
    def __init__(self) -> None:
        super().__init__()
        self.down = True


def test_dead_letters_that_somebody_is_sending_again_are_in_no_queue_and_come_first_all_the_same() -> None:
    pipeline = Pipeline(CLOSING)
    cleaned(pipeline, 0)
    give_up(pipeline, 2)
    received = pipeline.queue.receive()

    with pytest.raises(ReprocessError, match=rf"somebody is at {len(received)} messages of the dead letter queue"):
        reprocessed(pipeline)
