"""``levada invoke`` and ``levada generate``: JSON on stdout, refusals in one line, examples in every help."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from levadactl import events
from levadactl.cli import app, main, register_commands
from levadactl.peeking import decode
from tests.conftest import EVENTS

OURS = ("upload", "replay", "peek", "invoke", "windows", "generate", "verify", "demo")


@pytest.mark.parametrize("name", OURS)
def test_every_help_ends_with_an_example(name: str) -> None:
    register_commands()
    (command,) = [command for command in app.registered_commands if command.callback.__name__ == name]  # type: ignore[union-attr]

    assert (command.epilog or "").startswith(f"Example: levada {name}")


def test_invoke_prints_the_answer_and_what_it_left_behind(capsys: pytest.CaptureFixture[str]) -> None:
    status = main(["invoke", "clean", str(EVENTS / "clean" / "good_bad_good.json")])

    answer = json.loads(capsys.readouterr().out)
    assert status == 0
    assert answer["answer"] == {"batchItemFailures": []}
    prefixes = {key.partition("/")[0] for key in answer["left_behind"]["objects"]}
    assert prefixes == {"bronze", "silver", "quarantine", "checkpoints"}
    assert answer["left_behind"]["clean"][0]["header"]["count"] == 26


@pytest.mark.parametrize(("auth", "status"), [("OPEN", 200), ("REQUIRED", 401)])
def test_invoke_wants_tokens_where_it_is_told_so(auth: str, status: int, capsys: pytest.CaptureFixture[str]) -> None:
    event = str(EVENTS / "query" / "token_missing.json")
    assert main(["invoke", "query", event, "--auth", auth]) == 0
    assert json.loads(capsys.readouterr().out)["answer"]["statusCode"] == status


def test_invoke_finds_out_which_ingest_is_meant(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["invoke", "ingest", str(EVENTS / "ingest" / "one_event.json")]) == 0
    assert json.loads(capsys.readouterr().out)["answer"]["statusCode"] == 202
    assert main(["invoke", "ingest", str(EVENTS / "ingest" / "one_object.json")]) == 0
    assert json.loads(capsys.readouterr().out)["answer"]["files"][0]["rows_read"] == 48


@pytest.mark.parametrize(
    ("stage", "text", "words"),
    [("clean", "[]", "an event is a JSON object"), ("clean", "{", "is not JSON"), ("wash", "{}", "must be one of")],
)
def test_invoke_refuses_in_one_line(
    stage: str, text: str, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "event.json"
    path.write_text(text)

    assert main(["invoke", stage, str(path)]) == 1

    out, err = capsys.readouterr()
    assert out == ""
    assert words in err
    assert err.count("\n") == 1


def test_generate_says_what_it_wrote(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "new" / "made.csv"

    status = main(["generate", "air_quality", "--out", str(path), "--rows", "1000", "--bad", "2%", "--json"])

    answer = json.loads(capsys.readouterr().out)
    assert status == 0
    assert answer["rows"] == 1000
    assert sum(answer["bad"].values()) == len(answer["bad_lines"]) > 0
    assert len(path.read_bytes().splitlines()) == 1 + 1000 + 114


@pytest.mark.parametrize("given", [["air_quality", "--bad", "few"], ["air_quality", "--bad", "200%"], ["weather"]])
def test_generate_refuses_in_one_line(given: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["generate", *given, "--out", str(tmp_path / "x.csv")]) == 1
    assert capsys.readouterr().err.startswith("levada: ")


@pytest.mark.parametrize(
    ("data", "rows", "problem"),
    [
        (events.ndjson_pack([events.row(0)] * 5), 3, ""),
        (b"hello \xff", 1, ""),
        (b'LVP1{"v":9}\nbody', 0, "this version reads 1"),
        (events.ndjson_pack([events.row(0)])[:-20], 0, "body_corrupt"),
    ],
)
def test_peek_decodes_whatever_stands_on_a_stream(data: bytes, rows: int, problem: str) -> None:
    record = {
        "Data": data,
        "SequenceNumber": "1",
        "PartitionKey": "lane-20",
        "ApproximateArrivalTimestamp": datetime(2026, 1, 1, tzinfo=UTC),
    }

    seen = decode("raw", "shardId-000000000000", record)

    assert len(seen.rows) == rows
    assert problem in seen.problem
    assert bool(seen.problem) == bool(problem)
