"""What a domain declares: where its times, keys and values stand in the source, and what is valid."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from levada.core.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Metric:
    """One numeric column of a wide source."""

    name: str
    """Canonical name, lower case; the same thing has the same name in every domain."""
    low: float | None = None
    """Smallest valid value, in the metric's unit of measurement; None for no limit."""
    high: float | None = None
    """Largest valid value."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Time:
    """Where the event time stands and how it is written."""

    columns: tuple[str, ...]
    """Source columns, joined by one blank before parsing."""
    formats: tuple[str, ...]
    """strptime formats, tried in order, after ``/`` and ``.`` in dates became ``-`` and ``.`` in times ``:``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollup:
    """Windows over a domain's events: those of equal ``by`` columns make one series."""

    metric: str
    """Metric of the windows, such as ``revenue``."""
    by: tuple[str, ...] = ("event_type",)
    """Columns of the events (EVENT, or the domain's fields) whose values, joined by ``/``, name the series."""
    value: str = ""
    """The numeric column that is summed up (``value``, or a field); empty: each event counts as 1."""
    where: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Column → the values that take part; all events when empty."""
    distinct: str = ""
    """A column whose distinct values are counted (approximately) beside the statistics."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Domain:
    """A domain of wide measurements: one source row holds one value per metric."""

    name: str
    time: Time
    metrics: Mapping[str, Metric]
    """Source column → metric. Order is the order of the rows made from one source row."""
    sentinels: tuple[float, ...] = ()
    """Values that mean "no value"."""
    keys: Mapping[str, str] = field(default_factory=dict)
    """Which of site, unit, series come from which source column."""
    constants: Mapping[str, str] = field(default_factory=dict)
    """site, unit or series where no column holds them."""
    delimiters: str = ";,\t|"
    """What may separate the fields of a CSV line; the header line decides."""
    window_s: int = 60
    """Base window, seconds; larger windows are merged from it."""
    lateness_s: int = 60
    """How long after the highest event time a window is kept open, seconds."""

    quantile_error: float = 0.01
    """Relative error of quantiles such as p95; 0 for none."""
    fields: Mapping[str, str] = field(default_factory=dict)
    """Columns of the domain's events beyond EVENT: name → ``number`` or ``text``."""
    rollups: tuple[Rollup, ...] = ()
    """Windows over the domain's events."""
    latest: tuple[str, ...] = ()
    """Entity types of which the latest state is served (``/v1/jobs``)."""
    ranks: Mapping[str, int] = field(default_factory=dict)
    """Event type → rank among events of one entity with equal times: the higher is the later (``finished``)."""

    def __post_init__(self) -> None:
        names = [m.name for m in self.metrics.values()]
        if len(set(names)) != len(names):
            raise ConfigError(f"domain {self.name}: metrics={names}: each metric name may stand once")
        if self.window_s < 1 or 86_400 % self.window_s:
            raise ConfigError(f"domain {self.name}: window_s={self.window_s}: must divide a day of 86400 s")
        if self.lateness_s < 0:
            raise ConfigError(f"domain {self.name}: lateness_s={self.lateness_s}: must be >= 0")
        for part in (*self.keys, *self.constants):
            if part not in KEY_PARTS:
                raise ConfigError(f"domain {self.name}: key {part!r}: must be one of {', '.join(KEY_PARTS)}")

    @property
    def required(self) -> tuple[str, ...]:
        """Source columns that a file must have: times, keys and metrics."""
        return (*self.time.columns, *self.keys.values(), *self.metrics)


KEY_PARTS = ("site", "unit", "series")
