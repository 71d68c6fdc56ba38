"""Sweeps: a list of readings taken at once becomes one event with their count, sum, min, max and mean (D5)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from levada.domains.declaration import Derived, Domain, Rollup, Time

if TYPE_CHECKING:
    import pyarrow as pa

STATISTICS = ("count", "sum", "min", "max", "mean")


def derive(rows: pa.Table) -> Derived:
    """One event per list; a list without a number is refused."""
    import pyarrow as pa
    import pyarrow.compute as pc

    from levada.domains.nested import lists

    found, wrong = lists(rows["readings"], float | None, pa.float64())
    flat = pa.table({"at": pc.list_parent_indices(found).cast(pa.int32()), "v": pc.list_flatten(found)}).drop_null()
    made = flat.group_by("at", use_threads=False).aggregate([("v", name) for name in STATISTICS])
    empty = set(range(rows.num_rows)) - set(made["at"].to_pylist()) - set(wrong)
    events = rows.select(["unit", "metric", "sweep_id"]).take(made["at"])
    events = events.rename_columns(["entity_id", "metric", "event_id"]).append_column("at", made["at"])
    for name in STATISTICS:
        events = events.append_column(name, made[f"v_{name}"].cast(pa.float64()))
    refused = [(at, "not_a_list", why) for at, why in wrong.items()]
    return Derived(events=events.append_column("value", made["v_mean"]), refused=refused + [
        (at, "no_readings", "readings: must hold a number at least") for at in sorted(empty)
    ])  # fmt: skip


SWEEP = Domain(
    name="sweep",
    about="Lists of readings of a machine, each one event with its statistics.",
    time=Time(columns=("timestamp",), formats=("iso", "epoch")),
    keys={"site": "factory_id", "unit": "machine_id", "series": "machine_id"},
    constants={"entity_type": "machine", "event_type": "sweep"},
    further={"metric": "text", "sweep_id": "text", "readings": "json"},
    fields={"metric": "text", **dict.fromkeys(STATISTICS, "number")},
    derive=derive,
    needed=("machine_id", "readings"),
    optional=("factory_id", "metric", "sweep_id"),
    rollups=(
        Rollup(metric="sweep_mean", by=("site", "unit", "metric"), value="mean"),
        Rollup(metric="readings", by=("site", "unit", "metric"), value="count"),
    ),
)
