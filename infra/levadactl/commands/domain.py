"""levada domain: what sources there are, what one looks like, does it keep the contract, and a start for a new one."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from levadactl import console
from levadactl.console import JsonOption

Target = Annotated[str, typer.Argument(help="A registered domain, module:NAME, or a Python file.")]


def register(app: typer.Typer) -> None:
    """Add this module's commands."""
    group = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Sources: declared ones, and yours.")
    group.command("ls", epilog="Example: levada domain ls --json")(ls)
    group.command("show", epilog="Example: levada domain show jobs")(show)
    group.command("check", epilog="Example: levada domain check weather.py")(check)
    group.command("new", epilog="Example: levada domain new weather --from sample.csv --out weather.py")(new)
    group.command("docs", epilog="Example: levada domain docs")(docs)
    app.add_typer(group, name="domain")


def ls(as_json: JsonOption = False) -> None:
    """The registered domains, those of installed packages too."""
    from levada.domains.registry import registered

    found = [_summary(domain) for domain in registered().values()]
    rows = [(one["name"], one["shape"], f"{one['window_s']} s", one["about"]) for one in found]
    human = None if as_json else console.table("domains", ("domain", "shape", "window", "what"), rows)
    console.answer(found, as_json=as_json, human=human)


def show(target: Target, as_json: JsonOption = False) -> None:
    """What a domain reads and makes of it."""
    from levadactl.domains import found

    shown = []
    for domain, examples in found(target):
        columns = [
            {"column": name, "holds": kind, "required": name in domain.required, "every_row": name in domain.musts}
            for name, kind in domain.columns.items()
        ]
        more = {"columns": columns, "metrics": [metric.name for metric in domain.metrics.values()]}
        more |= {"fields": dict(domain.fields), "event_types": list(domain.event_types), "latest": list(domain.latest)}
        rollups = [
            {"metric": r.metric, "by": list(r.by), "value": r.value or "1"}
            | ({"success": r.success} if r.success else {})
            for r in domain.rollups
        ]
        shown.append(_summary(domain) | more | {"rollups": rollups, "example": dict(examples[0])})
    console.answer(shown, as_json=as_json)


def check(target: Target, as_json: JsonOption = False) -> None:
    """Does it keep the contract of domains? On its examples, hostile values in each field included.

    A module names examples of its payloads as EXAMPLES: a list of dictionaries. Exit status 1 when a check fails.
    """
    from levadactl.domain_contract import CHECKS, Subject
    from levadactl.domains import found

    verdicts = []
    for domain, examples in found(target):
        for one in CHECKS:
            says = ""
            try:
                one(Subject(domain, examples))
            except AssertionError as err:
                says = str(err)
            verdicts.append({"domain": domain.name, "check": one.__name__, "ok": not says, "says": says})
    lines = [
        f"{'ok  ' if v['ok'] else 'FAIL'}  {v['domain']}: {_words(v['check'])} {v['says']}".rstrip() for v in verdicts
    ]
    console.answer(verdicts, as_json=as_json, human="\n".join(lines))
    if not all(verdict["ok"] for verdict in verdicts):
        raise typer.Exit(1)


def new(
    name: Annotated[str, typer.Argument(help="Name of the domain: lower case letters, digits and _.")],
    sample: Annotated[Path, typer.Option("--from", exists=True, dir_okay=False, help="A CSV file of it.")],
    out: Annotated[Path | None, typer.Option("--out", help="Write the module here instead of to stdout.")] = None,
) -> None:
    """Propose a declaration from a sample: read it, then change what is wrong.

    Found out: separator, decimal mark, time columns and formats, marks of missing values, metrics with the range that
    was seen, keys. What is a guess says so in a comment.
    """
    from levadactl.domain_proposal import propose

    text = propose(name, sample.read_bytes())
    if out is None:
        sys.stdout.write(text)
        return
    if out.exists():
        raise typer.BadParameter(f"{out} is there already", param_hint="--out")
    out.write_text(text)
    console.say(f"{out} written; next: levada domain check {out}")


def docs() -> None:
    """Write the pages in docs/domains from the declarations."""
    from levadactl import domain_pages

    changed = domain_pages.write(Path(domain_pages.FOLDER))
    console.say(f"{len(changed)} pages changed below {domain_pages.FOLDER}/ {' '.join(changed)}".rstrip())


def _summary(domain: Any) -> dict[str, Any]:
    shapes = ["long"] if domain.long else ["wide"] if domain.metrics or domain.open_metrics else []
    shapes += ["open"] if domain.open_metrics else []
    shapes += ["events"] if domain.events or domain.fields or domain.rollups or domain.latest else []
    shapes += ["function"] if domain.derive else []
    return {
        "name": domain.name,
        "about": domain.about,
        "shape": ", ".join(shapes),
        "window_s": domain.window_s,
        "lateness_s": domain.lateness_s,
    }


def _words(name: object) -> str:
    return str(name).replace("_", " ")
