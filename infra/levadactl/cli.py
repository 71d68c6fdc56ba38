"""The ``levada`` command. Subcommands live in ``levadactl.commands``; nothing heavy is imported before one runs."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from typer.exceptions import TyperException

from levadactl.errors import LevadactlError

COMMAND_MODULES = (
    "stack",
    "doctor",
    "data",
    "produce",
    "generate",
    "anomalies",
    "judge",
    "late",
    "split",
    "smoke",
    "rollups",
    "jobs",
    "kpi",
    "limits",
    "token",
    "verify",
    "run",
    "reprocess",
    "retention",
    "dlq",
    "demo",
    "domain",
)
"""Modules of ``levadactl.commands`` in the order of the help; each has ``register(app)``."""

app = typer.Typer(
    name="levada",
    help="Readings and events from raw payloads to exact windows: run the embedded stack, load data, look at results.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback(epilog="Example: levada up && levada status")
def common(
    state_dir: Annotated[
        Path | None,
        typer.Option("--state-dir", help="State folder instead of .levada in the project (LEVADA_STATE_DIR)."),
    ] = None,
    aws: Annotated[
        bool,
        typer.Option(
            "--aws", help="The stack on AWS, by your environment's credentials and region (LEVADA_PLACE=aws)."
        ),
    ] = False,
) -> None:
    """Readings and events from raw payloads to exact windows."""
    if state_dir is not None:
        os.environ["LEVADA_STATE_DIR"] = str(state_dir.resolve())
    if aws:
        os.environ["LEVADA_PLACE"] = "aws"


def register_commands() -> None:
    """Add the subcommands of every module. Safe to repeat."""
    if app.registered_commands:
        return
    for name in COMMAND_MODULES:
        importlib.import_module(f"levadactl.commands.{name}").register(app)


def main(argv: Sequence[str] | None = None) -> int:
    """Exit status: 0 done, 1 the stack or the input refused (one line on stderr), 2 wrong usage, 130 interrupted."""
    register_commands()
    try:
        status = app(args=list(sys.argv[1:] if argv is None else argv), prog_name="levada", standalone_mode=False)
    except TyperException as err:
        # Usage errors know how to show themselves, with the usage line.
        show = getattr(err, "show", None)
        if show is None:
            print(f"levada: {err}", file=sys.stderr)
        else:
            show()
        return err.exit_code
    except typer.Exit as end:
        return end.exit_code
    except (typer.Abort, KeyboardInterrupt):
        print("levada: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # Whoever read our answer has seen enough; keep the interpreter from complaining at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as err:
        line = _one_line(err)
        if line is None:
            raise
        print(f"levada: {line}", file=sys.stderr)
        return 1
    return status if isinstance(status, int) else 0


def _one_line(err: Exception) -> str | None:
    """What to tell a person about an error that is not a defect of ours; None for a defect."""
    from levada.core.errors import LevadaError

    if isinstance(err, LevadactlError | LevadaError | OSError):
        return " ".join(str(err).split())
    botocore = sys.modules.get("botocore.exceptions")
    if botocore is None:
        return None
    if isinstance(err, botocore.EndpointConnectionError | botocore.ConnectTimeoutError):
        return f"nothing answers at {err.kwargs.get('endpoint_url')}: levada up"
    if isinstance(err, botocore.ClientError | botocore.BotoCoreError):
        return " ".join(str(err).split())
    return None


def run() -> NoReturn:
    """The command as a process. It ends without the interpreter's teardown, in which Arrow's threads abort now and then
    ("terminate called without an active exception"), when all has been done and said."""
    status = main()
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except OSError:  # nobody reads us any more
        status = status or 1
    os._exit(status)


if __name__ == "__main__":
    run()
