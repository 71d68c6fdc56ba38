"""Aggregate watches what it closes: anomalies and alerts leave with the windows they are of (C19, D14, D35)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from levada.aggregate import stage
from levada.aggregate.handler import stage_deps
from levada.aggregate.state import open_of, outbox_of
from levada.archive import idle
from levada.clean import stage as clean
from levada.clean.handler import stage_deps as clean_deps
from levada.core import findings, limits, parquet
from levada.core.checkpoint import Checkpoint
from levada.core.limits import CONTROL, Limit, Register
from levada.core.positions import ShardToken
from levada.domains.air_quality import AIR_QUALITY
from levada.domains.declaration import Domain, Watch
from levada.ports import Entry
from levadactl.memory import MemoryDeps
from tests.builders import CLEAN_ARN, START, batch, clean_batch, pack, source_row

TOKEN = "6553f100-000000000000"
CHECKPOINT = f"checkpoints/aggregate/{TOKEN}"
USUAL = ["1,5", "1,6", "1,4", "1,5", "1,6", "1,4"]
WATCH = Watch(zscore=5, warmup=4, rules=(1,))
NOW_S = START.timestamp() + 12 * 3600


def deps(memory: MemoryDeps, *watch: Watch) -> stage.AggregateDeps:
    domain = replace(AIR_QUALITY, lateness_s=0, watch=watch or (WATCH,))
    return replace(stage_deps(memory), domains=domains(domain))


def domains(domain: Domain) -> dict[str, Domain]:
    return {domain.name: domain}


def memory_deps() -> MemoryDeps:
    memory = MemoryDeps()
    memory.clock.time_s = NOW_S
    return memory


def published(values: Sequence[str], *, first_hour: int = 0) -> list[Entry]:
    """What clean publishes for hours with these values of carbon monoxide, a record per hour."""
    memory = MemoryDeps()
    for n, value in enumerate(values):
        rows = [source_row(first_hour + n, **{"CO(GT)": value})]
        clean.run(batch([pack(rows, n=first_hour + n)], first=first_hour + n + 1), clean_deps(memory))
    return memory.clean.entries


def items(memory: MemoryDeps, kind: str) -> list[dict[str, Any]]:
    return [findings.row(i) for i in memory.serving.query(findings.pk(kind, "default", "air_quality"))]


def test_a_window_that_stands_out_is_an_anomaly_in_the_table_and_in_the_lake() -> None:
    memory = memory_deps()

    summary = stage.run(clean_batch(published([*USUAL, "40", "1,5"])), deps(memory))

    found = items(memory, findings.ANOMALIES)
    assert summary.anomalies == 1
    assert [(i["metric"], i["rule"], i["severity"], i["value"]) for i in found] == [("co", "zscore", "critical", 40.0)]
    key = f"anomalies/domain=air_quality/date=2004-03-11/{TOKEN}-000000000001.parquet"
    row = parquet.from_bytes(memory.blobs.objects[key]).to_pylist()[0]
    assert (row["rule"], row["value"], row["shard"], row["generation"]) == ("zscore", 40.0, TOKEN, 1)


def test_what_is_found_does_not_depend_on_how_the_stream_is_cut_or_repeated() -> None:
    entries = published([*USUAL, "40", "1,5", "39", "1,5", "1,6"])
    once = memory_deps()
    stage.run(clean_batch(entries), deps(once))
    many = memory_deps()
    for end in range(1, len(entries) + 1):
        stage.run(clean_batch(entries[max(0, end - 3) : end], first=max(0, end - 3) + 1), deps(many))

    assert items(many, findings.ANOMALIES) == items(once, findings.ANOMALIES)
    assert len(items(once, findings.ANOMALIES)) == 2
    alerts = [[{k: v for k, v in i.items() if k != "version"} for i in items(m, findings.ALERTS)] for m in (many, once)]
    assert alerts[0] == alerts[1]


VALUES = [*USUAL, "40", "1,5", "39", "1,6"]
ENTRIES = published(VALUES)


def found_in(order: Sequence[int], lateness_s: int) -> list[dict[str, Any]]:
    """Anomalies once these hours have come, one batch each, and the schedule has closed their windows."""
    memory = memory_deps()
    patient = replace(AIR_QUALITY, lateness_s=lateness_s, watch=(WATCH,))
    stage_of = replace(stage_deps(memory), domains=domains(patient))
    for sequence, hour in enumerate(order, 1):
        stage.run(clean_batch([ENTRIES[hour]], first=sequence), stage_of)
    memory.clock.time_s += 30 * 86_400
    idle.close_idle(stage_of, idle_after_s=0)
    return items(memory, findings.ANOMALIES)


@settings(max_examples=12)
@given(st.permutations(range(len(VALUES))), st.lists(st.integers(0, len(VALUES) - 1), max_size=5))
def test_any_order_within_the_lateness_and_any_repetition_find_the_same(order: list[int], again: list[int]) -> None:
    """Figure 4: rows that come before their window closes may come in any order, and more than once."""
    in_order = found_in(range(len(VALUES)), 86_400)

    assert found_in([*order, *again], 86_400) == in_order
    assert [item["value"] for item in in_order] == [40.0, 39.0]


def test_an_alert_is_told_once_when_it_opens() -> None:
    memory = memory_deps()
    entries = published([*USUAL, "40", "1,5", "39", "1,5"])
    stage.run(clean_batch(entries[:8]), deps(memory))
    stage.run(clean_batch(entries[8:], first=9), deps(memory))

    (alert,) = items(memory, findings.ALERTS)
    (notice,) = memory.alerts.notices
    assert (alert["rule"], alert["count"], alert["severity"]) == ("zscore", 2, "critical")
    assert notice.id == f"{TOKEN}-000000000001-air_quality-default"
    assert notice.subject == "levada: 1 critical alert in air_quality"
    assert notice.attributes == {"domain": "air_quality", "tenant": "default", "severity": "critical"}
    told = json.loads(notice.body)
    assert [a["metric"] for a in told["first"]] == ["co"]
    assert told["first"][0]["opened"] == "2004-03-11T00:00:00.000000Z"


def test_a_replay_of_old_data_stores_its_alerts_and_wakes_no_one() -> None:
    memory = memory_deps()
    memory.clock.time_s = NOW_S + 3 * 86_400

    stage.run(clean_batch(published([*USUAL, "40", "1,5"])), deps(memory))

    assert len(items(memory, findings.ALERTS)) == 1
    assert not memory.alerts.notices


def test_a_topic_that_cannot_be_reached_is_told_by_the_next_invocation() -> None:
    memory = memory_deps()
    entries = published([*USUAL, "40", "1,5", "1,5"])
    memory.alerts.down = True
    summary = stage.run(clean_batch(entries[:8]), deps(memory))
    assert summary.unemitted
    memory.alerts.down = False
    memory.memo.clear()

    stage.run(clean_batch(entries[:8]), deps(memory))

    assert len(memory.alerts.notices) == 1
    assert len(items(memory, findings.ANOMALIES)) == 1


def set_limits(memory: MemoryDeps, *found: Limit) -> None:
    register = Register()
    for one in found:
        register.add(one)
    limits.store(memory.blobs, "air_quality", "default", register)


def test_control_limits_that_are_set_are_judged_by_while_they_hold() -> None:
    memory = memory_deps()
    until_us = int((START.timestamp() + 2 * 3600) * 1_000_000)
    set_limits(memory, Limit(kind=CONTROL, metric="co", lower=1.0, upper=2.0, until_us=until_us))

    stage.run(clean_batch(published(["2,5", "1,5", "2,5", "1,5"])), deps(memory))

    (found,) = items(memory, findings.ANOMALIES)
    assert (found["rule"], found["time"], found["lower"], found["center"], found["upper"]) == (
        "we1",
        int(START.timestamp()) * 1_000_000,
        1.0,
        1.5,
        2.0,
    )


def test_limits_that_somebody_broke_do_not_stop_the_stream() -> None:
    memory = memory_deps()
    memory.blobs.put("settings/limits/domain=air_quality/default.json", b"{")

    summary = stage.run(clean_batch(published([*USUAL, "40", "1,5"])), deps(memory))

    assert len(items(memory, findings.ANOMALIES)) == 1
    assert len(summary.problems) == 1
    assert "air_quality/default" in summary.problems[0]


def test_a_child_shard_goes_on_with_what_its_parent_knew() -> None:
    memory = memory_deps()
    parent, child = ShardToken.parse(TOKEN), ShardToken(0x6553F100, 1)
    stage.run(clean_batch(published([*USUAL, "1,5"])), deps(memory))
    memory.topology.parents_of[child] = [parent]
    later = published(["1,6", "40", "1,5"], first_hour=len(USUAL) + 1)

    stage.run(batch([e.data for e in later], first=100, shard=1, arn=CLEAN_ARN), deps(memory))

    (found,) = items(memory, findings.ANOMALIES)
    assert (found["rule"], found["value"], found["shard"]) == ("zscore", 40.0, str(child))
    header = Checkpoint.peek(memory.blobs.objects[f"checkpoints/aggregate/{child}"])
    assert header["inherited"] == {TOKEN: 1}


def test_a_checkpoint_of_an_earlier_version_is_read() -> None:
    memory = memory_deps()
    entries = published([*USUAL, "40", "1,5"])
    stage.run(clean_batch(entries[:2]), deps(memory))
    old = Checkpoint.from_bytes(memory.blobs.objects[CHECKPOINT])
    old.tables = {"open": open_of(old), "outbox": outbox_of(old)}
    assert all(table.num_rows for table in old.tables.values())
    for name in ("inherited", "layers", "layer_bytes", "bodies", "outbox_layers", "outbox_ends"):
        del old.header[name]
    memory.blobs.objects[CHECKPOINT] = old.to_bytes()

    stage.run(clean_batch(entries[2:], first=3), deps(memory))

    assert len(items(memory, findings.ANOMALIES)) == 1
