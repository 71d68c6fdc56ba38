"""What a domain declares: where its times, keys and values stand in the source, and what is valid. No pyarrow here."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from levada.core.errors import ConfigError

if TYPE_CHECKING:
    import pyarrow as pa

TEXT, NUMBER, JSON = "text", "number", "json"
"""What a source column holds. ``json``: a nested object or array, or text of one; a function reads it."""
KEY_PARTS = ("site", "unit", "series")
"""What names a series, beside domain, tenant and metric."""
EVENT_TEXTS = ("entity_type", "entity_id", "parent_id", "event_type", "severity", "event_id")
EVENT_PARTS = (*EVENT_TEXTS, "value", "attributes")
"""What a domain may say of its events, beside its fields."""


@dataclass(frozen=True, slots=True)
class Metric:
    """One numeric column of a wide source, or one name in the metric column of a long one."""

    name: str
    """Canonical name, lower case; the same thing has the same name in every domain."""
    low: float | None = None
    """Smallest valid value, in the metric's unit of measurement; None for no limit."""
    high: float | None = None
    """Largest valid value."""
    uom: str = ""
    """Unit of measurement of the canonical values, such as ``mg/l``."""
    scale: float = 1.0
    """The canonical value is the source's times ``scale`` plus ``offset``: 5/9 and -160/9 make °C of °F."""
    offset: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Time:
    """Where the event time stands and how it is written."""

    columns: tuple[str, ...]
    """Source columns, joined by one blank before parsing. In two or more columns, ``/`` and ``.`` of a date count as
    ``-`` and ``.`` of a time as ``:``, so that one format reads all of them."""
    formats: tuple[str, ...]
    """Tried in order: strptime formats (``%d-%m-%Y %H:%M:%S``, ``%I:%M %p``, ``%b %d, %Y``), ``iso`` (ISO 8601, with
    or without fraction and offset), ``epoch_s``, ``epoch_ms``, ``epoch_us``, ``epoch_ns``, or ``epoch`` (the number
    of digits decides). Last of all, ISO 8601 is tried: that is what a column of timestamps in Parquet becomes."""
    zone: str = "UTC"
    """IANA zone of times that name no offset. An hour that a clock shows twice counts as the earlier one; one that it
    skips, as the moment when it goes on."""

    @property
    def tried(self) -> tuple[str, ...]:
        """The formats, and behind them that of columns of dates and times, which are no text in Parquet."""
        last = "iso" if len(self.columns) == 1 else "%Y-%m-%d %H:%M:%S"  # half of two columns is no time
        return self.formats if last in self.formats else (*self.formats, last)


@dataclass(frozen=True, slots=True, kw_only=True)
class Long:
    """A source of one value per row: which column names the metric, and which holds the value."""

    metric: str
    value: str
    uom: str = ""
    """Column of the unit of measurement. Names of metrics that are not declared end in it, so that two units never
    mix; a declared metric with a ``uom`` refuses rows of another one that ``uoms`` does not convert."""
    uoms: Mapping[tuple[str, str], tuple[float, float]] = field(default_factory=dict)
    """(uom of the row, of the metric) → (scale, offset)."""
    event_id: str = ""
    """Column of what names the reading, such as its sample."""


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
    success: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Column → the values that count as success, of each named column one; windows have a ``success_rate`` then.
    Instead of ``value``: a success counts as 1, any other event that takes part as 0, so that rates merge as counts."""


class Derived(NamedTuple):
    """What a domain's function makes of n good source rows. Each table knows its source rows by ``at`` (0 … n - 1)."""

    measurements: pa.Table | None = None
    """``at``, ``metric``, ``value`` (null: missing), and ``series``, ``unit``, ``site`` where not the row's own."""
    events: pa.Table | None = None
    """``at``, ``entity_type``, ``entity_id``, ``event_type``, and any other column of an event; those left out are
    the source row's (time, site, unit) or empty. The events of one row keep their order: item 0, 1, 2 …"""
    refused: Sequence[tuple[int, str, str]] = ()
    """(at, reason slug, detail) of rows that are no good after all; nothing else may be made of these."""


Derive = Callable[["pa.Table"], Derived]
"""Gets ``time``, site, unit, series, every declared column under its own name (text, float64, or JSON text), and the
declared parts of events under theirs. Vectorised: called once per batch, and must give each row the same whatever
rows stand beside it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """How closed windows of some metrics are watched for anomalies; what is judged is a window's mean."""

    metrics: tuple[str, ...] = ()
    """Canonical names; all metrics of the domain when empty."""
    zscore: float = 5.0
    """Standard deviations from the weighted mean of the windows before, beyond which a window stands out; 0 for off."""
    weight: float = 0.05
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
    """A source: wide (``metrics``, ``open_metrics``), long (``long``), events (``events``), or several of these.

    Columns that no field names are ignored, unless ``open_metrics``.
    """

    name: str
    about: str = ""
    """One sentence for the docs."""
    time: Time
    keys: Mapping[str, str] = field(default_factory=dict)
    """Which of site, unit, series come from which source column."""
    constants: Mapping[str, str] = field(default_factory=dict)
    """site, unit, series, or a part of an event, where no column holds them."""

    metrics: Mapping[str, Metric] = field(default_factory=dict)
    """Source column → metric (of a long source: name in its metric column → metric), in the order of the rows made."""
    open_metrics: bool = False
    """Whatever other column holds a number is a metric too, under its own name; a long source: any metric's name."""
    long: Long | None = None
    events: Mapping[str, str] = field(default_factory=dict)
    """Each source row is an event: entity_type, entity_id, parent_id, event_type, severity, event_id, value,
    attributes, or a field → source column."""
    event_types: tuple[str, ...] = ()
    """The event types there are; any, when empty."""
    fields: Mapping[str, str] = field(default_factory=dict)
    """Columns of the domain's events beyond EVENT: name → ``number`` or ``text``; from a column of the same name, where
    ``events`` names no other."""
    further: Mapping[str, str] = field(default_factory=dict)
    """Other source columns that ``derive`` reads: column → ``text``, ``number`` or ``json``."""
    derive: Derive | None = None
    """What the columns cannot say. Its events replace those that the columns say; its measurements are added."""

    optional: tuple[str, ...] = ()
    """Source columns that a file may lack."""
    needed: tuple[str, ...] = ()
    """Source columns in which every row must hold something; else it is refused as ``missing_field``."""
    sentinels: tuple[float, ...] = ()
    """Values that mean "no value"."""
    missing: tuple[str, ...] = ()
    """Texts that mean "nothing stands here", such as ``?`` or ``NA``; in any case, in any column."""
    decimal: str = ""
    """What stands before decimals: ``.`` or ``,``; empty for either."""
    thousands: str = ""
    """What may stand between thousands, such as ``,``; then ``decimal`` must be named, and be another."""
    affixes: str = ""
    """Characters that may stand before or behind a number, such as ``$%``."""
    delimiters: str = ";,\t|"
    """What may separate the fields of a CSV line; the header line decides."""
    header: tuple[str, ...] = ()
    """Names of a CSV file's columns where it has no header line."""

    encoding: str = ""
    """Of its text files: ``utf-8``, ``utf-16-le``, ``utf-16-be`` or ``latin`` (Windows-1252). Empty: UTF-8, but UTF-16
    by its byte order mark and Latin where the first line is no UTF-8."""
    window_s: int = 60
    """Base window, seconds; larger windows are merged from it."""
    lateness_s: int = 60
    """How long after the highest event time a window is kept open, seconds."""
    skew_s: int | None = None
    """How far ahead of now a time may be, seconds; None for the setting LEVADA_MAX_SKEW_S."""
    keep_h: Mapping[str, int] = field(default_factory=dict)
    """How long its data is kept: a kind of ``core/retention.py`` (raw, windows, gold, events, …) → hours, 0 for ever;
    the deployment's setting LEVADA_KEEP for those that it does not name."""
    silence_s: int = 0
    """A series without rows for so long is silent, seconds; 0: never told."""

    quantile_error: float = 0.01
    """Relative error of quantiles such as p95; 0 for none."""
    rollups: tuple[Rollup, ...] = ()
    """Windows over the domain's events."""
    latest: tuple[str, ...] = ()
    """Entity types of which the latest state is served (``/v1/jobs``)."""
    ranks: Mapping[str, int] = field(default_factory=dict)
    """Event type → rank among events of one entity with equal times: the higher is the later (``finished``)."""
    watch: tuple[Watch, ...] = (Watch(),)
    """How windows of measurements are watched; the first that names a metric counts for it. Empty: not at all."""

    def __post_init__(self) -> None:
        from levada.domains.checks import check

        check(self)

    @property
    def columns(self) -> dict[str, str]:
        """Declared source columns in order, each with what it holds; all of them are read, none must be there."""
        found: dict[str, str] = dict.fromkeys((*self.time.columns, *self.keys.values()), TEXT)
        if self.long is not None:
            found |= {name: TEXT for name in (self.long.metric, self.long.uom, self.long.event_id) if name}
            found[self.long.value] = NUMBER
        for part, column in self.event_columns.items():
            kind = NUMBER if part == "value" else JSON if part == "attributes" else self.fields.get(part, TEXT)
            found.setdefault(column, kind)
        return found | dict(self.further) | (dict.fromkeys(self.metrics, NUMBER) if self.long is None else {})

    @property
    def event_columns(self) -> dict[str, str]:
        """Part of an event, or field → source column, of a domain whose columns say what happened."""
        if not self.events:
            return {}
        return dict(self.events) | {name: name for name in self.fields if name not in (*self.events, *self.constants)}

    def watched(self, metric: str) -> Watch | None:
        """How windows of a metric are watched; None for not at all, as those of event rollups.

        Windows of rollups may be spread over shards, of which each sees a part only.
        """
        if any(metric == rollup.metric for rollup in self.rollups):
            return None
        return next((w for w in self.watch if not w.metrics or metric in w.metrics), None)

    @property
    def rates(self) -> frozenset[str]:
        """Metrics of rollups whose windows have a ``success_rate``."""
        return frozenset(rollup.metric for rollup in self.rollups if rollup.success)

    @property
    def required(self) -> tuple[str, ...]:
        """Source columns that a file must have."""
        free = set(self.optional)
        if self.events:
            must = {*self.time.columns, *self.musts, *self.metrics}
            free |= {name for name in self.columns if name not in must}
        return tuple(name for name in self.columns if name not in free)

    @property
    def musts(self) -> tuple[str, ...]:
        """Source columns in which every row must hold something."""
        own = [self.long.metric] if self.long is not None else []
        own += [self.events[part] for part in ("entity_type", "entity_id", "event_type") if part in self.events]
        return tuple(dict.fromkeys((*self.needed, *own)))

    @property
    def telling(self) -> tuple[str, ...]:
        """Columns of which a JSON object holds one at least, or it is something else; empty when any object will do."""
        if self.open_metrics and self.long is None:
            return ()
        own = (self.long.metric, self.long.value) if self.long is not None else tuple(self.metrics)
        return (*own, *self.event_columns.values(), *self.further, *(self.keys.values() if self.derive else ()))

    @property
    def is_wide(self) -> bool:
        """Declared metric columns and nothing else: what the fast path reads."""
        return not (self.long or self.events or self.derive or self.open_metrics)

    @property
    def lane_parts(self) -> tuple[tuple[str, str], ...]:
        """(source column or empty, constant) of each part of the key by which rows are kept in order: site, unit, and
        the series, or the entity where no column names a series."""
        last = "series" if "series" in self.keys or "entity_id" not in self.events else "entity_id"
        sources = dict(self.events) | dict(self.keys)
        return tuple((sources.get(part, ""), self.constants.get(part, "")) for part in ("site", "unit", last))
