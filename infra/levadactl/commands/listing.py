"""What a route of the API lists, on stdout: a table for people, JSON, or CSV; one page of it, or all."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from levadactl import console

if TYPE_CHECKING:
    from rich.console import RenderableType

CsvOption = Annotated[bool, typer.Option("--csv", help="Print CSV on stdout, as the API writes it.")]
AllOption = Annotated[bool, typer.Option("--all", help="Every page, whatever --limit says.")]
PAGE = 10_000
"""Rows of a page where all are wanted; the API makes it smaller where rows are long."""
Rows = list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Listing:
    """One route, and how its pages follow each other."""

    path: str
    name: str
    """Of the rows in its answer."""
    follows: str = "since"
    """Parameter that takes the ``next`` of an answer."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is wanted of a listing."""

    query: Mapping[str, str | None]
    """Parameters of the route; None for one that is not given."""
    limit: int
    every: bool = False
    as_csv: bool = False
    as_json: bool = False


def show(listing: Listing, wanted: Wanted, table: Callable[[Rows], RenderableType]) -> None:
    """Ask the API of the current place and print what it answers. Raises LevadactlError in the API's own words.

    Args:
        table: rows for people.
    """
    from levadactl.places import Place

    if wanted.as_csv and wanted.as_json:
        raise typer.BadParameter("--csv and --json: give one of the two")
    query = {name: value for name, value in wanted.query.items() if value is not None}
    query["limit"] = str(PAGE if wanted.every else wanted.limit)
    url = Place.current().api_url
    if wanted.as_csv:
        following = _csv(url, listing, query, every=wanted.every)
    else:
        found = _found(url, listing, query, every=wanted.every)
        following = found.get("next")
        human = None if wanted.as_json else table(found[listing.name])
        console.answer(found, as_json=wanted.as_json, human=human)
    if following:
        console.say("there are more: --limit, or --all")


def _found(url: str, listing: Listing, query: dict[str, str], *, every: bool) -> dict[str, Any]:
    from levadactl import http

    if not every:
        return http.get(url, listing.path, query)
    rows: Rows = []
    with console.progress(f"reading {listing.name}", 0, unit="rows") as advance:
        while True:
            page = http.get(url, listing.path, query)
            rows += page[listing.name]
            advance(len(page[listing.name]))
            if not page.get("next"):
                return {**page, listing.name: rows}
            query[listing.follows] = page["next"]


def _csv(url: str, listing: Listing, query: dict[str, str], *, every: bool) -> str | None:
    """Print pages as they come; returns what follows."""
    from levadactl import http

    head = True
    while True:
        body, following = http.get_csv(url, listing.path, query)
        sys.stdout.write(body if head else body.partition("\r\n")[2])
        if not (every and following):
            sys.stdout.flush()
            return following
        head, query[listing.follows] = False, following
