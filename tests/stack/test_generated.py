"""On the embedded stack: the smoke test, and generated shop and jobs as their ledgers say (A23, E1, E3, C4)."""

from __future__ import annotations

import io
import time
from typing import Any

import pytest

from levada.adapters.kinesis import KinesisSink
from levada.aggregate.latest import entity_pk, state_of
from levada.domains.registry import registered
from levada.wiring import SystemClock
from levadactl import loading
from levadactl.generators import check, outlets, running
from levadactl.generators.known import source_named
from levadactl.generators.ledger import Ledger, read
from levadactl.generators.model import Plan
from levadactl.loading import Lake, Streams
from levadactl.places import Place, wait_until
from levadactl.smoking import HttpApi, Smoke

pytestmark = pytest.mark.stack


def test_the_smoke_test_passes_in_under_a_minute(embedded_stack: Place) -> None:
    place, start = embedded_stack, time.monotonic()

    checks = list(Smoke(HttpApi(place.api_url), SystemClock(), lambda: loading.close_idle_windows(place)).run())

    assert [(c.name, c.ok) for c in checks] == [
        (name, True) for name in ("health", "upload", "run", "flush", "query")
    ], checks
    assert time.monotonic() - start < 60


def generated(place: Place, name: str, plan: Plan, *, resend: int) -> tuple[dict[str, Any], Lake, Any, Any]:
    """Send a plan to the stack and wait until its last event is in its window."""
    source, domain, written = source_named(name), registered()[name], io.StringIO()
    sink, session = KinesisSink(place.client("kinesis"), place.raw_stream), running.session_of(source, plan)
    summary = running.run(
        source,
        plan,
        lambda: outlets.StreamOutlet(sink, SystemClock(), domain, session, loading.TENANT),
        SystemClock(),
        Ledger(domain, written),
        paced=False,
        resend=resend,
    )
    lake = Lake.of(place)
    assert wait_until(Streams(place, lake).settled, timeout_s=120), "the streams were not read to their ends"
    loading.close_idle_windows(place)
    return summary, lake, *read(iter(written.getvalue().splitlines()))


def plan_of(**changed: Any) -> Plan:
    start_us = (int(time.time()) - 1800) // 60 * 60 * 1_000_000
    return Plan(**({"start_us": start_us, "duration_s": 60, "rate": 10, "bad": 0.01} | changed))


def test_shop_windows_are_what_the_generators_ledger_says(embedded_stack: Place) -> None:
    plan = plan_of(late=0.02, late_by_s=(15, 120))

    summary, lake, windows, _ = generated(embedded_stack, "shop", plan, resend=4)

    assert summary["sent"]["times"] == 5
    found = check.windows_of(lake, registered()["shop"])
    assert check.differences(windows, found["gold"]) == []
    assert check.differences(windows, found["serving"]) == []


def test_jobs_end_in_the_latest_state_that_the_generator_gave_them(embedded_stack: Place) -> None:
    plan = plan_of(late=0.3, late_by_s=(0.5, 60), twice=0.1)

    _, lake, _, entities = generated(embedded_stack, "jobs", plan, resend=1)

    states = {
        (kind, item["sk"]): state_of(item)
        for kind in registered()["jobs"].latest
        for item in lake.serving.query(entity_pk(loading.TENANT, "jobs", kind))
    }
    names = ("event_type", "status", "site", "app", "duration_s", "progress")
    assert {key: [state[name] for name in names] for key, state in states.items()} == {
        key: [entity.get(name) for name in names] for key, entity in entities.items()
    }
