"""What a declaration must keep to: every error names the domain, the field, its value and what is allowed."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

from levada.core.errors import ConfigError
from levada.core.timetexts import EPOCHS
from levada.domains.declaration import EVENT_PARTS, EVENT_TEXTS, JSON, KEY_PARTS, NUMBER, TEXT, Domain, Rollup

NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")
DAY_S = 86_400
LEAST_ERROR = 1e-6
"""Of quantiles: keys of finer bins would not fit into 32 bits, see ``core/bins.py``."""
EVENT_NAMES = ("time", "domain", "tenant", "site", "unit", *EVENT_PARTS, "quality")
IDENTITY_NAMES = ("shard", "sequence", "source", "position", "row", "item", "at", "series")


def check(domain: Domain) -> None:
    """Raises ConfigError for the first thing that is wrong."""
    for wrong in _wrong(domain):
        raise ConfigError(f"domain {domain.name}: {wrong}")


def _wrong(domain: Domain) -> Iterator[str]:
    if not NAME.fullmatch(domain.name):
        yield f"name={domain.name!r}: must be lower case letters, digits and _, and begin with a letter"
    yield from _times(domain)
    yield from _numbers(domain)
    yield from _keys(domain)
    yield from _shapes(domain)
    yield from _fields(domain)
    for rollup in domain.rollups:
        yield from (f"rollup {rollup.metric}: {wrong}" for wrong in _rollup(domain, rollup))


def _terms(domain: Domain) -> Iterator[str]:
    if domain.keep_h:
        from levada.core.retention import checked  # not in a cold start that has no use for it

        if wrong := checked(domain.keep_h):
            yield f"keep_h: {wrong}"


def _times(domain: Domain) -> Iterator[str]:
    time = domain.time
    given: dict[str, object] = {"columns": time.columns, "formats": time.formats}
    for name, value in given.items():
        if not value or isinstance(value, str):  # a text is a sequence of texts too
            yield f"time.{name}={value!r}: must be a tuple of one text at least"
    for form in time.formats:
        if form not in ("iso", *EPOCHS) and "%" not in form:
            yield f"time.formats={form!r}: must be a strptime format, iso, or one of {', '.join(EPOCHS)}"
        if "%z" in form and not form.endswith("%z"):
            yield f"time.formats={form!r}: %z must stand at the end"
    if time.zone != "UTC" and not _is_zone(time.zone):
        yield f"time.zone={time.zone!r}: must be an IANA zone such as Europe/Lisbon"
    if domain.window_s < 1 or DAY_S % domain.window_s:
        yield f"window_s={domain.window_s}: must divide a day of {DAY_S} s"
    for name in ("lateness_s", "silence_s"):
        if getattr(domain, name) < 0:
            yield f"{name}={getattr(domain, name)}: must be >= 0"
    yield from _terms(domain)
    if domain.skew_s is not None and not 0 <= domain.skew_s <= DAY_S:
        yield f"skew_s={domain.skew_s}: must be from 0 to {DAY_S}"


def _is_zone(name: str) -> bool:
    from zoneinfo import ZoneInfo  # few domains have local times, and every cold start reads all declarations

    try:
        ZoneInfo(name)
    except (OSError, ValueError, KeyError):
        return False
    return True


def _numbers(domain: Domain) -> Iterator[str]:
    if domain.decimal not in ("", ".", ","):
        yield f"decimal={domain.decimal!r}: must be '.', ',' or empty"
    if domain.thousands and (not domain.decimal or domain.thousands == domain.decimal):
        yield f"thousands={domain.thousands!r}: decimal={domain.decimal!r} must be named, and be another"
    if clash := sorted(set(domain.affixes + domain.thousands) & set("0123456789+-eE")):
        yield f"affixes, thousands: {''.join(clash)!r} must not be part of a number"
    if domain.quantile_error and not LEAST_ERROR <= domain.quantile_error < 0.5:
        yield f"quantile_error={domain.quantile_error}: must be 0 for no quantiles, or from {LEAST_ERROR} to below 0.5"
    names = [metric.name for metric in domain.metrics.values()]
    if domain.long is None and len(set(names)) != len(names):
        yield f"metrics={names}: each metric name may stand once"
    for metric in domain.metrics.values():
        if not metric.name:
            yield "metrics: a name is empty"
        if metric.low is not None and metric.high is not None and metric.low > metric.high:
            yield f"metric {metric.name}: low={metric.low}: must be <= high={metric.high}"
        if not metric.scale:
            yield f"metric {metric.name}: scale=0: must not be 0"


def _keys(domain: Domain) -> Iterator[str]:
    for part in domain.keys:
        if part not in KEY_PARTS:
            yield f"keys: {part!r} must be one of {', '.join(KEY_PARTS)}"
    for part in domain.constants:
        if part not in (*KEY_PARTS, *EVENT_TEXTS):
            yield f"constants: {part!r} must be one of {', '.join((*KEY_PARTS, *EVENT_TEXTS))}"
    for part in {*domain.keys, *domain.events} & set(domain.constants):
        yield f"constants: {part!r} has a column already"
    for name in domain.columns:
        if not name or name.startswith("__"):
            yield f"column {name!r}: must not be empty or begin with __"
    if unknown := [name for name in (*domain.optional, *domain.needed) if name not in domain.columns]:
        yield f"optional, needed: {unknown} are not among its columns {', '.join(domain.columns)}"
    if domain.header and (lost := [name for name in domain.required if name not in domain.header]):
        yield f"header: {', '.join(lost)} must be among {', '.join(domain.header)}"
    if not domain.delimiters:
        yield "delimiters='': must name one at least"


def _shapes(domain: Domain) -> Iterator[str]:
    if not (domain.metrics or domain.open_metrics or domain.long or domain.events or domain.derive):
        yield "says nothing of values or events: one of metrics, open_metrics, long, events, derive"
    if domain.long is not None:
        if domain.long.metric == domain.long.value:
            yield f"long.value={domain.long.value!r}: must be another column than the metric"
        if not domain.metrics and not domain.open_metrics:
            yield "long: must declare metrics, or have open_metrics"
    for part in domain.events:
        if part not in (*EVENT_PARTS, *domain.fields):
            yield f"events: {part!r} must be one of {', '.join((*EVENT_PARTS, *domain.fields))}"
    if domain.events:
        there = {*domain.events, *domain.constants}
        if lost := [p for p in ("entity_type", "entity_id", "event_type") if p not in there]:
            yield f"events: {', '.join(lost)} must have a column or a constant"
    for column, kind in domain.further.items():
        if kind not in (TEXT, NUMBER, JSON):
            yield f"further: {column}={kind!r} must be {TEXT}, {NUMBER} or {JSON}"
    if domain.further and domain.derive is None:
        yield f"further={', '.join(domain.further)}: without derive nothing reads them"


def _fields(domain: Domain) -> Iterator[str]:
    for name, kind in domain.fields.items():
        if kind not in (TEXT, NUMBER):
            yield f"fields: {name}={kind!r} must be {TEXT} or {NUMBER}"
        if name in (*EVENT_NAMES, *IDENTITY_NAMES) or not NAME.fullmatch(name):
            yield f"fields: {name!r} must be a name of its own: lower case letters, digits and _"
    if not domain.events and domain.derive is None:
        for name in ("fields", "rollups", "latest", "ranks", "event_types"):
            if getattr(domain, name):
                yield f"{name}: the domain has no events"
    if domain.event_types and (unknown := [name for name in domain.ranks if name not in domain.event_types]):
        yield f"ranks: {unknown} must be among event_types {', '.join(domain.event_types)}"


def _rollup(domain: Domain, rollup: Rollup) -> Iterator[str]:
    texts = (*(n for n in EVENT_NAMES if n not in ("time", "value", "quality")), *_of(domain, TEXT))
    for name in (*rollup.by, *rollup.where, *rollup.success, *filter(None, [rollup.distinct])):
        if name not in texts:
            yield f"{name!r} must be one of {', '.join(texts)}"
    numbers = ("value", *_of(domain, NUMBER))
    if rollup.value and rollup.value not in numbers:
        yield f"value={rollup.value!r}: must be one of {', '.join(numbers)}"
    if rollup.value and rollup.success:
        yield f"value={rollup.value!r}: must be empty where success is named, which counts as 1 or 0"
    chosen: dict[str, Mapping[str, object]] = {"where": rollup.where, "success": rollup.success}
    for field, named in chosen.items():
        for name, values in named.items():
            if isinstance(values, str) or not values:
                yield f"{field}: {name}={values!r} must be a tuple of texts"


def _of(domain: Domain, kind: str) -> Iterable[str]:
    return (name for name, held in domain.fields.items() if held == kind)
