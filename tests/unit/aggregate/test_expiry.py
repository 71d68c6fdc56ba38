"""Items of the serving table expire (C16, D21): the same whoever emits them, never all at once with half a window."""

from __future__ import annotations

import json
from typing import Any

import pytest

from levada.adapters.dynamodb import DynamoServingStore
from levada.aggregate import stage
from levada.aggregate.emit import Emitted
from levada.aggregate.handler import stage_deps
from levada.archive import idle
from levada.config import Config
from levada.core.retention import DAY_S
from levada.wiring import using
from levadactl.memory import MemoryDeps
from tests.builders import clean_batch
from tests.events.test_query import get
from tests.unit.aggregate import test_events, test_watching
from tests.unit.aggregate.events import ORDERS, entry, events
from tests.unit.aggregate.test_stage import CrashingServing, KilledError, _deps, _published

TERM_S = 90 * DAY_S


def expiries(memory: MemoryDeps, kind: str) -> set[int]:
    kinds = ("windows#", "hours#") if kind == "windows" else (f"{kind}#",)
    return {item["expires_at"] for (pk, _), item in memory.serving.items.items() if pk.startswith(kinds)}


def filled() -> MemoryDeps:
    """Four hours of 2004, loaded now."""
    memory = MemoryDeps(config=Config(domains_enabled="air_quality", table="serving", bucket="lake", auth="OPEN"))
    stage.run(clean_batch(_published(range(4))), stage_deps(memory))
    idle.close_idle(stage_deps(memory), idle_after_s=0)
    return memory


def windows(memory: MemoryDeps) -> int:
    with using(memory):
        return len(json.loads(get("/v1/windows", metric="co")[1])["windows"])


def test_a_backfill_is_served_its_whole_term_and_then_no_longer() -> None:
    """TTL is lazy: what has expired is not read though it is there."""
    memory = filled()
    begun_s = -(-int(memory.clock.time_s) // DAY_S) * DAY_S
    assert expiries(memory, "windows") == {begun_s + TERM_S}

    memory.clock.time_s = begun_s + TERM_S - 1
    assert windows(memory) == 4
    memory.clock.time_s += 1
    assert windows(memory) == 0
    assert len(expiries(memory, "windows")) == 1  # still there


def test_a_series_is_listed_longer_than_its_windows() -> None:
    memory = filled()

    assert min(expiries(memory, "series")) > max(expiries(memory, "windows"))


def test_what_is_emitted_after_a_crash_expires_as_it_would_have_without() -> None:
    """Late, and twice: the term is counted from the commit, which is part of the state."""
    calm, crashed = MemoryDeps(), MemoryDeps()
    entries = _published([0, 1, 2, 3])
    stage.run(clean_batch(entries), _deps(calm))
    broken = _deps(crashed)
    object.__setattr__(broken, "serving", CrashingServing())
    with pytest.raises(KilledError):
        stage.run(clean_batch(entries), broken)

    for _ in range(2):
        crashed.clock.time_s += 5 * DAY_S
        stage.run(clean_batch(entries), _deps(crashed))

    assert crashed.serving.items == calm.serving.items


def test_late_rows_of_the_week_expire_with_what_they_were_late_for() -> None:
    memory = MemoryDeps()
    entries = _published([0, 1, 2, 3, 4, 0])
    memory.clock.time_s = 1_078_960_000  # the day of the rows
    stage.run(clean_batch(entries[:5]), _deps(memory))
    memory.clock.time_s += 5 * DAY_S
    stage.run(clean_batch(entries[5:], first=6), _deps(memory))
    idle.close_idle(_deps(memory), idle_after_s=0)

    hour = [key for key in memory.serving.items if "#co" in key[0] and key[1].startswith("2004-03-10T18")]
    assert len(hour) == 2
    assert len({memory.serving.items[key]["expires_at"] for key in hour}) == 1


def test_a_warm_process_lists_its_series_again_before_they_expire() -> None:
    memory, known, entries = MemoryDeps(), Emitted(), _published(range(8))
    stage.run(clean_batch(entries[:4]), _deps(memory, known))
    first = expiries(memory, "series")
    memory.clock.time_s += 3 * DAY_S
    stage.run(clean_batch(entries[4:], first=5), _deps(memory, known))

    assert min(expiries(memory, "series")) == min(first) + 3 * DAY_S


def test_findings_and_states_of_entities_expire_by_their_own_terms() -> None:
    memory = test_watching.memory_deps()
    stage.run(clean_batch(test_watching.published([*test_watching.USUAL, "40", "1,5"])), test_watching.deps(memory))
    kinds = {kind: max(expiries(memory, kind)) for kind in ("windows", "anomalies", "alerts")}
    assert kinds["anomalies"] == kinds["alerts"] == kinds["windows"] + (365 - 90) * DAY_S

    jobs = MemoryDeps()
    test_events.run(jobs, [{"time_s": test_events.T0, "entity_id": "o1"}])
    assert min(expiries(jobs, "entity")) >= jobs.clock.time_s + 365 * DAY_S


def test_a_domain_may_keep_its_windows_for_ever() -> None:
    memory = MemoryDeps()
    deps = stage_deps(memory)
    object.__setattr__(deps, "keep", type(deps.keep)({}, {ORDERS.name: {"windows": 0}}))
    object.__setattr__(deps, "domains", {ORDERS.name: ORDERS})
    stage.run(clean_batch([entry(events([{"time_s": test_events.T0, "entity_id": "o1"}]))]), deps)
    memory.clock.time_s += 3600
    idle.close_idle(deps, idle_after_s=0)

    found = [item for (pk, _), item in memory.serving.items.items() if pk.startswith(("windows#", "hours#"))]
    assert found
    assert not any("expires_at" in item for item in found)


class Pages:
    """A table whose every page holds one item, which is looked at before the filter is, as AWS does."""

    def __init__(self, expires: list[int | None]) -> None:
        self._expires, self.asked = expires, 0
        self.forward: bool | None = None

    def query(self, **request: Any) -> dict[str, Any]:
        assert request["FilterExpression"] == "attribute_not_exists(expires_at) OR expires_at > :now"
        self.asked += 1
        self.forward = request["ScanIndexForward"]
        at = int(request.get("ExclusiveStartKey", {"n": {"N": "0"}})["n"]["N"])
        expires, now = self._expires[at], int(request["ExpressionAttributeValues"][":now"]["N"])
        items = [{"pk": {"S": "a"}, "sk": {"S": str(at)}}] if expires is None or expires > now else []
        more = {"LastEvaluatedKey": {"n": {"N": str(at + 1)}}} if at + 1 < len(self._expires) else {}
        return {"Items": items, **more}


@pytest.mark.parametrize(("limit", "found", "asked"), [(1, ["1"], 2), (2, ["1", "3"], 4), (None, ["1", "3", "4"], 5)])
def test_a_page_that_the_filter_has_emptied_is_not_the_last(limit: int | None, found: list[str], asked: int) -> None:
    table = Pages([99, None, 100, 101, None])
    store = DynamoServingStore(table, "serving", lambda: 100.0)  # type: ignore[arg-type]

    assert [item["sk"] for item in store.query("a", limit=limit)] == found
    assert table.asked == asked


def test_the_table_is_asked_for_the_order_that_is_wanted() -> None:
    table = Pages([None])
    store = DynamoServingStore(table, "serving", lambda: 100.0)  # type: ignore[arg-type]

    orders = []
    for newest_first in (False, True):
        list(store.query("a", newest_first=newest_first))
        orders.append(table.forward)

    assert orders == [True, False]
