"""Clean: packs of the raw stream in, canonical rows out.

Trigger   Kinesis batch of RawStream, ReportBatchItemFailures on (and never used: bad records are quarantined).
Writes    bronze/, silver/, quarantine/, the clean stream; then checkpoints/clean/<shard>.
Retry     safe: names are positions, and the checkpoint's conditional put decides which attempt counts.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from levada.clean import stage
from levada.core import kinesis_event, native
from levada.domains.registry import enabled
from levada.observe import announce_kernels, lag_s, log
from levada.wiring import Deps, deps


def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    """Lambda entry point; returns ``{"batchItemFailures": []}``, or raises for the whole batch to come again."""
    batch = kinesis_event.parse(event)
    if batch is None:
        return {"batchItemFailures": []}
    announce_kernels("clean", native.problem(), "pyarrow")
    summary = stage.run(batch, stage_deps(deps()))
    log("clean", context, shard=batch.shard_id, lag_s=lag_s(batch.arrived_s), **asdict(summary))
    return {"batchItemFailures": []}


def stage_deps(d: Deps) -> stage.CleanDeps:
    return stage.CleanDeps(
        blobs=d.blobs,
        sink=d.clean,
        topology=d.topology,
        clock=d.clock,
        domains=enabled(d.config.domains_enabled),
        tenant=d.config.tenant,
        max_skew_s=d.config.max_skew_s,
        fence_horizon_h=d.config.fence_horizon_h,
    )
