"""Jobs and their subjobs: what started, went on, was measured, finished, failed or was canceled (C1–C4, C14)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from levada.domains.declaration import Derived, Domain, Rollup, Time

if TYPE_CHECKING:
    import pyarrow as pa

STATUS = {
    "started": "running",
    "progress": "running",
    "metric": "running",
    "finished": "succeeded",
    "error": "failed",
    "canceled": "canceled",
}
"""Event → status of the job, where the sender names none."""
ENDS = ("finished", "error", "canceled")
SUCCEEDED = ("succeeded", "success", "ok", "completed", "done")
"""What senders call a good end: the first is what follows from ``finished``."""


def derive(rows: pa.Table) -> Derived:
    """The event as it is; its status and severity follow from what happened, where the sender leaves them out."""
    import pyarrow as pa
    import pyarrow.compute as pc

    kinds = rows["event_type"].combine_chunks()
    known = pa.array(STATUS, pa.string())
    status = pa.array(STATUS.values(), pa.string()).take(pc.index_in(kinds, known))
    rows = rows.set_column(rows.schema.get_field_index("status"), "status", _or(rows["status"], status))
    severity = pc.if_else(pc.equal(kinds, "error"), "error", "info")
    events = rows.select(["entity_type", "entity_id", "parent_id", "event_type", "attributes", "event_id", *FIELDS])
    at = pa.array(range(rows.num_rows), pa.int32())
    return Derived(events=events.append_column("severity", severity).append_column("at", at))


def _or(given: pa.ChunkedArray, otherwise: pa.Array) -> pa.Array:
    import pyarrow.compute as pc

    return pc.if_else(pc.equal(given, ""), otherwise, given.combine_chunks())


FIELDS = {"app": "text", "status": "text", "duration_s": "number", "progress": "number"}
JOBS = Domain(
    name="jobs",
    about="Events of jobs and subjobs; the latest state of each is served.",
    time=Time(columns=("time",), formats=("iso", "epoch")),
    keys={"site": "site"},
    events={
        "entity_type": "entity",
        "entity_id": "id",
        "parent_id": "parent",
        "event_type": "event",
        "event_id": "idempotency_key",
        "attributes": "metrics",
    },
    fields=FIELDS,
    derive=derive,
    needed=("time", "site"),
    event_types=tuple(STATUS),
    skew_s=600,
    latest=("job", "subjob"),
    ranks={"started": 0, "progress": 1, "metric": 1, "error": 3, "canceled": 3, "finished": 3},
    rollups=(
        Rollup(metric="events", by=("site", "event_type")),
        Rollup(metric="duration_s", by=("site", "app", "event_type"), value="duration_s", where={"event_type": ENDS}),
        Rollup(metric="jobs", by=("site", "app"), distinct="entity_id"),
        Rollup(
            metric="success",
            by=("site", "entity_type", "app"),
            where={"event_type": ENDS},
            success={"event_type": ("finished",), "status": SUCCEEDED},
        ),
    ),
)
