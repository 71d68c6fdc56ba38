"""Runs that overlap with another one, or with what is on its way through the stages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

from levadactl.memory import MemoryBlobStore, MemoryDeps, MemoryServingStore
from levadactl.reprocessing.ports import ReprocessError
from levadactl.reprocessing.run import reprocess
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
