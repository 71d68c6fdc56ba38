"""Ingest of files: landed objects in, packs out.

Trigger   S3 ObjectCreated under landing/<domain>/; events come twice, out of order and at once. Also a call with
          {"run": …} (POST /v1/runs), and its own calls: to go on with a file that takes longer than one invocation,
          and {"piece": …} for each piece of a very large one.
Writes    the raw stream; then checkpoints/ingest/<domain>/<tenant>/<sha256>.json; quarantine/stage=ingest/ for a
          file that is refused (it stays where it landed).
Retry     safe: packs are numbered by content, and the ledger says where to go on.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from levada.domains.registry import enabled
from levada.ingest import counting, files, s3_event
from levada.ingest.files import CONTINUED, DUPLICATE, LOADED, Outcome, OutOfTimeError
from levada.ingest.pieces import Order
from levada.ingest.runs import Run
from levada.ingest.s3_event import Landed
from levada.observe import log
from levada.wiring import Deps, deps


def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    """Lambda entry point; returns ``{"files": [{key, domain, status, …}]}``, or raises for the event to come again."""
    d = deps()
    stage = stage_deps(d)
    if "piece" in event:
        order = Order.from_event(event)
        outcome = _piece(order, stage, context).to_json() | {"piece": order.index}
        log("ingest", context, files=[outcome])
        return {"files": [outcome]}
    run = Run.from_event(event) if "run" in event else None
    landed = [Landed(run.key, None)] if run else s3_event.parse(event)
    outcomes = [_load(one, stage, context).to_json() for one in landed]
    if run:
        outcomes[0]["rows"] = _rows(run, outcomes[0], stage)
    read, bad = (sum(int(one.get(name, 0)) for one in outcomes) for name in ("rows_read", "bad_rows"))  # type: ignore[call-overload]
    log("ingest", context, files=outcomes, rows_read=read, bad_rows=bad)
    return {"files": outcomes}


def stage_deps(d: Deps) -> files.FilesDeps:
    function = d.config.files_function
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
        start=(lambda event: d.functions.start(function, event)) if function else None,
        split_bytes=d.config.split_mb * 1024 * 1024,
    )


def _load(one: Landed, stage: files.FilesDeps, context: object) -> Outcome:
    try:
        return files.load(one.key, stage, remaining_s=_remaining(context), arrived_us=one.time_us)
    except OutOfTimeError as err:
        return _go_on(err, one.key, s3_event.again(one), stage)


def _piece(order: Order, stage: files.FilesDeps, context: object) -> Outcome:
    try:
        return files.load_piece(order, stage, remaining_s=_remaining(context))
    except OutOfTimeError as err:
        return _go_on(err, order.key, order.to_event(), stage)


def _go_on(err: OutOfTimeError, key: str, event: dict[str, Any], stage: files.FilesDeps) -> Outcome:
    """In another invocation, if this one has come any further."""
    if not err.advanced or stage.start is None:
        raise err
    stage.start(event)
    return Outcome(key, err.domain, CONTINUED, str(err))


def _rows(run: Run, outcome: dict[str, Any], stage: files.FilesDeps) -> int:
    """Of the file, or of the range that was asked for."""
    if run.ranged and outcome["status"] in (LOADED, DUPLICATE):
        return counting.rows_between(run, stage)
    return int(outcome.get("rows_read", 0))


def _remaining(context: object) -> Callable[[], float]:
    millis = getattr(context, "get_remaining_time_in_millis", None)
    return (lambda: millis() / 1000) if millis else (lambda: math.inf)
