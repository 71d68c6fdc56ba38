"""``levada demo``: an empty stack every time, exact figures, left running until ``levada down``."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from levadactl import embedded
from levadactl.embedded import processes
from tests import published

pytestmark = pytest.mark.stack
TIMEOUT_S = 280
ROWS = 1500


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("demo-state")
    yield folder
    embedded.stop_all(folder)


def levada(home: Path, *arguments: str) -> tuple[int, str]:
    """Run the command in a process of its own; (exit status, stdout)."""
    environment = {**os.environ, "LEVADA_STATE_DIR": str(home)}
    environment.pop("AWS_ENDPOINT_URL", None)
    done = subprocess.run(
        [sys.executable, "-m", "levadactl.cli", *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    sys.stderr.write(done.stderr)
    return done.returncode, done.stdout


def demo(home: Path, *arguments: str) -> dict[str, Any]:
    status, out = levada(home, "demo", "--json", *arguments)
    assert status == 0
    answer: dict[str, Any] = json.loads(out)
    return answer


def test_made_up_data_goes_from_a_file_to_exact_windows(home: Path) -> None:
    """Few of them: how much it is, the published file of the next test sees to."""
    answer = demo(home, "--rows", str(ROWS))

    assert (answer["rows_read"], answer["empty_rows"], answer["bad_rows"]) == (ROWS, 114, 0)
    assert answer["measurements"] == answer["silver_rows"] == answer["windows"] == ROWS * 13
    assert answer["values"] + answer["missing"] + answer["out_of_range"] == answer["measurements"]
    assert answer["missing"] > 0
    assert answer["verify"] == {"windows": ROWS * 13, "mismatches": 0, "examples": []}
    assert processes.marked(home / "demo"), "the stack is left running to look around"


def test_the_published_file_gives_the_figures_that_are_known_of_it(home: Path, air_quality_file: Path) -> None:
    """Runs on the same folder: the demo before it must have been replaced, or its rows would count as well."""
    answer = demo(home, "--data", str(air_quality_file))

    known = {
        "rows_read": 9357,
        "empty_rows": 114,
        "measurements": 121641,
        "missing": 16701,
        "out_of_range": 78,
        "values": 104862,
        "quarantined": 0,
        "silver_rows": 121641,
        "silver_dates": 391,
        "windows": 121641,
    }
    assert {name: answer[name] for name in known} == known
    assert answer["verify"]["windows"] == 121641
    assert answer["verify"]["mismatches"] == 0
    assert answer["seconds"] > 0


def test_rollups_and_capability_of_the_published_file(home: Path, air_quality_file: Path) -> None:
    """C14, D15, D16: days and months of all 13 metrics equal one query over the file; KPI follow from limits."""
    status, _ = levada(home, "limits", "set", "--metric", "co", "--lower", "0", "--upper", "4", "--from", "2004-04-01")
    assert status == 0
    status, out = levada(home, "rollups", "make", "--json")
    assert status == 0
    assert json.loads(out)["rollups"]["gold"] > 0
    for period, unit in (("1d", "day"), ("1mo", "month")):
        status, out = levada(home, "rollups", "ls", "--period", period, "--limit", "10000", "--json")
        assert status == 0
        published.assert_same(json.loads(out)["rollups"], published.rollups(air_quality_file, unit))

    status, out = levada(home, "kpi", "--period", "1mo", "--limit", "100", "--json")
    months = json.loads(out)["kpi"]
    assert [row["start"][:7] for row in months] == [
        *(f"2004-{month:02d}" for month in range(4, 13)),
        *(f"2005-{month:02d}" for month in range(1, 5)),
    ]
    assert all(row["ppk"] is not None and row["within"] == "moving_range" for row in months)
    status, out = levada(home, "rollups", "make", "--json")
    assert json.loads(out)["rollups"]["objects"] == 0


def test_what_the_demo_suggests_works_and_down_stops_it(home: Path) -> None:
    status, out = levada(home, "windows", "--metric", "co", "--width", "86400", "--limit", "3", "--json")
    assert status == 0
    windows = json.loads(out)["windows"]
    assert [window["metric"] for window in windows] == ["co"] * 3
    assert windows[0]["start"] == "2004-03-10T00:00:00Z"

    status, out = levada(home, "peek", "--from-start", "--limit", "2", "--json")
    assert status == 0
    assert [record["header"]["position"] for record in json.loads(out)["records"]] == [0, 1]

    assert levada(home, "verify", "--json")[0] == 0
    assert levada(home, "down", "--json")[0] == 0
    assert processes.marked(home / "demo") == []
