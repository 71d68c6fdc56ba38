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
class Watch:
    """How closed windows of some metrics are watched for anomalies; what is judged is a window's mean."""

    metrics: tuple[str, ...] = ()
    """Canonical names; all metrics of the domain when empty."""
    zscore: float = 6.0
    """Standard deviations from the weighted mean of the windows before, beyond which a window stands out; 0 for off."""
    weight: float = 0.1
    """Weight of the newest window in that mean and variance, above 0 and at most 1."""
    warmup: int = 24
    """Windows of a series that must have been seen before one is judged so, at least 2."""
    rules: tuple[int, ...] = (1, 2, 3, 4)
    """Western Electric rules; they need limits: control limits that are set, or estimated ones."""
    estimate: int = 0
    """Estimate control limits, where none are set, from so many first windows of a series; 0 for never, else >= 2."""

    def __post_init__(self) -> None:
        allowed = {
            "zscore": (self.zscore >= 0, ">= 0"),
            "weight": (0 < self.weight <= 1, "above 0 and at most 1"),
            "warmup": (self.warmup >= 2, "at least 2"),
            "rules": (set(self.rules) <= {1, 2, 3, 4}, "among 1, 2, 3, 4"),
            "estimate": (self.estimate == 0 or self.estimate >= 2, "0, or at least 2"),
        }
        for name, (fits, text) in allowed.items():
            if not fits:
                raise ConfigError(f"watch: {name}={getattr(self, name)}: must be {text}")


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
    encoding: str = ""
    """Of its text files: ``utf-8``, ``utf-16-le``, ``utf-16-be`` or ``latin`` (Windows-1252). Empty: UTF-8, but UTF-16
    by its byte order mark and Latin where the first line is no UTF-8."""
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
    watch: tuple[Watch, ...] = (Watch(),)
    """How windows of measurements are watched; the first that names a metric counts for it. Empty: not at all."""

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

    def watched(self, metric: str) -> Watch | None:
        """How windows of a metric are watched; None for not at all, as those of event rollups."""
        if all(metric != m.name for m in self.metrics.values()):
            return None
        return next((w for w in self.watch if not w.metrics or metric in w.metrics), None)

    @property
    def required(self) -> tuple[str, ...]:
        """Source columns that a file must have: times, keys and metrics."""
        return (*self.time.columns, *self.keys.values(), *self.metrics)


KEY_PARTS = ("site", "unit", "series")
