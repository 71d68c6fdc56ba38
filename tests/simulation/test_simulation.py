"""The proof of exactly once: whatever order, duplication, crash, redelivery, bisect, reshard: the same tables."""

from __future__ import annotations

import pytest

from tests.simulation import mutations
from tests.simulation.run import run_many, run_one, shrink
from tests.simulation.world import Plan

SEEDS = 200
CHUNK = 20


@pytest.mark.parametrize("first", range(0, SEEDS, CHUNK))
def test_the_tables_equal_a_batch_query_over_the_distinct_input(first: int) -> None:
    """B19, B25, D17, D22, D27, E3. ``make simulate SEEDS=2000`` runs more of them."""
    report = run_many(range(first, first + CHUNK), stop_at_first=True)

    assert not report.failures, str(shrink(report.failures[0]))
    assert set(report.faults) >= {"crash_before", "crash_after", "refused", "lost_response", "entry_refused", "failed"}
    assert report.zombies


@pytest.mark.parametrize("name", ["fence", "open_days"])
def test_a_seed_repeats_exactly(name: str) -> None:
    """One of those that make days anew, too."""
    with mutations.applied(name):
        first = run_many(mutations.seeds(name, SEEDS), stop_at_first=True).failures[0]
        again = run_one(Plan.of(first.plan.seed))

    assert again is not None
    assert (again.says, again.trace) == (first.says, first.trace)
