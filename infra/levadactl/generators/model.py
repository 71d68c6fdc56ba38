"""What a generator makes: events in the order of their times, each with what must come of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Any, Protocol

SECOND_US = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to make. The same plan gives the same lines, byte by byte."""

    start_us: int
    """Time of the first event, microseconds since 1970."""
    duration_s: float
    rate: float = 10.0
    """Events per second, on average and in all: rate × duration of them are made."""
    seed: int = 1
    bad: float = 0.0
    """Share of lines that are broken."""
    late: float = 0.0
    """Share of events that are sent long after their time."""
    late_by_s: tuple[float, float] = (60.0, 600.0)
    """How long after it, from and to."""
    twice: float = 0.0
    """Share of events that their source sends twice, as two events."""

    def __post_init__(self) -> None:
        for name in ("bad", "late", "twice"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)}: must be a share from 0 to below 1")
        if self.rate <= 0 or self.duration_s <= 0:
            raise ValueError(f"rate={self.rate}, duration_s={self.duration_s}: must be more than 0")
        if self.events < 1:
            raise ValueError(f"rate={self.rate}, duration_s={self.duration_s}: that is not one event")

    @property
    def events(self) -> int:
        return round(self.rate * self.duration_s)

    def time_us(self, i: int) -> int:
        """Time of the i-th event, on a whole millisecond."""
        return self.start_us + int(i / self.rate * 1000) * 1000


@dataclass(frozen=True, slots=True)
class Reading:
    """A measurement that must come of an event; value None: a row without a value."""

    site: str
    unit: str
    series: str
    metric: str
    value: float | None


@dataclass(frozen=True, slots=True)
class Made:
    """One event."""

    time_us: int
    body: Mapping[str, Any]
    readings: tuple[Reading, ...] = ()
    events: tuple[Mapping[str, Any], ...] = ()
    """Events that must come of it: columns of EVENT and fields of the domain by name; the time is this one's."""
    kind: str = ""
    """What the summary counts it as."""


Break = Callable[[dict[str, Any], Random], object]
"""Spoil a body in place, or return bytes to send instead of it."""


class Source(Protocol):
    """Events of one domain."""

    domain: str
    breaks: Mapping[str, Break]
    """By the reason for which clean refuses the line."""

    def events(self, plan: Plan) -> Iterator[Made]:
        """``plan.events`` of them, ascending in time, none of them broken."""


def cut_short(body: dict[str, Any], dice: Random) -> bytes:  # noqa: ARG001  # a Break
    """A line that ends in the middle, as a full disk leaves it."""
    import msgspec

    text = msgspec.json.encode(body)
    return text[: len(text) // 2]


@dataclass(slots=True)
class Sent:
    """One line on its way."""

    due_us: int
    """When it is to be sent, on the clock of the events."""
    line: bytes
    made: Made | None
    """None: it is broken."""


@dataclass(slots=True)
class Totals:
    """What was made: ``lines`` = ``events`` + broken ones + ``twice``."""

    lines: int = 0
    events: int = 0
    """Different good ones."""
    late: int = 0
    """Of them: sent long after their time."""
    twice: int = 0
    """Further lines: good events that were sent again as if they were new ones."""
    bad: dict[str, int] = field(default_factory=dict)
    """Broken lines by the reason for which they cannot be read."""
    kinds: dict[str, int] = field(default_factory=dict)
    """Good events by what they are."""

    def count(self, name: str, counted: dict[str, int]) -> None:
        counted[name] = counted.get(name, 0) + 1
