"""levada run: what the schedules do by the clock, done now (C19, C14, C15, D10)."""

from __future__ import annotations

import json
from typing import Any

import pytest

from levadactl import loading
from levadactl.cli import main
from levadactl.commands.run import ORDERS, Duty
from levadactl.embedded.templates import read_template
from levadactl.loading import LoadError
from levadactl.memory import MemoryDeps
from tests.conftest import ROOT
from tests.unit.archive.test_idle import METRICS, aggregate, published
from tests.unit.levadactl.test_periods_commands import answer, here

__all__ = ["here"]  # the fixture


def test_each_duty_is_the_order_of_one_schedule() -> None:
    function = read_template(ROOT / "template.yaml")["Resources"]["ArchiveFunction"]["Properties"]
    events = [one["Properties"] for one in function["Events"].values() if one["Type"] == "Schedule"]

    sent = [json.loads(one.get("Input", "{}")).get("detail", {}) for one in events]

    assert sorted(sent, key=str) == sorted(ORDERS.values(), key=str)
    assert set(ORDERS) == set(Duty)


def test_duties_are_done_in_the_order_given_and_once_more_change_nothing(
    here: MemoryDeps, capsys: pytest.CaptureFixture[str]
) -> None:
    aggregate(here, published(range(30, 34), n=200), first=200)

    done = answer(capsys, "run idle rollups compact --idle-after 0")
    before = dict(here.blobs.objects)
    again = answer(capsys, "run idle rollups compact --idle-after 0")

    assert list(done) == ["idle", "rollups", "compact"]
    assert done["idle"]["idle"]["closed"] == 2 * METRICS
    assert done["rollups"]["rollups"]["gold"] > 0
    assert again["idle"]["idle"]["closed"] == again["rollups"]["rollups"]["gold"] == 0
    assert here.blobs.objects == before


@pytest.mark.usefixtures("here")
def test_one_partition_is_compacted(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    asked: list[dict[str, Any]] = []

    def order(_place: object, detail: dict[str, Any]) -> dict[str, Any]:
        asked.append(detail)
        return {}

    monkeypatch.setattr(loading, "order_archive", order)

    answer(capsys, "run compact idle --domain air_quality --date 2004-03-10 --idle-after 5")

    assert asked == [
        {"idle_after_s": 5, "compact": {"domain": "air_quality", "date": "2004-03-10"}},
        {"idle_after_s": 5},
    ]


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("run compact --date 2004-03-10", "both must be given"),
        ("run idle --domain air_quality", "are for compact"),
    ],
)
def test_options_that_do_not_belong_together_are_refused(
    line: str, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert words in answer(capsys, line, status=1)


@pytest.mark.usefixtures("here")
def test_a_duty_that_fails_holds_up_no_other(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def order(_place: object, detail: dict[str, Any]) -> dict[str, Any]:
        if "compact" in detail:
            raise LoadError("archive failed: lake is down")
        return {"idle": {"closed": 0}}

    monkeypatch.setattr(loading, "order_archive", order)

    assert main(["run", "compact", "idle", "--json"]) == 1
    assert json.loads(capsys.readouterr().out) == {
        "idle": {"idle": {"closed": 0}},
        "failed": {"compact": "archive failed: lake is down"},
    }
