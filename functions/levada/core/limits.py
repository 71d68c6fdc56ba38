"""Limits of series: specification and control limits with validity periods that may not overlap.

They lie in the lake, one JSON object per domain and tenant (``keys.limits``), replaced only by a conditional put.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import pairwise
from typing import Any

from levada.core import keys
from levada.core.errors import BadRequestError, ConfigError
from levada.core.instants import instant, micros
from levada.ports import BlobStore

SPECIFICATION = "specification"
CONTROL = "control"
KINDS = (SPECIFICATION, CONTROL)
"""What a customer allows, and what a process in control keeps to. Both may hold for one series at once."""
ANY = "*"
PARTS = ("series", "unit", "site")
"""Key parts that a limit may name, the most telling first."""
MEMO_S = 60
"""How long a function goes on with the limits that it has read, seconds."""
VERSION = 1
Bounds = tuple[float | None, float | None, float | None]
"""(lower, target, upper) in the metric's unit of measurement; None where a limit has no such side."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """What holds for a metric of some series in ``[from_us, until_us)``, microseconds; None for no end."""

    kind: str
    metric: str
    site: str = ANY
    """An exact name, or ``*`` for any."""
    unit: str = ANY
    series: str = ANY
    lower: float | None = None
    target: float | None = None
    upper: float | None = None
    from_us: int = 0
    until_us: int | None = None

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise _wrong("kind", self.kind, " or ".join(KINDS))
        if not self.metric or self.metric == ANY:
            raise _wrong("metric", self.metric, "the name of one metric")
        for name in ("lower", "target", "upper"):
            value = getattr(self, name)
            if value is not None and not math.isfinite(value):
                raise _wrong(name, value, "a finite number")
        if self.lower is None and self.upper is None:
            raise _wrong("lower", None, "given, or upper, or both")
        given = [value for value in (self.lower, self.target, self.upper) if value is not None]
        if given != sorted(given) or self.lower == self.upper:
            raise _wrong("lower", self.lower, f"below upper={self.upper}, with target={self.target} between them")
        if self.until_us is not None and self.until_us <= self.from_us:
            raise _wrong("until", instant(self.until_us), f"after from={instant(self.from_us)}")

    @property
    def bounds(self) -> Bounds:
        return self.lower, self.target, self.upper

    @property
    def place(self) -> tuple[str, ...]:
        """Limits of equal places compete: their periods may not overlap."""
        return self.kind, self.metric, self.site, self.unit, self.series

    @property
    def rank(self) -> int:
        """The higher wins where several match a series: one that names the series, else the unit, else the site."""
        return sum(1 << i for i, name in enumerate(reversed(PARTS)) if getattr(self, name) != ANY)

    def matches(self, series: Mapping[str, str]) -> bool:
        return all(getattr(self, name) in (ANY, series[name]) for name in PARTS)

    def holds(self, at_us: int) -> bool:
        return self.from_us <= at_us and (self.until_us is None or at_us < self.until_us)

    def overlaps(self, other: Limit) -> bool:
        mine, theirs = self.until_us, other.until_us
        return (theirs is None or self.from_us < theirs) and (mine is None or other.from_us < mine)

    def to_json(self) -> dict[str, Any]:
        """Without what is not given; times as ISO texts."""
        raw: dict[str, Any] = {"kind": self.kind, "metric": self.metric}
        raw |= {n: getattr(self, n) for n in ("site", "unit", "series") if getattr(self, n) != ANY}
        raw |= {n: getattr(self, n) for n in ("lower", "target", "upper") if getattr(self, n) is not None}
        raw["from"] = instant(self.from_us)
        return raw if self.until_us is None else raw | {"until": instant(self.until_us)}

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> Limit:
        """The inverse of ``to_json``. Raises BadRequestError naming the field that is wrong."""
        known = {"kind", "metric", *PARTS, "lower", "target", "upper", "from", "until"}
        if unknown := sorted(set(raw) - known):
            raise _wrong(unknown[0], raw[unknown[0]], f"one of the fields {', '.join(sorted(known))}")
        try:
            until = micros(raw["until"]) if "until" in raw else None
            given: dict[str, Any] = {n: float(raw[n]) for n in ("lower", "target", "upper") if n in raw}
            given |= {n: str(raw[n]) for n in PARTS if n in raw}
            return cls(kind=raw["kind"], metric=raw["metric"], **given, from_us=micros(raw["from"]), until_us=until)
        except (KeyError, ValueError, TypeError) as err:
            raise BadRequestError(f"limit {dict(raw)}: {err}", status=422) from err

    def __str__(self) -> str:
        named = "/".join(getattr(self, name) for name in ("site", "unit", "series"))
        ends = f"[{instant(self.from_us)}, {'open' if self.until_us is None else instant(self.until_us)})"
        sides = ", ".join(
            f"{n}={getattr(self, n)}" for n in ("lower", "target", "upper") if getattr(self, n) is not None
        )
        return f"{self.kind} limit of {self.metric} for {named} in {ends}: {sides}"


@dataclass(frozen=True)
class Limits:
    """The limits of one kind, to look up."""

    items: tuple[Limit, ...] = ()

    @cached_property
    def _by_metric(self) -> dict[str, list[Limit]]:
        found: dict[str, list[Limit]] = {}
        for one in sorted(self.items, key=lambda limit: (-limit.rank, limit.from_us)):
            found.setdefault(one.metric, []).append(one)
        return found

    @property
    def metrics(self) -> frozenset[str]:
        """Metrics that have any; to pass by all others quickly."""
        return frozenset(self._by_metric)

    def for_(self, series: Mapping[str, str], metric: str, at_us: int) -> Bounds | None:
        """(lower, target, upper) that hold for a series at a time; None when none do.

        Args:
            series: at least ``site``, ``unit`` and ``series``.
            at_us: event time, microseconds.
        """
        for limit in self._by_metric.get(metric, ()):
            if limit.holds(at_us) and limit.matches(series):
                return limit.bounds
        return None

    def pieces(
        self, series: Mapping[str, str], metric: str, start_us: int, end_us: int
    ) -> Iterator[tuple[int, int, Bounds]]:
        """``[start_us, end_us)`` cut where the limits that hold change: (start, end, bounds), without the gaps."""
        mine = [limit for limit in self._by_metric.get(metric, ()) if limit.matches(series)]
        edges = {start_us, end_us}
        for limit in mine:
            edges |= {us for us in (limit.from_us, limit.until_us) if us is not None and start_us < us < end_us}
        cuts = sorted(edges)
        held: tuple[int, int, Bounds] | None = None
        for begin, end in pairwise(cuts):
            bounds = self.for_(series, metric, begin)
            if held is not None and bounds == held[2]:
                held = (held[0], end, held[2])
                continue
            if held is not None:
                yield held
            held = None if bounds is None else (begin, end, bounds)
        if held is not None:
            yield held


@dataclass(slots=True)
class Register:
    """All limits of one domain and tenant, and the ETag of the object that they were read from."""

    limits: list[Limit] = field(default_factory=list)
    etag: str | None = None

    def of(self, kind: str) -> Limits:
        return Limits(tuple(one for one in self.limits if one.kind == kind))

    def add(self, new: Limit) -> None:
        """Raises BadRequestError (409) naming both limits when another one of the same place holds meanwhile."""
        for old in self.limits:
            if old.place == new.place and old.overlaps(new):
                raise BadRequestError(f"{new}: overlaps the {old}; end that one first", status=409)
        self.limits = sorted([*self.limits, new], key=lambda one: (one.place, one.from_us))

    def end(self, place: tuple[str, ...], until_us: int) -> Limit:
        """Let the limit that holds at until_us end there; returns it as it is now.

        Raises BadRequestError (404) when none of this place holds then.
        """
        for i, old in enumerate(self.limits):
            if old.place == place and old.from_us < until_us and (old.until_us is None or until_us <= old.until_us):
                self.limits[i] = replace(old, until_us=until_us)
                return self.limits[i]
        raise BadRequestError(f"no limit {'/'.join(place)} holds just before {instant(until_us)}", status=404)

    def to_bytes(self) -> bytes:
        return json.dumps({"v": VERSION, "limits": [one.to_json() for one in self.limits]}, indent=1).encode()

    @classmethod
    def from_bytes(cls, body: bytes, etag: str | None = None) -> Register:
        """Raises ConfigError for an object of another version, or one that somebody has broken by hand."""
        try:
            raw = json.loads(body)
            if raw.get("v") != VERSION:
                raise ConfigError(f"limits v={raw.get('v')!r}: this version reads {VERSION}")
            register = cls(etag=etag)
            for one in raw["limits"]:
                register.add(Limit.from_json(one))
        except (ValueError, KeyError, TypeError, AttributeError, BadRequestError) as err:
            raise ConfigError(f"limits cannot be read: {err}") from err
        return register


def load(blobs: BlobStore, domain: str, tenant: str) -> Register:
    """Empty when nothing was ever set."""
    try:
        body, etag = blobs.get(keys.limits(domain, tenant))
    except KeyError:
        return Register()
    return Register.from_bytes(body, etag)


def store(blobs: BlobStore, domain: str, tenant: str, register: Register) -> None:
    """Raises ConflictError when somebody else has changed the limits since they were read: load them again."""
    register.etag = blobs.put_if(keys.limits(domain, tenant), register.to_bytes(), etag=register.etag)


def recent(blobs: BlobStore, memo: dict[str, Any], domain: str, tenant: str, now_s: float) -> Register:
    """``load``, but asking the store once in MEMO_S seconds only.

    Args:
        memo: what the process remembers (``Deps.memo``).
    """
    known: dict[tuple[str, str], tuple[float, Register]] = memo.setdefault("limits", {})
    read_s, register = known.get((domain, tenant), (-math.inf, Register()))
    if not 0 <= now_s - read_s < MEMO_S:
        register = load(blobs, domain, tenant)
        known[domain, tenant] = (now_s, register)
    return register


def _wrong(name: str, value: object, allowed: str) -> BadRequestError:
    return BadRequestError(f"{name}={value!r}: must be {allowed}", status=422)
