"""The simulation bites: each protection that is switched off makes some schedule fail."""

from __future__ import annotations

import pytest

from tests.simulation import mutations
from tests.simulation.run import run_many
from tests.simulation.test_simulation import SEEDS


@pytest.mark.parametrize("name", mutations.ALL)
def test_the_simulation_notices_when_a_protection_is_switched_off(name: str) -> None:
    with mutations.applied(name):
        report = run_many(mutations.seeds(name, SEEDS), stop_at_first=True)

    assert report.failures, f"{name} is off and {SEEDS} schedules did not notice"
