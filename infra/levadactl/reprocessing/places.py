"""What reprocessing needs, as it is deployed in a place now."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from levada.config import Config
from levada.core import retention
from levada.core.periods import Calendar, zone_named
from levada.core.retention import Keep
from levada.domains.declaration import Domain
from levada.wiring import SystemClock
from levadactl import loading
from levadactl.deadletters import listing
from levadactl.deadletters.aws import ports_of as letters_of
from levadactl.deadletters.letters import AGGREGATE
from levadactl.loading import Lake
from levadactl.reprocessing.ports import Ports, ReprocessError

if TYPE_CHECKING:
    from levadactl.places import Place


def ports_of(place: Place, domain: Domain) -> Ports:
    """domain: as the code that is here declares it, whatever is deployed."""
    lake = Lake.of(place)
    clean, archive = (_config(place, role) for role in ("clean", "archive"))

    def roll_up(since: str) -> Mapping[str, Any]:
        answer = loading.order_archive(place, {"rollups": {"domain": domain.name, "since": since}})
        if answer["rollups"]["conflicts"] or answer["rollups"]["left"]:
            raise ReprocessError("days are made anew, and not all of their rollups yet: run it again")
        return {name: answer[name] for name in ("rollups", "kpi")}

    return Ports(
        blobs=lake.blobs,
        serving=lake.serving,
        clock=SystemClock(),
        config=clean,
        domain=domain,
        calendar=Calendar(zone_named(archive.timezone)),
        keep=Keep(retention.parse(archive.keep), {domain.name: domain.keep_h}),
        waiting=lambda: waiting(listing.overview(letters_of(place))),
        roll_up=roll_up,
    )


def _config(place: Place, role: str) -> Config:
    function = place.client("lambda").get_function_configuration(FunctionName=place.function(role))
    return Config.from_env(function.get("Environment", {}).get("Variables", {}))


def waiting(letters: Mapping[str, Any]) -> str:
    """Why dead letters come first; empty when none of them would bring rows that bronze has already.

    Args:
        letters: what ``levada dlq ls`` answers.
    """
    if held := letters["held_messages"]:
        return f"somebody is at {held} messages of the dead letter queue: run it again when that is done"
    batches = sum(group["batches"] for group in letters["batches"])
    records = sum(group["count"] for group in letters["groups"] if group["stage"] == AGGREGATE)
    if not batches and not records:
        return ""
    return (
        f"{batches} discarded batches and {records} records that aggregate refused wait to come again; their rows are "
        "in bronze, and would count twice: levada dlq redrive --all"
    )
