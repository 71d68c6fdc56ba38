"""Jobs over HTTP to their latest state: out of order, twice, late, with bad items between (C1, C2, C4; figure 4)."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import pytest

from levada.aggregate.handler import handler as aggregate
from levada.aggregate.latest import entity_pk, state_of
from levada.clean.handler import handler as clean
from levada.config import Config
from levada.core import parquet
from levada.ingest.http_handler import handler as ingest
from levada.wiring import using
from levadactl.events import compact, kinesis, rest
from levadactl.invoking import LocalContext
from levadactl.memory import MemoryDeps

CONTEXT = LocalContext("levada")
BEGUN = datetime(2025, 12, 31, 22, tzinfo=UTC)
ENDS = {"finished": "succeeded", "error": "failed", "canceled": "canceled"}
BAD = ("teleported", "", None, 7)


def events_of(job: int, dice: Random) -> tuple[list[dict[str, Any]], str]:
    """A job's events in order, and the status in which it ends."""
    steps = ["started", *dice.choices(["progress", "metric"], k=dice.randrange(4)), dice.choice([*ENDS, "progress"])]
    same_second = dice.random() < 0.3  # then the rank decides
    made = []
    for n, step in enumerate(steps):
        at = BEGUN + timedelta(seconds=job if same_second else job + 10 * n)
        made.append(
            {
                "domain": "jobs",
                "idempotency_key": f"{job}-{n}",
                "time": at.isoformat(),
                "site": "koper",
                "app": f"app-{job % 3}",
                "entity": "subjob" if job % 4 == 0 else "job",
                "id": f"j{job}",
                "parent": "j1" if job % 4 == 0 else "",
                "event": step,
            }
        )
    return made, ENDS.get(steps[-1], "running")


def post(items: list[dict[str, Any]], key: str) -> dict[str, Any]:
    event = rest("POST", "/v1/events/batch", body=compact(items))
    event["headers"]["Idempotency-Key"] = key
    answer = ingest(event, CONTEXT)
    assert answer["statusCode"] == 200
    found: dict[str, Any] = json.loads(answer["body"])
    return found


@pytest.mark.parametrize("seed", range(6))
def test_jobs_end_in_their_right_latest_state_whatever_happens_on_the_way(seed: int) -> None:
    dice = Random(seed)
    items: list[dict[str, Any]] = []
    status: dict[str, str] = {}
    for job in range(1, 25):
        made, status[f"j{job}"] = events_of(job, dice)
        items += made
    dice.shuffle(items)
    config = Config(bucket="lake", table="serving", raw_stream="raw", clean_stream="clean", auth="OPEN")
    memory = MemoryDeps(config=config)
    memory.clock.time_s = (BEGUN + timedelta(hours=2)).timestamp()
    with using(memory):
        for n, start in enumerate(range(0, len(items), 20)):
            some = items[start : start + 20]
            for bad in dice.sample(BAD, 2):
                some.insert(dice.randrange(len(some) + 1), some[0] | {"event": bad, "id": "none"})
            answer = post(some, f"key-{n}")
            wrong = [i for i, item in enumerate(some) if item["id"] == "none"]
            assert [error["index"] for error in answer["errors"]] == wrong
            assert (answer["total"], answer["success"], answer["failed"]) == (len(some), len(some) - 2, 2)
            post(some, f"key-{n}")  # the network has lost the answer
        raw = [entry.data for entry in memory.raw.entries]
        for start in range(0, len(raw), 3):
            clean(kinesis(raw[start : start + 3], first=start + 1), CONTEXT)
        published = [entry.data for entry in memory.clean.entries]
        for start in range(0, len(published), 4):
            for _ in range(2):  # each batch is delivered again
                aggregate(kinesis(published[start : start + 4], stream="clean", first=start + 1), CONTEXT)

    kept = [b.key for b in memory.blobs.list("events/")]
    assert sum(parquet.from_bytes(memory.blobs.objects[key]).num_rows for key in kept) == len(items)
    assert not list(memory.blobs.list("quarantine/"))
    states = [
        state_of(item)
        for kind in ("job", "subjob")
        for item in memory.serving.query(entity_pk("default", "jobs", kind))
    ]
    assert {state["entity_id"]: state["status"] for state in states} == status
    assert {state["entity_type"] for state in states if state["parent_id"] == "j1"} == {"subjob"}
