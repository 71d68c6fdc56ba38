"""Each file in events/aggregate/ goes through the real handler; only the stores are fakes."""

from __future__ import annotations

import pytest

from levada.aggregate.handler import handler
from levada.aggregate.state import AggregateState
from levada.core import parquet
from levada.core.checkpoint import Checkpoint
from levada.core.errors import UnavailableError
from levadactl.invoking import LocalContext
from levadactl.memory import MemoryDeps
from tests.conftest import load_event

CONTEXT = LocalContext("levada-aggregate")
LATE_OPEN = 2 * 13
"""Three hours came: the first is behind the watermark of an hour's lateness, two are open."""


def state(deps: MemoryDeps) -> AggregateState:
    (key,) = [key for key in deps.blobs.objects if key.startswith("checkpoints/aggregate/")]
    return AggregateState.from_checkpoint(Checkpoint.from_bytes(deps.blobs.objects[key]))


@pytest.mark.parametrize("case", ["one_pack", "same_pack_twice"])
def test_rows_count_once_however_often_their_pack_comes(case: str, memory: MemoryDeps) -> None:
    assert handler(load_event(f"aggregate/{case}"), CONTEXT) == {"batchItemFailures": []}

    gold = [parquet.from_bytes(body) for key, body in memory.blobs.objects.items() if key.startswith("gold/")]
    assert sum(table.num_rows for table in gold) == 13
    assert state(memory).open.num_rows == LATE_OPEN
    counts = [n for table in (*gold, state(memory).open) for n in table["count"].to_pylist()]
    missing = [n for table in (*gold, state(memory).open) for n in table["missing"].to_pylist()]
    assert (sum(counts), sum(missing)) == (36, 3)


def test_second_delivery_changes_nothing(memory: MemoryDeps) -> None:
    handler(load_event("aggregate/one_pack"), CONTEXT)
    objects, items = dict(memory.blobs.objects), dict(memory.serving.items)

    handler(load_event("aggregate/one_pack"), CONTEXT)

    assert memory.blobs.objects == objects
    assert memory.serving.items == items


def test_what_is_no_pack_is_quarantined_with_its_payload(memory: MemoryDeps) -> None:
    assert handler(load_event("aggregate/not_a_pack"), CONTEXT) == {"batchItemFailures": []}

    (key,) = [key for key in memory.blobs.objects if key.startswith("quarantine/")]
    (row,) = parquet.from_bytes(memory.blobs.objects[key]).to_pylist()
    assert row["reason"] == "not_a_pack"
    assert b"air_quality" in row["payload"]


def test_an_outage_of_the_table_behind_the_commit_fails_no_batch_and_is_made_good_by_the_next(
    memory: MemoryDeps,
) -> None:
    """Its rows are applied: if it failed, its last retry would lay it among the dead letters for nothing (A28)."""
    memory.serving.down = True
    assert handler(load_event("aggregate/one_pack"), CONTEXT) == {"batchItemFailures": []}
    assert state(memory).outbox.num_rows == 13
    with pytest.raises(UnavailableError):  # what is not applied does fail: nothing may overtake the outbox
        handler(load_event("aggregate/one_pack"), CONTEXT)
    memory.serving.down = False

    handler(load_event("aggregate/one_pack"), CONTEXT)

    assert sum(item["n"] for item in memory.serving.items.values() if "n" in item) == 13
