"""Figure 4 of the windows' issue: days and months of all 13 metrics equal DuckDB over the published file (C14)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from levada.aggregate.handler import handler as aggregate
from levada.archive.handler import handler as archive
from levada.query.handler import handler as query
from levada.wiring import using
from levadactl import events
from levadactl.events import rest
from levadactl.memory import MemoryDeps
from tests import published
from tests.unit.tools.pipeline import clean, file_packs


@pytest.fixture(scope="module")
def rolled(air_quality_file: Path) -> MemoryDeps:
    memory = MemoryDeps()
    with using(memory):
        clean(memory, file_packs(air_quality_file.read_text()))
        aggregate(events.kinesis([entry.data for entry in memory.clean.entries], stream="clean", first=1), None)
        archive({"source": "levada.test", "detail": {"idle_after_s": 0, "rollups": "due"}}, None)
    return memory


def served(memory: MemoryDeps, period: str) -> list[dict[str, Any]]:
    with using(memory):
        answer = query(
            rest("GET", "/v1/rollups", query={"domain": "air_quality", "period": period, "limit": "10000"}), None
        )
    found = json.loads(answer["body"])
    assert found["next"] is None
    rows: list[dict[str, Any]] = found["rollups"]
    return rows


@pytest.mark.parametrize(("period", "unit", "n"), [("1d", "day", 391 * 13), ("1mo", "month", 14 * 13)])
def test_rollups_of_the_published_file_equal_one_query_over_it(
    period: str, unit: str, n: int, rolled: MemoryDeps, air_quality_file: Path
) -> None:
    wanted = published.rollups(air_quality_file, unit)

    assert len(wanted) == n
    published.assert_same(served(rolled, period), wanted)
