"""Events made anew (D22, D18): the events themselves, their rollups, and the latest states of entities."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pyarrow as pa
import pytest

from levada.aggregate.latest import state_of
from levada.archive.handler import handler as archive
from levada.config import Config
from levada.domains.declaration import Derived, Domain
from levada.domains.jobs import JOBS
from levada.domains.shop import SHOP
from levada.query.windows import served_windows
from levada.wiring import using
from levadactl import events
from levadactl.domain_samples import SAMPLES
from levadactl.memory import MemoryDeps
from tests.unit.reprocessing.world import anew, looked
from tests.unit.tools import pipeline


@pytest.fixture
def memory() -> Iterator[MemoryDeps]:
    config = Config(bucket="lake", table="serving", raw_stream="raw", clean_stream="clean", domains_enabled="jobs,shop")
    with using(deps := MemoryDeps(config=config)):
        for name in ("jobs", "shop"):
            bodies = [events.compact({"domain": name, **dict(one)}) for one in SAMPLES[name].good]
            pipeline.run(deps, bodies)
        deps.clock.time_s += 86_400
        archive(events.schedule(idle_after_s=0), None)
        yield deps


def revenue(deps: MemoryDeps) -> list[float]:
    found: list[float] = served_windows(deps.serving, "shop", "default", metric="revenue")["sum"].to_pylist()
    return found


def states(deps: MemoryDeps) -> list[dict[str, object]]:
    return [state_of(item) for (pk, _), item in deps.serving.items.items() if pk.startswith("entity#default#jobs")]


@pytest.mark.parametrize("domain", [JOBS, SHOP], ids=["jobs", "shop"])
def test_the_same_code_makes_the_same_events(memory: MemoryDeps, domain: Domain) -> None:
    report = looked(memory, domain)

    assert report.differing == []
    told = report.to_json()
    assert told["rows"]["after"]["events"] == told["rows"]["before"]["events"] > 0
    assert told["windows"]["same"] > 0


def test_wider_windows_of_events(memory: MemoryDeps) -> None:
    before = sum(revenue(memory))
    assert before > 0

    report = anew(memory, replace(SHOP, window_s=3600))

    assert report.applied
    assert sum(revenue(memory)) == pytest.approx(before)
    assert set(served_windows(memory.serving, "shop", "default")["width_s"].to_pylist()) == {3600}
    assert anew(memory, replace(SHOP, window_s=3600)).applied == []


def louder(rows: pa.Table) -> Derived:
    """The published function, but that every event is critical."""
    assert JOBS.derive is not None
    made = JOBS.derive(rows)
    assert made.events is not None
    severity = made.events.schema.get_field_index("severity")
    critical = pa.array(["critical"] * made.events.num_rows)
    return made._replace(events=made.events.set_column(severity, "severity", critical))


def test_latest_states_show_what_the_new_code_reads(memory: MemoryDeps) -> None:
    before = states(memory)
    assert before
    assert "critical" not in {state["severity"] for state in before}

    anew(memory, replace(JOBS, derive=louder))

    assert len(states(memory)) == len(before)
    assert {state["severity"] for state in states(memory)} == {"critical"}


def test_a_function_that_fails_on_old_rows_is_seen_before_it_does_harm(memory: MemoryDeps) -> None:
    broken = replace(JOBS, fields={name: kind for name, kind in JOBS.fields.items() if name != "progress"})

    told = looked(memory, broken).to_json()

    assert told["refused"] == {"derive_failed": 4}
    assert (told["rows"]["before"], told["rows"]["after"]) == ({"events": 4}, {"events": 0})
