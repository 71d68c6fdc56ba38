"""Answers on stdout, everything else on stderr, and no control codes in a pipe."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from levadactl import console

DATA = {
    "at": datetime(2026, 1, 2, tzinfo=UTC),
    "path": Path("/x"),
    "rows": [{"n": 1}, {"n": 2}],
    "none": None,
    "empty": [],
}


def test_json_is_one_object_on_stdout_with_times_in_iso(capsys: pytest.CaptureFixture[str]) -> None:
    console.answer(DATA, as_json=True, human="not this")

    said = capsys.readouterr()
    assert said.err == ""
    assert json.loads(said.out) == {
        "at": "2026-01-02T00:00:00+00:00",
        "path": "/x",
        "rows": [{"n": 1}, {"n": 2}],
        "none": None,
        "empty": [],
    }


def test_without_json_and_words_the_answer_is_listed(capsys: pytest.CaptureFixture[str]) -> None:
    console.answer(DATA, as_json=False)

    assert capsys.readouterr().out.splitlines() == [
        "at: 2026-01-02 00:00:00+00:00",
        "path: /x",
        "rows:",
        "  1:",
        "    n: 1",
        "  2:",
        "    n: 2",
        "none: None",
        "empty: []",
    ]


def test_brackets_in_text_are_text(capsys: pytest.CaptureFixture[str]) -> None:
    console.say("[bold] is [/not] markup")
    console.warn("[red]")
    console.answer({}, as_json=False, human="[i]")
    console.answer({}, as_json=False, human=console.together("[/]", console.table("T", ["a"], [["[/b]"], [None]])))

    said = capsys.readouterr()
    assert said.err == "[bold] is [/not] markup\nwarning: [red]\n"
    assert said.out.startswith("[i]\n[/]\n")
    assert "[/b]" in said.out


def test_a_piped_line_is_not_wrapped(capsys: pytest.CaptureFixture[str]) -> None:
    console.say("word " * 100)

    assert capsys.readouterr().err.count("\n") == 1


def test_a_piped_progress_says_where_it_ends_without_control_codes(capsys: pytest.CaptureFixture[str]) -> None:
    with console.progress("loading", 200, unit="rows") as advance:
        for _ in range(4):
            advance(50)

    said = capsys.readouterr()
    assert said.out == ""
    assert said.err == "loading: 200 of 200 (100%) rows\n"


def test_a_piped_progress_says_a_line_now_and_then(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(console, "PLAIN_EVERY_S", 0.0)

    with console.progress("loading", 0) as advance:
        advance(1)
        advance(1)

    assert capsys.readouterr().err == "loading: 1\nloading: 2\nloading: 2\n"


def test_a_progress_that_fails_does_not_claim_its_end(capsys: pytest.CaptureFixture[str]) -> None:
    def load() -> None:
        with console.progress("loading", 2) as advance:
            advance(1)
            raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        load()

    assert capsys.readouterr().err == ""
