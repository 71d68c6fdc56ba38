"""Archive: what has to happen when nothing arrives. Idle windows close, silver is compacted, the catalog is kept.

Trigger   Schedule, every minute (idle windows only); or ``{"source": "levada.…", "detail": {…}}`` with
          ``idle_after_s`` (seconds) and ``compact``: "due", or {"domain": …, "date": "YYYY-MM-DD"}.
Writes    checkpoints/aggregate/<shard>, serving table, gold/ (idle windows); silver/, checkpoints/compaction/.
Retry     safe, and not needed: the next run does what this one did not.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from levada.aggregate.emit import Emitted
from levada.aggregate.handler import stage_deps as aggregate_deps
from levada.aggregate.stage import AggregateDeps
from levada.archive import compaction, idle, order
from levada.archive.compaction import Compaction, Remaining
from levada.core.errors import LevadaError, UnavailableError
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
    compacted = _compact(d, asked, _remaining(context))
    failures = [*closed.failures, *compacted.failures]
    answer: dict[str, Any] = {"idle": closed.counts(), "compaction": compacted.counts()}
    if asked.compacts and d.config.catalog:
        answer["catalog"] = _register(d, failures)
    log("archive", context, **answer, failures=failures, problems=closed.problems)
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
