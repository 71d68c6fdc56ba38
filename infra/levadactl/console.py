"""What people and programs see: answers on stdout, everything else on stderr.

A terminal gets colours and bars; a pipe gets plain lines without control codes.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout and nothing else there.")]
"""The ``--json`` option, the same on every command that answers."""

PLAIN_EVERY_S = 2.0
"""How often a piped progress bar prints a line, seconds."""

Advance = Callable[[float], None]
"""Call with the amount that is done since the last call."""


def err_console() -> Console:
    """The console for progress, notes and complaints: stderr."""
    from rich.console import Console

    return Console(stderr=True, highlight=False, soft_wrap=not sys.stderr.isatty())


def out_console() -> Console:
    """The console for answers to people: stdout, plain when piped."""
    from rich.console import Console

    piped = not sys.stdout.isatty()
    return Console(highlight=False, soft_wrap=piped, width=200 if piped else None)


def say(text: str, *, style: str | None = None) -> None:
    """One line for people, on stderr. ``text`` is taken literally, brackets and all."""
    err_console().print(text, style=style, markup=False)


def warn(text: str) -> None:
    """One line that needs attention, on stderr."""
    say(f"warning: {text}", style="yellow")


def answer(data: Mapping[str, Any] | Sequence[Any], *, as_json: bool, human: RenderableType | None = None) -> None:
    """Print a command's answer on stdout.

    Args:
        data: the answer; times become ISO strings, other foreign types ``str()``.
        as_json: print ``data`` as JSON, and only that.
        human: what a person sees instead; without it ``data`` is listed one key a line.
    """
    if as_json:
        sys.stdout.write(json.dumps(data, indent=2, default=_plain) + "\n")
        sys.stdout.flush()
    elif human is not None:
        out_console().print(_literal(human))
    else:
        for line in lines_of(data):
            out_console().print(line, markup=False)


def lines_of(data: Mapping[str, Any] | Sequence[Any], indent: str = "") -> Iterator[str]:
    """``data`` as ``key: value`` lines, nested values indented."""
    items = data.items() if isinstance(data, Mapping) else ((f"{n}", v) for n, v in enumerate(data, 1))
    for key, value in items:
        if isinstance(value, Mapping) or (isinstance(value, list | tuple) and value):
            yield f"{indent}{key}:"
            yield from lines_of(value, indent + "  ")
        else:
            yield f"{indent}{key}: {value}"


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> RenderableType:
    """A table for people; cells are taken literally."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    made = Table(title=title or None, box=box.SIMPLE if sys.stdout.isatty() else box.ASCII, title_justify="left")
    for name in columns:
        made.add_column(name, overflow="fold")
    for row in rows:
        made.add_row(*(Text("" if cell is None else str(cell)) for cell in row))
    return made


def together(*parts: RenderableType) -> RenderableType:
    """Several tables or lines as one answer; lines are taken literally."""
    from rich.console import Group

    return Group(*(_literal(part) for part in parts))


def _literal(part: RenderableType) -> RenderableType:
    """Text as it is: a path with brackets is not markup."""
    from rich.text import Text

    return Text(part) if isinstance(part, str) else part


@contextmanager
def progress(what: str, total: float, *, unit: str = "") -> Iterator[Advance]:
    """A progress bar on a terminal, a plain line every two seconds (and at the end) in a pipe.

    Args:
        what: what is being done, as a short phrase.
        total: the amount that makes it complete; 0 for unknown.
        unit: the unit of the amounts, for the plain lines.

    Yields:
        a function to call with each further amount that is done.
    """
    if sys.stderr.isatty():
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        with Progress(*columns, console=err_console(), transient=False) as bar:
            task = bar.add_task(what, total=total or None)
            yield lambda amount: bar.advance(task, amount)
    else:
        yield from _plain_progress(what, total, unit)


def _plain_progress(what: str, total: float, unit: str) -> Iterator[Advance]:
    done, said_at = 0.0, time.monotonic()

    def line() -> str:
        share = f" of {total:g} ({done / total:.0%})" if total else ""
        return f"{what}: {done:g}{share} {unit}".rstrip()

    def advance(amount: float) -> None:
        nonlocal done, said_at
        done += amount
        if time.monotonic() - said_at >= PLAIN_EVERY_S:
            said_at = time.monotonic()
            say(line())

    yield advance
    say(line())


def _plain(value: object) -> str:
    isoformat = getattr(value, "isoformat", None)
    return str(isoformat()) if callable(isoformat) else str(value)
