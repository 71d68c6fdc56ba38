"""``levada reprocess`` on a real stack (D22, B25): through S3, DynamoDB and the archive function, and the command."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from levada.core import keys, rollups
from levada.domains.air_quality import AIR_QUALITY
from levada.query.windows import served_windows
from levadactl import generate
from levadactl.loading import Lake, close_idle_windows
from levadactl.places import Place
from levadactl.reprocessing.places import ports_of
from levadactl.reprocessing.ports import Days
from levadactl.reprocessing.run import reprocess
from tests.stack.loads import load
from tests.unit.reprocessing.world import TIGHTER, quietly

YEAR_2011 = Days.touched(1_293_840_000_000_000, 1_325_376_000_000_000)
"""Of which no other test loads anything."""


@pytest.fixture
def loaded(embedded_stack: Place, tmp_path: Path) -> Place:
    path = tmp_path / "of_2011.csv"
    rows = [";".join(fields).replace("/2004;", "/2011;", 1) for fields in generate.rows(5, 40)]
    path.write_text("\r\n".join([generate.HEADER, *rows]) + "\r\n", newline="")
    load(embedded_stack, path)
    close_idle_windows(embedded_stack)
    return embedded_stack


def co_above_2(place: Place) -> int:
    windows = served_windows(Lake.of(place).serving, "air_quality", "default", metric="co", since_us=YEAR_2011.since_us)
    return sum(value is not None and value > 2.0 for value in windows["max"].to_pylist())


def highest_co_of_months(place: Place) -> float:
    """Of 2011, as its rollups have it."""
    blobs = Lake.of(place).blobs
    found = [
        rollups.from_bytes(blobs.get(blob.key)[0]) for blob in blobs.list(keys.rollup_prefix("air_quality", "1mo"))
    ]
    rows = [row for table in found for row in table.to_pylist()]
    return float(max(row["max"] for row in rows if row["metric"] == "co" and row["window_start"].year == 2011))


@pytest.mark.stack
def test_days_are_made_anew_and_back_again(loaded: Place) -> None:
    assert co_above_2(loaded) > 0
    tighter = replace(ports_of(loaded, TIGHTER), waiting=lambda: "")  # other tests may have left dead letters
    published = replace(ports_of(loaded, AIR_QUALITY), waiting=lambda: "")

    report = reprocess(tighter, YEAR_2011, quietly, apply=True)
    try:
        assert report.left == {}
        assert report.applied
        assert report.rolled_up["rollups"]["objects"] > 0
        assert co_above_2(loaded) == 0
        assert reprocess(tighter, YEAR_2011, quietly).differing == []
        assert highest_co_of_months(loaded) <= 2.0
    finally:
        back = reprocess(published, YEAR_2011, quietly, apply=True)

    assert back.applied == report.applied
    assert co_above_2(loaded) > 0
    assert highest_co_of_months(loaded) > 2.0


@pytest.mark.stack
def test_the_command_shows_what_a_declaration_would_change(loaded: Place, tmp_path: Path) -> None:
    declaration = tmp_path / "tighter.py"
    declaration.write_text(
        "from dataclasses import replace\n"
        "import levada.domains.air_quality as published\n"
        '_CO = replace(published.AIR_QUALITY.metrics["CO(GT)"], high=2)\n'
        'TIGHTER = replace(published.AIR_QUALITY, metrics={**published.AIR_QUALITY.metrics, "CO(GT)": _CO})\n'
    )
    words = ["reprocess", "--domain", str(declaration), "--since", "2011-01-01", "--until", "2012-01-01", "--json"]

    done = subprocess.run(
        [sys.executable, "-m", "levadactl.cli", "--state-dir", str(loaded.state), *words],
        env=loaded.child_environment(),
        capture_output=True,
        text=True,
        check=False,
    )

    if "wait to come again" in done.stderr:
        pytest.skip("another test of this session has left dead letters, for which the command waits")
    told = json.loads(done.stdout)
    assert done.returncode == 0, done.stderr
    assert told["metrics"] == {"co": told["windows"]["changed"]}
    assert told["applied"] == []
    assert "comparing days" in done.stderr
