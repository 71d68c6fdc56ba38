"""Runs that overlap with another one, or with what is on its way through the stages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

from levadactl.memory import MemoryDeps, MemoryServingStore
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
