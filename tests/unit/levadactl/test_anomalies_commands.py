"""levada anomalies, alerts, late ls, latest and windows --open as they are called; the API is in memory."""

from __future__ import annotations

from typing import Any

import pytest

from levadactl.cli import main
from levadactl.memory import MemoryDeps
from tests.events import test_query_anomalies
from tests.unit.archive.test_idle import aggregate, published
from tests.unit.levadactl.test_periods_commands import answer, here

__all__ = ["here"]  # the fixture


def human(capsys: pytest.CaptureFixture[str], line: str) -> str:
    assert main(line.split()) == 0
    return capsys.readouterr().out


def test_anomalies_are_listed_with_their_windows(here: MemoryDeps, capsys: pytest.CaptureFixture[str]) -> None:
    """C19, D14: filters go to the API; the table shows what it was judged by."""
    test_query_anomalies.put(here)

    found: Any = answer(capsys, "anomalies --rule zscore --severity warning --series a")["anomalies"]
    shown = human(capsys, "anomalies --limit 1")

    assert [row["time"] for row in found] == ["1970-01-01T01:00:00Z", "1970-01-01T02:00:00Z"]
    assert "1970-01-01T01:00:00Z" in shown
    assert "we1" in shown


def test_alerts_are_listed(here: MemoryDeps, capsys: pytest.CaptureFixture[str]) -> None:
    test_query_anomalies.put(here)

    assert len(answer(capsys, "alerts --metric co")["alerts"]) == 3
    assert "critical" in human(capsys, "alerts --severity critical")


def test_who_is_late(here: MemoryDeps, capsys: pytest.CaptureFixture[str]) -> None:
    aggregate(here, published([2], n=100), first=100)

    (row,) = answer(capsys, "late ls --metric co")["late"]

    assert (row["rows"], row["beyond"]) == (1, 1)
    assert "1 day, 3:00:00" in human(capsys, "late ls --metric co")


def test_open_windows_are_shown_as_such(here: MemoryDeps, capsys: pytest.CaptureFixture[str]) -> None:
    aggregate(here, published([30, 31], n=200), first=200)

    rows = answer(capsys, "windows --metric co --open --limit 100")["windows"]

    assert [row["provisional"] for row in rows][-3:] == [False, True, True]
    assert "closed" in human(capsys, "windows --metric co --open")


def test_the_newest_window_of_each_series(here: MemoryDeps, capsys: pytest.CaptureFixture[str]) -> None:
    """D19, E10."""
    aggregate(here, published([30, 31], n=200), first=200)

    closed, both = (answer(capsys, f"latest {options}")["latest"] for options in ("", "--open --since 2004-03-11"))
    page = answer(capsys, "latest --limit 12")
    (rest,) = answer(capsys, f"latest --after {page['next']}")["latest"]

    assert len(closed) == len(both) == 13
    assert [row["metric"] for row in closed] == sorted(row["metric"] for row in both)
    assert {row["provisional"] for row in both} == {True}
    assert {row["start"] for row in both} == {"2004-03-12T01:00:00Z"}
    assert rest == closed[12]
    assert "closed" not in human(capsys, "latest --open --metric co")


@pytest.mark.usefixtures("here")
def test_a_refusal_is_said_in_the_words_of_the_api(capsys: pytest.CaptureFixture[str]) -> None:
    assert "since" in answer(capsys, "anomalies --since yesterday", status=1)


def test_history_is_judged_anew_by_limits_that_were_set_since(
    here: MemoryDeps, capsys: pytest.CaptureFixture[str]
) -> None:
    """D22, D35: what would be found now, and nothing is written."""
    assert answer(capsys, "judge")["windows"] == 30 * 13
    answer(capsys, "limits set --kind control --metric co --upper 1 --lower 0")
    before = dict(here.serving.items)

    found = answer(capsys, "judge --metric co --limit 3")
    shown = human(capsys, "judge --metric co --limit 3")

    n = 30 + 29 + 27 + 23  # of 30 windows: each beyond the limit, 2 of 3, 4 of 5, 8 on one side
    assert (found["only_anew"], found["only_told"], len(found["differing"])) == (n, 0, 3)
    assert sum(day["only_anew"] for day in found["days"].values()) == n
    assert answer(capsys, "judge --metric nox")["only_anew"] == 0
    assert answer(capsys, "judge --since 2004-03-12")["only_anew"] == 0
    assert "390 windows; 0 as told, 0 told otherwise, 109 not told before, 0 told and no longer found" in shown
    assert "and 106 more" in shown
    assert here.serving.items == before


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("line", ["judge --since soon", "judge --domain nobody", "judge --domain nothing.py"])
def test_judge_names_what_is_wrong(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert line.split()[-1] in answer(capsys, line, status=1)
