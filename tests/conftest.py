"""What all tests share: where things are, event files, and the stages' dependencies in memory."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from levada.config import Config
from levada.wiring import using
from levadactl.memory import MemoryDeps

ROOT = Path(__file__).parents[1]
EVENTS = ROOT / "events"
DATA = ROOT.parent / "shared" / "data"

# CI machines are slow and shared: a deadline would test them, not us
settings.register_profile("levada", deadline=None, suppress_health_check=[HealthCheck.too_slow])
# CI says whether a change is good, the same each time; every other run looks for new examples
settings.register_profile("ci", settings.get_profile("levada"), derandomize=True, database=None)
settings.load_profile("ci" if os.environ.get("CI") else "levada")


def load_event(name: str) -> dict[str, Any]:
    """The event in events/<name>.json."""
    event: dict[str, Any] = json.loads((EVENTS / f"{name}.json").read_text())
    return event


@pytest.fixture(scope="session")
def air_quality_file() -> Path:
    """The published UCI file; tests that need it are skipped where it is missing."""
    path = DATA / "AirQualityUCI.csv"
    if not path.exists():
        pytest.skip(f"{path.name} is not in ../shared/data")
    return path


@pytest.fixture
def memory() -> Iterator[MemoryDeps]:
    """Every handler runs on these ports in memory during the test, with one domain, which then need not be named."""
    names = {"bucket": "lake", "table": "serving", "raw_stream": "raw", "clean_stream": "clean", "auth": "OPEN"}
    config = Config(**names, domains_enabled="air_quality")  # type: ignore[arg-type]
    with using(MemoryDeps(config=config)) as replaced:
        assert isinstance(replaced, MemoryDeps)
        yield replaced
