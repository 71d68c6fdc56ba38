"""Archive: what time alone sets off. Idle windows close, silver is compacted, rollups and KPI are made.

Trigger   Schedule, every minute (idle windows only); or ``{"source": "levada.…", "detail": {…}}`` with ``idle_after_s``
          (seconds), ``compact``: "due", or {"domain": …, "date": "YYYY-MM-DD"}, and ``rollups``: "due", or
          {"domain": …, "periods": ["1d", …], "since": "YYYY-MM-DD"}; ``retention``: "due", or "look".
Writes    checkpoints/aggregate/<shard>, serving table, gold/ (idle windows); silver/, checkpoints/compaction/;
          rollups/, kpi/, checkpoints/rollups/; anomalies/, checkpoints/silence/, the serving table and the topic
          of alerts (silent series); checkpoints/retention/ (what retention deletes, where it is switched on).
Retry     safe, and not needed: the next run does what this one did not.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from levada.aggregate.emit import Emitted
from levada.aggregate.handler import keep
from levada.aggregate.handler import stage_deps as aggregate_deps
from levada.aggregate.stage import AggregateDeps
from levada.archive import compaction, idle, kpi, order, retention, rollups, silence
from levada.archive.compaction import Compaction, Remaining
from levada.core.errors import LevadaError, UnavailableError
from levada.core.periods import Calendar, zone_named
from levada.domains.declaration import Domain
from levada.domains.registry import enabled
from levada.observe import log
from levada.wiring import Deps, deps

UNLIMITED_S = float(1 << 31)


def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    """Lambda entry point; returns what was done: ``{"idle": {…}, "compaction": {…}}``.

    Raises UnavailableError after all duties were tried when one of them failed, ConfigError for a bad order.
    """
    d = deps()
    domains = enabled(d.config.domains_enabled)
    asked = order.parse(event, idle_after_s=d.config.idle_after_s, domains=domains)
    closed = idle.close_idle(stage_deps(d), idle_after_s=asked.idle_after_s)
    remaining_s = _remaining(context)
    compacted = _compact(d, asked, remaining_s)
    failures = [*closed.failures, *compacted.failures]
    answer: dict[str, Any] = {"idle": closed.counts(), "compaction": compacted.counts()}
    if asked.rolls_up:
        answer |= _roll_up(d, asked, domains, remaining_s, failures)
    if asked.retention:
        answer["retention"] = _retain(d, asked, domains, remaining_s, failures)
    if asked.compacts and d.config.catalog:
        answer["catalog"] = _register(d, failures)
    counts = closed.counts()
    log("archive", context, closed=counts["closed"], **answer, failures=failures, problems=closed.problems)
    if failures:
        raise UnavailableError(f"{len(failures)} failed, the others are done: {'; '.join(failures[:5])}")
    return answer


def stage_deps(d: Deps) -> AggregateDeps:
    """Those of aggregate, but what a stopped aggregate has emitted nobody here knows."""
    return replace(aggregate_deps(d), emitted=Emitted())


def _compact(d: Deps, asked: order.Order, remaining_s: Remaining) -> Compaction:
    if asked.due:
        return compaction.compact_due(d.blobs, remaining_s)
    if asked.partition is not None:
        return compaction.compact_partition(d.blobs, *asked.partition, remaining_s)
    return Compaction()


def _roll_up(
    d: Deps, asked: order.Order, domains: Mapping[str, Domain], remaining_s: Remaining, failures: list[str]
) -> dict[str, Any]:
    calendar, one = Calendar(zone_named(d.config.timezone)), asked.rollups
    if one is None:
        made = rollups.make_due(d.blobs, calendar, remaining_s)
    else:
        made = rollups.make(d.blobs, calendar, one.domain, remaining_s, periods=one.periods, since=one.since)
    measured = kpi.Done()
    for domain in sorted(domains) if one is None else [one.domain]:
        kpi.make(d.blobs, calendar, domain, remaining_s, measured)
    failures += [*made.failures, *measured.failures]
    answer: dict[str, Any] = {"rollups": made.counts(), "kpi": measured.counts()}
    if asked.rollups_due:  # of an order for one domain nobody can tell whether it brought all hours up to date
        quiet = silence.note(_telling(d, domains), domains, int(d.clock.now_s() * 1_000_000))
        failures += quiet.failures
        answer["silence"] = quiet.counts()
    return answer


def _retain(
    d: Deps, asked: order.Order, domains: Mapping[str, Domain], remaining_s: Remaining, failures: list[str]
) -> dict[str, Any]:
    enabled_here, dry = d.config.retention == "ENABLED", asked.retention == order.LOOK
    if not enabled_here and not dry:
        return {"enabled": False}
    calendar = Calendar(zone_named(d.config.timezone))
    done = retention.Run(d.blobs, calendar, keep(d, domains), d.clock.now_s(), remaining_s, dry=dry).all()
    failures += done.failures
    return {"enabled": enabled_here, "dry": dry, **done.counts()}


def _telling(d: Deps, domains: Mapping[str, Domain]) -> silence.Telling:
    return silence.Telling(
        blobs=d.blobs,
        serving=d.serving,
        sink=d.alerts,
        severity=d.config.alert_severity,
        max_age_s=d.config.alert_max_age_s,
        keep=keep(d, domains),
    )


def _register(d: Deps, failures: list[str]) -> dict[str, int]:
    from levada.adapters.errors import ours
    from levada.archive import catalog

    try:
        with ours(f"register partitions in {d.config.catalog}"):
            return catalog.register(d.blobs, d.config.bucket, d.config.catalog)
    except LevadaError as err:
        failures.append(f"catalog {d.config.catalog}: {err}")
        return {}


def _remaining(context: object) -> Remaining:
    ask = getattr(context, "get_remaining_time_in_millis", None)
    return (lambda: ask() / 1000) if callable(ask) else (lambda: UNLIMITED_S)
