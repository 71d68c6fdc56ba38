"""Domains as the command line names them."""

from __future__ import annotations

from levada.domains.declaration import Domain
from levada.domains.registry import registered
from levadactl.errors import LevadactlError


def domain_named(name: str) -> Domain:
    """Raises LevadactlError naming the domains there are."""
    known = registered()
    if name not in known:
        raise LevadactlError(f"domain {name!r}: must be one of {', '.join(sorted(known))}")
    return known[name]
