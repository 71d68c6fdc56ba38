"""Which domains have a generator."""

from __future__ import annotations

from levadactl.errors import LevadactlError
from levadactl.generators.air import AirQuality
from levadactl.generators.factory import Device, Lab, Sweep
from levadactl.generators.machines import Sensor, Telemetry
from levadactl.generators.model import Source
from levadactl.generators.shopping import Shop
from levadactl.generators.work import Jobs

SOURCES: dict[str, Source] = {
    source.domain: source for source in (AirQuality(), Telemetry(), Sensor(), Device(), Sweep(), Lab(), Jobs(), Shop())
}


def source_named(domain: str) -> Source:
    """Raises LevadactlError naming those there are."""
    if domain not in SOURCES:
        raise LevadactlError(f"domain {domain!r} has no generator: must be one of {', '.join(sorted(SOURCES))}")
    return SOURCES[domain]
