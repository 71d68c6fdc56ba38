"""The domains of the simulation, in place of the built-in ones, for every test here."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.simulation.run import sim_domain


@pytest.fixture(autouse=True)
def _domains() -> Iterator[None]:
    with sim_domain():
        yield
