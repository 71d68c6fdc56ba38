"""archive through its real handler: each event file, orders of our own, outages, and the second delivery."""

from __future__ import annotations

from typing import Any

import pytest

from levada.archive.handler import handler
from levada.core import keys
from levada.core.errors import ConfigError, UnavailableError
from levadactl.cases import CASES
from levadactl.memory import MemoryDeps
from tests.conftest import load_event
from tests.unit.archive import silver
from tests.unit.archive.test_idle import METRICS, aggregate, published


class Context:
    """Lambda's context, with so much time left."""

    aws_request_id = "c6af9ac6"

    def __init__(self, left_s: float = 300.0) -> None:
        self.left_s = left_s

    def get_remaining_time_in_millis(self) -> int:
        return int(self.left_s * 1000)


def order(**detail: Any) -> dict[str, Any]:
    return {"source": "levada.test", "detail": detail}


@pytest.mark.parametrize("case", [one.name for one in CASES if one.stage == "archive" and not one.alone])
def test_every_scheduled_run_closes_what_is_idle_and_once_more_changes_nothing(case: str, memory: MemoryDeps) -> None:
    aggregate(memory, published([0, 1]))
    memory.clock.time_s += memory.config.idle_after_s

    answer = handler(load_event(f"archive/{case}"), Context())

    assert answer["idle"] == {"shards": 1, "closed": 2 * METRICS, "emitted": 2 * METRICS, "skipped": 0}
    assert answer["compaction"]["partitions"] == 0
    left = dict(memory.blobs.objects)
    assert handler(load_event(f"archive/{case}"), Context())["idle"]["emitted"] == 0
    assert memory.blobs.objects == left


def test_an_order_may_close_windows_at_once_and_compact_a_day(memory: MemoryDeps) -> None:
    aggregate(memory, published([0]))
    silver.put(memory.blobs, silver.span(1, 2))
    silver.put(memory.blobs, silver.span(3, 4))

    answer = handler(order(idle_after_s=0, compact={"domain": silver.DOMAIN, "date": silver.DATE}), Context())

    assert answer["idle"]["closed"] == METRICS
    assert (answer["compaction"]["outputs"], answer["compaction"]["inputs"]) == (1, 2)
    assert keys.manifest("silver", silver.DOMAIN, silver.DATE) in memory.blobs.objects


def test_compaction_of_what_is_due_stops_when_time_runs_out(memory: MemoryDeps) -> None:
    for n in range(1, 9):
        silver.put(memory.blobs, silver.span(n, n))

    stopped = handler(order(compact="due"), Context(left_s=5.0))["compaction"]
    assert (stopped["outputs"], stopped["left"], stopped["next"]) == (0, 1, f"{silver.DOMAIN}/{silver.DATE}")

    done = handler(order(compact="due"), object())["compaction"]  # a context that does not know
    assert (done["outputs"], done["left"]) == (1, 0)
    assert len(silver.objects(memory.blobs)) == 1


def test_an_outage_of_the_lake_raises(memory: MemoryDeps) -> None:
    memory.blobs.down = True

    with pytest.raises(UnavailableError, match="memory store is down"):
        handler(load_event("archive/on_time"), Context())


def test_an_outage_of_the_table_fails_the_run_after_compaction_is_done(memory: MemoryDeps) -> None:
    aggregate(memory, published([0]))
    silver.put(memory.blobs, silver.span(1, 2))
    silver.put(memory.blobs, silver.span(3, 4))
    memory.serving.down = True

    with pytest.raises(UnavailableError, match=r"1 failed, the others are done: shard .*memory table is down"):
        handler(order(idle_after_s=0, compact={"domain": silver.DOMAIN, "date": silver.DATE}), Context())

    assert len(silver.objects(memory.blobs)) == 1


def test_a_bad_order_is_refused_before_anything_is_done(memory: MemoryDeps) -> None:
    aggregate(memory, published([0]))
    before = dict(memory.blobs.objects)

    with pytest.raises(ConfigError, match=r"detail\.compact\.date='today'"):
        handler(order(idle_after_s=0, compact={"domain": silver.DOMAIN, "date": "today"}), Context())

    assert memory.blobs.objects == before
