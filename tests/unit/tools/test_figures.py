"""Shop and jobs from generator to tables: the generator's own totals, the right latest states (E1, E3, C2, C4)."""

from __future__ import annotations

import io
import json
import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pytest

from levada.aggregate.latest import entity_pk, state_of
from levada.archive import handler as archive_handler
from levada.config import Config
from levada.core import packs
from levada.domains.registry import registered
from levada.ingest import http_handler
from levada.query import handler as query_handler
from levada.wiring import using
from levadactl import events
from levadactl.generators import check, outlets, running
from levadactl.generators.known import source_named
from levadactl.generators.ledger import Key, Ledger, read
from levadactl.generators.model import Plan
from levadactl.generators.sending import lines
from levadactl.loading import Lake
from levadactl.memory import MemoryDeps, MemorySink
from tests.unit.tools import pipeline

START_US = 1_767_225_600_000_000 - 3_600_000_000
"""An hour before the clock of the tests."""


@pytest.fixture
def everything() -> Iterator[MemoryDeps]:
    """The stages in memory, every domain enabled."""
    config = Config(bucket="lake", table="serving", raw_stream="raw", clean_stream="clean", auth="OPEN")
    with using(MemoryDeps(config=config)) as replaced:
        assert isinstance(replaced, MemoryDeps)
        yield replaced


def generated(
    deps: MemoryDeps, name: str, plan: Plan, *, resend: int = 0
) -> tuple[Lake, dict[str, Any], dict[Key, dict[str, Any]], dict[tuple[str, str], dict[str, Any]]]:
    """Run a plan over the stream: (lake, summary, the ledger's windows, its entities)."""
    source, domain, written, sink = source_named(name), registered()[name], io.StringIO(), MemorySink()
    session = running.session_of(source, plan)
    summary = running.run(
        source,
        plan,
        lambda: outlets.StreamOutlet(sink, deps.clock, domain, session, "default"),
        deps.clock,
        Ledger(domain, written),
        paced=False,
        resend=resend,
    )
    lake = pipeline.run(deps, [entry.data for entry in sink.entries], batch=400)
    return lake, summary, *read(iter(written.getvalue().splitlines()))


def served(path: str, **query: str) -> dict[str, Any]:
    """What the read API answers."""
    answer = query_handler.handler(events.rest("GET", path, query={"limit": "10000", **query}), None)
    assert answer["statusCode"] == 200, answer["body"]
    found: dict[str, Any] = json.loads(answer["body"])
    return found


def totals(windows: Mapping[Key, Mapping[str, Any]]) -> dict[tuple[str, str], tuple[int, float]]:
    """(series, metric) → (count, sum) over all windows."""
    out: dict[tuple[str, str], list[tuple[int, float]]] = defaultdict(list)
    for (_, _, _, series, metric), one in windows.items():
        out[series, metric].append((one["count"], one["sum"] or 0.0))
    return {key: (sum(n for n, _ in some), math.fsum(s for _, s in some)) for key, some in out.items()}


def test_shop_totals_are_the_generators_own_with_sixty_resends_late_and_bad_lines(everything: MemoryDeps) -> None:
    plan = Plan(start_us=START_US, duration_s=120, rate=10, bad=0.01, late=0.02, late_by_s=(15, 300))

    lake, summary, expected, _ = generated(everything, "shop", plan, resend=60)

    assert summary["sent"]["times"] == 61
    assert summary["lines"] == 1200
    assert summary["late"] > 5
    assert sum(summary["bad"].values()) > 5
    found = check.windows_of(lake, registered()["shop"])
    assert check.differences(expected, found["gold"]) == []
    assert check.differences(expected, found["serving"]) == []
    per_type = {series: n for (series, metric), (n, _) in totals(found["serving"]).items() if metric == "events"}
    assert per_type == summary["kinds"] | {"transaction_item": per_type["transaction_item"]}
    sales = {
        key: total for key, total in totals(found["serving"]).items() if key[1] in ("sales", "quantity", "revenue")
    }
    wanted = {key: total for key, total in totals(expected).items() if key in sales}
    assert len(sales) == 8 * 2 + 1
    assert {key: n for key, (n, _) in sales.items()} == {key: n for key, (n, _) in wanted.items()}
    assert all(math.isclose(sales[key][1], wanted[key][1], rel_tol=1e-9) for key in wanted)


def test_what_the_read_api_says_of_the_shop_adds_up_to_the_ledger(everything: MemoryDeps) -> None:
    plan = Plan(start_us=START_US, duration_s=300, rate=10, bad=0.01, late=0.02, late_by_s=(15, 100))
    _, _, expected, _ = generated(everything, "shop", plan)
    everything.clock.sleep(120)
    archive_handler.handler(events.schedule(idle_after_s=0), None)

    windows = served("/v1/windows", domain="shop", metric="revenue")["windows"]

    wanted = {key[0]: one for key, one in expected.items() if key[4] == "revenue"}
    assert len(windows) == len(wanted) == 10
    assert sum(one["count"] for one in windows) == sum(one["count"] for one in wanted.values())
    assert math.isclose(sum(one["sum"] for one in windows), sum(one["sum"] for one in wanted.values()), rel_tol=1e-9)
    assert [one["distinct"] for one in windows] == [wanted[start]["distinct"] for start in sorted(wanted)]


def test_jobs_out_of_order_twice_and_late_end_in_the_right_latest_state(everything: MemoryDeps) -> None:
    plan = Plan(start_us=START_US, duration_s=300, rate=10, bad=0.01, late=0.3, late_by_s=(0.5, 120), twice=0.1, seed=4)

    lake, summary, windows, entities = generated(everything, "jobs", plan)

    assert summary["late"] > 500
    assert summary["twice"] > 200
    domain, states = registered()["jobs"], {}
    for kind in domain.latest:
        for item in lake.serving.query(entity_pk("default", "jobs", kind)):
            states[kind, item["sk"]] = state_of(item)
    assert states.keys() == entities.keys()
    names = ("event_type", "status", "site", "app", "parent_id", "duration_s", "progress")
    for key, entity in entities.items():
        assert {name: states[key][name] for name in names} == {name: entity.get(name) for name in names}, key
    found = check.windows_of(lake, domain)
    assert check.differences(windows, found["gold"]) == []
    assert check.differences(windows, found["serving"]) == []


def test_the_errors_of_a_batch_of_jobs_name_exactly_the_broken_items(everything: MemoryDeps) -> None:
    made = list(lines(source_named("jobs"), Plan(start_us=START_US, duration_s=40, rate=10, bad=0.1)))

    answer = post([sent.line for sent in made])

    broken = [i for i, sent in enumerate(made) if sent.made is None]
    assert len(broken) > 20
    assert [error["index"] for error in answer["errors"]] == broken
    assert (answer["total"], answer["failed"], answer["success"]) == (400, len(broken), 400 - len(broken))
    everything.clean.entries.clear()
    lake = pipeline.run(everything, [entry.data for entry in list(everything.raw.entries)])
    assert lake.counters("clean")["jobs"]["rows"] == 400 - len(broken)
    assert lake.counters("clean")["jobs"]["quarantined"] == 0


def post(some: Sequence[bytes]) -> dict[str, Any]:
    """One batch over HTTP, as ``HttpOutlet`` sends it."""
    event = events.rest(
        "POST",
        "/v1/events/batch",
        query={"domain": "jobs"},
        body=packs.compress(b"\n".join(some), packs.NDJSON_GZIP),
        in_base64=True,
    )
    event["headers"] |= {"Content-Type": "application/x-ndjson", "Content-Encoding": "gzip", "Idempotency-Key": "k1"}
    answer: dict[str, Any] = json.loads(http_handler.handler(event, None)["body"])
    return answer
