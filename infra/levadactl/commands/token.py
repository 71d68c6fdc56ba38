"""levada token create, ls, revoke."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated

import typer

from levadactl import console
from levadactl.console import JsonOption

if TYPE_CHECKING:
    from levada.ports import ServingStore

TableOption = Annotated[
    str | None,
    typer.Option(
        "--table",
        help="Serving table on AWS, with the credentials and region of the environment; without, the place's.",
    ),
]

token = typer.Typer(
    name="token",
    help="Tokens of the HTTP API, each with a tenant, scopes and an end; wanted where Auth is REQUIRED.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


def register(app: typer.Typer) -> None:
    """Add this module's commands."""
    if not token.registered_commands:
        token.command(
            epilog="Example: export LEVADA_TOKEN=$(levada token create --name meter-7 --scope write --expires 30d)"
        )(create)
        token.command(epilog="Example: levada token ls --json")(ls)
        token.command(epilog="Example: levada token revoke meter-7")(revoke)
    app.add_typer(token)


def create(
    name: Annotated[str, typer.Option("--name", help="Whose it is, or what for; in logs and lists.")],
    scope: Annotated[list[str], typer.Option("--scope", help="read, write or admin (all); repeatable.")],
    tenant: Annotated[str, typer.Option("--tenant", help="Whose rows; * for any, with scope admin.")] = "default",
    expires: Annotated[str, typer.Option("--expires", help="How long it holds: hours (12h) or days (90d).")] = "90d",
    table: TableOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a token. It stands on stdout, now and never again: the table keeps its SHA-256 only."""
    from levadactl import tokens

    text, made = tokens.create(
        _store(table), name=name, tenant=tenant, scopes=scope, expires=expires, now_s=time.time()
    )
    known = tokens.shown(made)
    console.answer({"token": text, **known}, as_json=as_json, human=text)
    if not as_json:
        scopes = " and ".join(made.scopes)
        console.say(f"{made.name}: {scopes}, tenant {made.tenant}, until {known['expires']}; keep it, it is not stored")


def ls(table: TableOption = None, as_json: JsonOption = False) -> None:
    """Every token that opens a door: neither revoked nor expired."""
    from levadactl import tokens

    found = [tokens.shown(one) for one in tokens.live(_store(table))]
    names = ("name", "tenant", "scopes", "created", "expires", "sha256")
    rows = [[" ".join(one["scopes"]) if name == "scopes" else one[name] for name in names] for one in found]
    human = console.table("", names, rows) if found else "no tokens"
    console.answer({"tokens": found}, as_json=as_json, human=None if as_json else human)


def revoke(
    which: Annotated[str, typer.Argument(help="Its name, or the beginning of its SHA-256 as ls shows it.")],
    table: TableOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a token void. Functions may remember it for a minute."""
    from levadactl import tokens

    done = tokens.shown(tokens.revoke(_store(table), which, time.time()))
    human = f"{done['name']} ({done['sha256']}) is revoked; functions may remember it for a minute"
    console.answer({"revoked": done}, as_json=as_json, human=human)


def _store(table: str | None) -> ServingStore:
    from levada.adapters.dynamodb import DynamoServingStore

    if table is not None:
        from levada.adapters.clients import make

        return DynamoServingStore(make("dynamodb"), table)
    from levadactl.loading import Lake
    from levadactl.places import Place

    return Lake.of(Place.current()).serving
