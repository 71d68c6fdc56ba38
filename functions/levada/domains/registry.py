"""Which domains there are, and which of them a deployment reads."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.metadata import entry_points

from levada.core.errors import ConfigError
from levada.domains.air_quality import AIR_QUALITY
from levada.domains.declaration import Domain
from levada.domains.device import DEVICE
from levada.domains.jobs import JOBS
from levada.domains.lab import LAB
from levada.domains.sensor import SENSOR
from levada.domains.shop import SHOP
from levada.domains.sweep import SWEEP
from levada.domains.telemetry import TELEMETRY

BUILT_IN = (AIR_QUALITY, TELEMETRY, SENSOR, JOBS, DEVICE, SWEEP, LAB, SHOP)
ENTRY_POINT = "levada.domains"
"""Packages outside levada register a Domain under this group of entry points."""


@cache
def registered() -> Mapping[str, Domain]:
    """Every domain by name. Raises ConfigError when two have the same name."""
    domains: dict[str, Domain] = {}
    for domain in (*BUILT_IN, *(point.load() for point in entry_points(group=ENTRY_POINT))):
        if domain.name in domains:
            raise ConfigError(f"domain {domain.name!r} is registered twice")
        domains[domain.name] = domain
    return domains


def enabled(setting: str) -> Mapping[str, Domain]:
    """The domains that DOMAINS_ENABLED names: ``*``, or names with commas between. Raises ConfigError."""
    known = registered()
    if setting.strip() == "*":
        return known
    names = [name.strip() for name in setting.split(",") if name.strip()]
    if unknown := [name for name in names if name not in known]:
        raise ConfigError(f"LEVADA_DOMAINS_ENABLED names {unknown}: registered are {', '.join(sorted(known))}")
    return {name: known[name] for name in names}
