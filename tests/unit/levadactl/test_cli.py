"""The command line: help with examples, exit statuses, one line for an error, and a fast start."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
import typer

from levadactl import cli
from levadactl.cli import app, main, register_commands
from levadactl.errors import DeployError

register_commands()
COMMANDS = sorted(str(info.name or getattr(info.callback, "__name__", "")) for info in app.registered_commands)
HEAVY = ("boto3", "botocore", "pyarrow", "duckdb", "numpy", "pandas", "rich", "yaml")


def test_the_commands_of_this_issue_are_there() -> None:
    assert set(COMMANDS) >= {"deploy", "doctor", "down", "reset", "status", "up"}


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_shows_an_example(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([command, "--help"]) == 0
    assert f"Example: levada {command}" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize("arguments", ["nosuch", "up --nosuch", "up --port x", "up --place mars"])
def test_wrong_usage_is_2_and_shows_the_usage(arguments: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments.split()) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert "Usage: levada" in said.err


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (DeployError("Q failed:\n  no"), "levada: Q failed: no\n"),
        (
            FileNotFoundError(2, "No such file or directory", "x.csv"),
            "levada: [Errno 2] No such file or directory: 'x.csv'\n",
        ),
    ],
)
def test_an_expected_error_is_one_line_and_1(
    error: Exception, line: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    failing = typer.Typer()

    @failing.command()
    def fail() -> None:
        raise error

    monkeypatch.setattr(cli, "app", failing)
    assert cli.main([]) == 1
    assert capsys.readouterr() == ("", line)


def test_a_defect_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    failing = typer.Typer()

    @failing.command()
    def fail() -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(cli, "app", failing)
    with pytest.raises(ZeroDivisionError):
        cli.main([])


def test_help_imports_nothing_heavy() -> None:
    program = (
        "import sys, json; from levadactl.cli import main; main(['--help']); "
        f"json.dump([m for m in {HEAVY!r} if m in sys.modules], sys.stderr)"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert json.loads(ran.stderr) == []


@pytest.mark.parametrize(
    ("argv", "status"), [(["domain", "ls", "--json"], 0), (["domain", "show", "none"], 1), (["x"], 2)]
)
def test_the_process_says_all_it_has_to_say_and_ends_with_its_status(argv: list[str], status: int) -> None:
    """It ends without the interpreter's teardown: what stands in its buffers must have left before."""
    run = subprocess.run([sys.executable, "-m", "levadactl.cli", *argv], capture_output=True, text=True, check=False)

    assert run.returncode == status
    assert run.stderr if status else json.loads(run.stdout)
