"""Devices: a status is an event with a severity, a health score is a measurement, all else is a heartbeat (D4)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from levada.domains.declaration import Derived, Domain, Rollup, Time

if TYPE_CHECKING:
    import pyarrow as pa

SEVERITIES = {
    "ok": "info", "online": "info", "running": "info", "idle": "info",
    "warning": "warning", "degraded": "warning", "maintenance": "warning",
    "error": "error", "fault": "error", "offline": "error",
    "critical": "critical", "failed": "critical",
}  # fmt: skip
"""Status → severity, where the sender names none; ``info`` for any other."""


def derive(rows: pa.Table) -> Derived:
    """Status rows to events with a severity, health scores to measurements, rows with neither to heartbeats."""
    import pyarrow as pa
    import pyarrow.compute as pc

    at = pa.array(range(rows.num_rows), pa.int32())
    status, given, score = (rows[name].combine_chunks() for name in ("status", "severity", "health_score"))
    known = pc.index_in(pc.utf8_lower(status), pa.array(SEVERITIES, pa.string()))
    severity = pc.fill_null(pa.array(SEVERITIES.values(), pa.string()).take(known), "info")
    has_status, has_score = pc.not_equal(status, ""), pc.is_valid(score)
    events = pa.table(
        {
            "at": at,
            "entity_id": rows["device_id"],
            "event_type": pc.if_else(has_status, "status", "heartbeat"),
            "severity": pc.if_else(pc.equal(given, ""), severity, pc.utf8_lower(given)),
            "status": status,
            "value": score,
        }
    ).filter(pc.or_(has_status, pc.invert(has_score)))
    measured = {"at": at, "metric": pa.repeat("health_score", rows.num_rows), "value": score}
    return Derived(pa.table(measured).filter(has_score), events)


DEVICE = Domain(
    name="device",
    about="States of devices: the latest of each is served, and health scores have windows.",
    time=Time(columns=("timestamp",), formats=("iso", "epoch")),
    keys={"site": "site", "series": "device_id"},
    constants={"entity_type": "device"},
    further={"status": "text", "severity": "text", "health_score": "number"},
    fields={"status": "text"},
    derive=derive,
    needed=("device_id",),
    optional=("site", "status", "severity", "health_score"),
    latest=("device",),
    rollups=(
        Rollup(metric="events", by=("site", "event_type", "severity"), distinct="entity_id"),
        Rollup(metric="healthy", by=("site",), where={"event_type": ("status",)}, success={"severity": ("info",)}),
    ),
    silence_s=900,
)
