"""levada limits set, ls, end."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from levadactl import console
from levadactl.commands.options import AIR, DomainOption
from levadactl.console import JsonOption
from levadactl.errors import LevadactlError

if TYPE_CHECKING:
    from levada.core.limits import Register
    from levada.ports import BlobStore

TENANT = "default"
ATTEMPTS = 5
"""Somebody else may set limits at the same time: read again, try again."""


class Kind(StrEnum):
    """What a customer allows, and what a process in control keeps to."""

    specification = "specification"
    control = "control"


KindOption = Annotated[Kind, typer.Option("--kind", help="What the limit is for.")]
MetricOption = Annotated[str, typer.Option("--metric", help="Which metric.")]
TenantOption = Annotated[str, typer.Option("--tenant", help="Whose limits.")]
PartOption = Annotated[str, typer.Option(help="Only this one; * for any.")]

limits = typer.Typer(
    name="limits",
    help="Specification and control limits of series, with periods in which they hold and that may not overlap.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


def register(app: typer.Typer) -> None:
    """Add this module's commands."""
    if not limits.registered_commands:
        limits.command("set", epilog="Example: levada limits set --metric co --lower 0 --upper 4 --from 2004-03-01")(
            put
        )
        limits.command(epilog="Example: levada limits ls --domain air_quality")(ls)
        limits.command(epilog="Example: levada limits end --metric co --at 2005-01-01")(end)
    app.add_typer(limits)


def put(
    metric: MetricOption,
    domain: DomainOption = AIR,
    kind: KindOption = Kind.specification,
    lower: Annotated[float | None, typer.Option("--lower", help="Lower limit.")] = None,
    target: Annotated[float | None, typer.Option("--target", help="What is aimed at.")] = None,
    upper: Annotated[float | None, typer.Option("--upper", help="Upper limit.")] = None,
    since: Annotated[
        str, typer.Option("--from", help="When it begins to hold: a day, or a time with Z.")
    ] = "1970-01-01",
    until: Annotated[str | None, typer.Option("--until", help="When it ends; without, it holds on.")] = None,
    site: PartOption = "*",
    unit: PartOption = "*",
    series: PartOption = "*",
    tenant: TenantOption = TENANT,
    as_json: JsonOption = False,
) -> None:
    """Set a limit. One that holds at the same time for the same series and metric is in the way: end that one first."""
    from levada.core.limits import Limit

    new = Limit(
        kind=kind.value,
        metric=metric,
        site=site,
        unit=unit,
        series=series,
        lower=lower,
        target=target,
        upper=upper,
        from_us=_micros("--from", since),
        until_us=None if until is None else _micros("--until", until),
    )
    _change(domain, tenant, lambda register: register.add(new))
    console.answer({"set": new.to_json()}, as_json=as_json)


def end(
    metric: MetricOption,
    at: Annotated[str, typer.Option("--at", help="When it ends: a day, or a time with Z.")],
    domain: DomainOption = AIR,
    kind: KindOption = Kind.specification,
    site: PartOption = "*",
    unit: PartOption = "*",
    series: PartOption = "*",
    tenant: TenantOption = TENANT,
    as_json: JsonOption = False,
) -> None:
    """Let the limit that holds just before a time end there; another one may follow it."""
    until_us = _micros("--at", at)
    ended: list[dict[str, Any]] = []
    place = (kind.value, metric, site, unit, series)
    _change(domain, tenant, lambda register: ended.append(register.end(place, until_us).to_json()))
    console.answer({"ended": ended[-1]}, as_json=as_json)


def ls(
    domain: DomainOption = AIR,
    tenant: TenantOption = TENANT,
    as_json: JsonOption = False,
) -> None:
    """Every limit that was set, also those that have ended."""
    from levada.core import limits as core

    found = [one.to_json() for one in core.load(_blobs(), domain, tenant).limits]
    names = ("kind", "metric", "site", "unit", "series", "lower", "target", "upper", "from", "until")
    human = console.table("", names, [[one.get(name) for name in names] for one in found]) if found else "no limits"
    console.answer({"limits": found}, as_json=as_json, human=None if as_json else human)


def _change(domain: str, tenant: str, change: Callable[[Register], object]) -> None:
    from levada.core import limits as core
    from levada.core.errors import ConflictError
    from levadactl.domains import domain_named

    name, blobs = domain_named(domain).name, _blobs()
    for left in reversed(range(ATTEMPTS)):
        found = core.load(blobs, name, tenant)
        change(found)
        try:
            core.store(blobs, name, tenant, found)
        except ConflictError:
            if not left:
                raise
        else:
            return


def _blobs() -> BlobStore:
    from levadactl.loading import Lake
    from levadactl.places import Place

    return Lake.of(Place.current()).blobs


def _micros(option: str, text: str) -> int:
    from levada.core.instants import micros

    try:
        return micros(text if "T" in text else f"{text}T00:00:00Z")
    except ValueError as err:
        raise LevadactlError(f"{option} {text!r}: must be a day such as 2004-03-01, or a time that ends in Z") from err
