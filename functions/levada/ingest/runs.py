"""A run: load a landed object now (once, however often it is asked for) and say how many rows it has. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from levada.core import keys
from levada.core.errors import BadRequestError
from levada.ingest.instants import EPOCH

FIELDS = ("key", "since", "until")
MAX_KEY_BYTES = 1024
"""S3's limit."""


@dataclass(frozen=True, slots=True)
class Run:
    """What the body of a request asks for, and the event that has it done."""

    key: str
    since_us: int | None = None
    """Count rows from this event time on, microseconds since 1970-01-01 UTC."""
    until_us: int | None = None
    """Count rows before this one."""

    def to_event(self) -> dict[str, Any]:
        return {"run": {"key": self.key, "since_us": self.since_us, "until_us": self.until_us}}

    @classmethod
    def from_event(cls, event: Mapping[str, Any]) -> Run:
        return cls(**event["run"])

    @property
    def ranged(self) -> bool:
        return self.since_us is not None or self.until_us is not None


def parse(body: Mapping[str, Any], domains: Mapping[str, object]) -> Run:
    """Raises BadRequestError naming the field, its value and what is allowed."""
    if unknown := sorted(set(body) - set(FIELDS)):
        raise BadRequestError(f"{unknown[0]!r:.80} is no field of a run: must be {', '.join(FIELDS)}")
    run = Run(_key(body.get("key"), domains), _time("since", body), _time("until", body))
    if run.since_us is not None and run.until_us is not None and run.since_us >= run.until_us:
        raise BadRequestError(f"until={body['until']!r}: must be later than since={body['since']!r}")
    return run


def _key(key: object, domains: Mapping[str, object]) -> str:
    shape = f"must be {keys.LANDING}<domain>/<file>"
    if not isinstance(key, str) or not key or len(key.encode(errors="replace")) > MAX_KEY_BYTES:
        raise BadRequestError(f"key={key!r:.80}: {shape}")
    domain, slash, name = key.removeprefix(keys.LANDING).partition("/")
    if not key.startswith(keys.LANDING) or not slash or not name or key.endswith("/"):
        raise BadRequestError(f"key={key[:80]!r}: {shape}")
    if domain not in domains:
        raise BadRequestError(f"key={key[:80]!r}: domain {domain!r} must be one of {', '.join(sorted(domains))}")
    return key


def _time(name: str, body: Mapping[str, Any]) -> int | None:
    given = body.get(name)
    if given is None:
        return None
    try:
        found = datetime.fromisoformat(given)
        aware = found if found.tzinfo else found.replace(tzinfo=UTC)
        return (aware - EPOCH) // timedelta(microseconds=1)
    except (TypeError, ValueError, OverflowError):
        raise BadRequestError(f"{name}={given!r:.80}: must be a time like 2026-01-31T00:00:00Z") from None
