"""``levada dlq`` as it is called: options, answers, exit statuses."""

from __future__ import annotations

import json
from typing import Any

import pytest

from levadactl.cli import main
from levadactl.deadletters import aws
from levadactl.places import Place
from tests.unit.deadletters.fakes import BROKEN, FIXED, Pipeline, reading
from tests.unit.deadletters.steps import pack


@pytest.fixture
def pipeline(monkeypatch: pytest.MonkeyPatch) -> Pipeline:
    made = Pipeline(BROKEN)
    monkeypatch.setattr(Place, "current", classmethod(lambda cls: None))
    monkeypatch.setattr(aws, "ports_of", lambda place: made.ports)
    made.produce(pack(reading(1), reading(2, good=False), reading(3, good=False)))
    made.run()
    return made


def answer(capsys: pytest.CaptureFixture[str], *argv: str, status: int = 0) -> Any:
    assert main(["dlq", *argv, "--json"]) == status
    return json.loads(capsys.readouterr().out)


def test_ls_show_dry_run_redrive_and_again(pipeline: Pipeline, capsys: pytest.CaptureFixture[str]) -> None:
    listed = answer(capsys, "ls")
    assert [(g["reason"], g["count"]) for g in listed["groups"]] == [("not_a_time", 2)]
    shown = answer(capsys, "show", listed["groups"][0]["example"]["id"])
    assert json.loads(shown["payload"])["a"] == 2
    assert answer(capsys, "redrive", "--all", "--dry-run", status=1)["letters"]["failing"] == {"not_a_time": 2}
    pipeline.domains = FIXED

    assert answer(capsys, "redrive", "--all", "--dry-run")["letters"]["passing"] == 2
    assert answer(capsys, "redrive", "--reason", "not_a_time", "--rate", "100/s")["letters"]["sent"] == 2
    assert answer(capsys, "redrive", "--all")["letters"]["selected"] == 0
    assert answer(capsys, "ls")["outstanding"] == 0
    pipeline.run()
    pipeline.holds(1, 2, 3)


def test_people_get_words(pipeline: Pipeline, capsys: pytest.CaptureFixture[str]) -> None:
    pipeline.discard(*_put_and_place(pipeline))

    assert main(["dlq", "ls"]) == 0
    out = capsys.readouterr().out
    assert "not_a_time" in out
    assert "RetryAttemptsExhausted" in out
    assert main(["dlq", "redrive", "--all", "--dry-run"]) == 1
    out = capsys.readouterr().out
    assert "nothing was sent" in out
    assert "0 of 2 would pass, with 0 rows; not: 2 not_a_time" in out
    pipeline.domains = FIXED
    assert main(["dlq", "redrive", "--all"]) == 0
    seen = capsys.readouterr()
    assert "2 of 2 sent" in seen.out
    assert "discarded batches: 1 with 1 records in the stream, 1 sent, 1 rows" in seen.out
    assert "redriving: 3 of 3 (100%) records" in seen.err
    assert main(["dlq", "ls"]) == 0
    assert capsys.readouterr().out.strip() == "no dead letters"
    assert main(["dlq", "redrive", "--all"]) == 0
    assert "no dead letter is outstanding that fits" in capsys.readouterr().out


def _put_and_place(pipeline: Pipeline) -> tuple[Any, int, int]:
    pipeline.produce(pack(reading(9), source="z#01"))
    shard = next(i for i in range(2) if pipeline.next_batch(pipeline.raw, i, 10))
    return pipeline.raw, shard, 10


@pytest.mark.parametrize(
    "argv",
    [[], ["--all", "--reason", "x"], ["--all", "--rate", "fast"], ["--all", "--rate", "0"], ["--all", "--rate", "nan"]],
)
def test_a_choice_must_be_made_and_a_rate_be_a_number(
    pipeline: Pipeline, capsys: pytest.CaptureFixture[str], argv: list[str]
) -> None:
    assert main(["dlq", "redrive", *argv]) == 2
    assert pipeline.silver() == [1.0]


def test_an_unknown_id_is_one_line(pipeline: Pipeline, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["dlq", "show", "nothing"]) == 1
    assert capsys.readouterr().err.strip() == (
        "levada: no one dead letter has the id 'nothing'; levada dlq ls names them"
    )
