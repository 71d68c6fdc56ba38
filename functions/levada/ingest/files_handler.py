"""Ingest of files: landed objects in, packs out.

Trigger   S3 ObjectCreated under landing/<domain>/; events come twice, out of order and at once.
Writes    the raw stream; then checkpoints/ingest/<domain>/<tenant>/<sha256>.json; quarantine/stage=ingest/ for a
          file that is refused (it stays where it landed).
Retry     safe: packs are numbered by content, and the ledger says where to go on.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from levada.domains.registry import enabled
from levada.ingest import files, s3_event
from levada.observe import log
from levada.wiring import Deps, deps


def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    """Lambda entry point; returns ``{"files": [{key, domain, status, …}]}``, or raises for the event to come again."""
    landed = s3_event.parse(event)
    stage = stage_deps(deps())
    outcomes = []
    for one in landed:
        outcome = files.load(one.key, stage, remaining_s=_remaining(context), arrived_us=one.time_us)
        outcomes.append(outcome.to_json())
    log("ingest", context, files=outcomes)
    return {"files": outcomes}


def stage_deps(d: Deps) -> files.FilesDeps:
    return files.FilesDeps(
        blobs=d.blobs,
        sink=d.raw,
        topology=d.topology,
        clock=d.clock,
        domains=enabled(d.config.domains_enabled),
        tenant=d.config.tenant,
        raw_stream=d.config.raw_stream,
        pack_rows=d.config.pack_rows,
        fence_horizon_h=d.config.fence_horizon_h,
    )


def _remaining(context: object) -> Callable[[], float]:
    millis = getattr(context, "get_remaining_time_in_millis", None)
    return (lambda: millis() / 1000) if millis else (lambda: math.inf)
