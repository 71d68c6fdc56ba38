"""Aggregate: canonical rows of the clean stream in, closed windows out.

Trigger   Kinesis batch of CleanStream, ReportBatchItemFailures on (and never used: bad records are quarantined).
Writes    checkpoints/aggregate/<shard>; then, from what is committed, the serving table, gold/, anomalies/ and the
          topic of alerts.
Retry     safe: rows behind the fence are skipped, and an emission that is repeated writes the same items again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from levada.aggregate import stage
from levada.aggregate.emit import Emitted
from levada.aggregate.watching import Alerting
from levada.core import kinesis_event, native, retention
from levada.core.retention import Keep
from levada.domains.declaration import Domain
from levada.domains.registry import enabled
from levada.observe import announce_kernels, lag_s, log
from levada.wiring import Deps, deps


def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    """Lambda entry point; returns ``{"batchItemFailures": []}``, or raises for the whole batch to come again."""
    batch = kinesis_event.parse(event)
    if batch is None:
        return {"batchItemFailures": []}
    announce_kernels("aggregate", native.problem())
    summary = stage.run(batch, stage_deps(deps()))
    log("aggregate", context, shard=batch.shard_id, lag_s=lag_s(batch.arrived_s), **asdict(summary))
    return {"batchItemFailures": []}


def stage_deps(d: Deps) -> stage.AggregateDeps:
    domains = enabled(d.config.domains_enabled)
    return stage.AggregateDeps(
        blobs=d.blobs,
        serving=d.serving,
        topology=d.topology,
        clock=d.clock,
        domains=domains,
        fence_horizon_h=d.config.fence_horizon_h,
        emitted=d.memo.setdefault("emitted", Emitted()),
        alerting=Alerting(
            sink=d.alerts,
            severity=d.config.alert_severity,
            quiet_s=d.config.alert_quiet_s,
            max_age_s=d.config.alert_max_age_s,
        ),
        keep=keep(d, domains),
        memo=d.memo,
    )


def keep(d: Deps, domains: Mapping[str, Domain]) -> Keep:
    """How long what is kept: as the domains say, else as the deployment does."""
    return Keep(retention.parse(d.config.keep), {name: one.keep_h for name, one in domains.items() if one.keep_h})
