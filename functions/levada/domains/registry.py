"""Which domains there are, and which of them a deployment reads."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib import import_module

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
    from importlib.metadata import entry_points  # a third of what a cold start over HTTP imports

    domains: dict[str, Domain] = {}
    for domain in (*BUILT_IN, *(point.load() for point in entry_points(group=ENTRY_POINT))):
        if domain.name in domains:
            raise ConfigError(f"domain {domain.name!r} is registered twice")
        domains[domain.name] = domain
    return domains


def enabled(setting: str) -> Mapping[str, Domain]:
    """The domains that DOMAINS_ENABLED names: ``*`` for all that are registered, names, or ``module:NAME`` of a
    declaration that is not; with commas between. Raises ConfigError."""
    known, chosen = registered(), dict[str, Domain]()
    if setting.strip() == "*":
        return known
    for name in filter(None, (part.strip() for part in setting.split(","))):
        if name == "*":
            chosen |= known
        elif ":" in name:
            domain = _referred(name)
            if chosen.setdefault(domain.name, domain) is not domain:
                raise ConfigError(f"LEVADA_DOMAINS_ENABLED={setting!r}: domain {domain.name!r} stands there twice")
        elif name not in known:
            raise ConfigError(f"LEVADA_DOMAINS_ENABLED names {[name]}: registered are {', '.join(sorted(known))}")
        else:
            chosen[name] = known[name]
    return chosen


def _referred(name: str) -> Domain:
    module, _, attribute = name.partition(":")
    try:
        domain = getattr(import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as err:
        raise ConfigError(f"LEVADA_DOMAINS_ENABLED names {name!r}: {err}") from err
    if not isinstance(domain, Domain):
        raise ConfigError(f"LEVADA_DOMAINS_ENABLED names {name!r}: must be a Domain, not {type(domain).__name__}")
    return domain
