"""``levada reprocess`` as people see it: words, usage, and what makes it wait."""

from __future__ import annotations

from pathlib import Path

import pytest
from rich.console import Console

from levada.domains.air_quality import AIR_QUALITY
from levadactl.cli import main
from levadactl.commands.reprocess import words
from levadactl.domains import the_one
from levadactl.errors import LevadactlError
from levadactl.memory import MemoryDeps
from levadactl.reprocessing.places import waiting
from tests.unit.reprocessing.world import anew, load, looked


def said(capsys: pytest.CaptureFixture[str], answer: object) -> str:
    Console(width=200, highlight=False).print(answer, markup=False)
    return capsys.readouterr().out


def test_a_look_tells_what_would_differ_and_how_to_go_on(
    memory: MemoryDeps, capsys: pytest.CaptureFixture[str]
) -> None:
    load(memory)
    report = looked(memory)
    capsys.readouterr()

    text = said(capsys, words(report, applied=False))

    changed = report.to_json()["windows"]["changed"]
    assert f"windows: 780 now; {changed} changed, 0 added, 0 removed, {780 - changed} same" in text
    assert "rows of silver: 780 now, 780 from bronze" in text
    assert f"metrics: co {changed}" in text
    assert f"| {report.differing[0].date} |" in text
    assert f"the same with --apply --expect {report.digest}" in text


def test_it_says_what_was_done_and_when_there_is_nothing_to_do(
    memory: MemoryDeps, capsys: pytest.CaptureFixture[str]
) -> None:
    load(memory)
    done, nothing = anew(memory), looked(memory)
    capsys.readouterr()

    assert f"made anew: {len(done.applied)} days" in said(capsys, words(done, applied=True))
    assert "nothing to do" in said(capsys, words(nothing, applied=False))


@pytest.mark.parametrize("option", [["--expect", "abc"], ["--all"]], ids=["expect", "all"])
def test_what_goes_with_apply_only_is_refused_without(option: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["reprocess", *option]) == 2
    assert "--expect and --all go with --apply" in capsys.readouterr().err


def test_a_file_must_declare_one_domain(tmp_path: Path) -> None:
    path = tmp_path / "two.py"
    path.write_text("from levada.domains.air_quality import AIR_QUALITY\nfrom levada.domains.sensor import SENSOR\n")

    with pytest.raises(LevadactlError, match=r"must declare one domain, not 2 \(air_quality, sensor\)"):
        the_one(str(path))
    assert the_one("air_quality") is AIR_QUALITY


def test_only_dead_letters_whose_rows_are_in_bronze_come_first() -> None:
    refused_by_clean = {"stage": "clean", "count": 3}
    assert waiting({"held_messages": 0, "batches": [], "groups": [refused_by_clean]}) == ""

    told = waiting(
        {
            "held_messages": 0,
            "batches": [{"batches": 2}],
            "groups": [refused_by_clean, {"stage": "aggregate", "count": 1}],
        }
    )

    assert told.startswith("2 discarded batches and 1 records that aggregate refused wait to come again")
