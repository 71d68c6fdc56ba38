"""Windows are what one DuckDB query over the distinct rows gives, however the rows come (issue 4, figures 1 and 2).

Rows go through the stage as records of the clean stream: in any order, cut anywhere, some twice, some late.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from levada.aggregate import stage
from levada.archive.idle import close_idle
from levada.core import columns, distinct, packs, parquet
from levada.core.packs import ARROW_ZSTD, Header
from levada.core.partials import merge, quantiles, stddev
from levada.core.positions import pad_sequence
from levada.core.records import MEASUREMENT
from levada.domains.declaration import Domain, Metric, Time
from levada.ports import Entry
from levadactl.memory import MemoryDeps
from tests.builders import clean_batch
from tests.unit.aggregate.events import ORDERS, entry, events
from tests.unit.aggregate.test_stage import _deps

TOKEN = "6553f100-000000000000"
T0 = 1_767_225_600
WIDTH_S = 60
GAUGE = Domain(
    name="gauge",
    time=Time(columns=("t",), formats=("iso",)),
    metrics={"v": Metric("v")},
    keys={"series": "s"},
    window_s=WIDTH_S,
    lateness_s=30,
)
Row = tuple[str, int, float | None]
"""series, time in ms after T0, value."""


def deps(memory: MemoryDeps, domain: Domain) -> stage.AggregateDeps:
    made = _deps(memory)
    object.__setattr__(made, "domains", {domain.name: domain})
    return made


def record(rows: Sequence[Row], first: int) -> Entry:
    """A record of the clean stream: the row numbered n stands in raw record n."""
    n = len(rows)
    values: dict[str, list[Any]] = {f.name: [None] * n for f in MEASUREMENT}
    for name in ("tenant", "site", "unit", "shard", "source"):
        values[name] = [TOKEN if name == "shard" else "default" if name == "tenant" else ""] * n
    values |= {"domain": ["gauge"] * n, "metric": ["v"] * n, "series": [r[0] for r in rows]}
    values |= {"time": [T0 * 1_000_000 + r[1] * 1_000 for r in rows], "value": [r[2] for r in rows]}
    values |= {"quality": [0] * n, "position": [0] * n, "row": [0] * n}
    values["sequence"] = [pad_sequence(first + i) for i in range(n)]
    arrays = [
        pa.array(values[f.name], pa.string()).dictionary_encode()
        if pa.types.is_dictionary(f.type)
        else pa.array(values[f.name], pa.int64() if f.name == "time" else f.type).cast(f.type)
        for f in MEASUREMENT
    ]
    table = pa.table(arrays, schema=MEASUREMENT)
    extra = {"first": [pad_sequence(first), 0], "last": [pad_sequence(first + n - 1), 0]}
    header = Header(
        domain="gauge", tenant="default", source=f"{TOKEN}#gauge#default#01", position=0, count=n, codec=ARROW_ZSTD,
        extra=extra,
    )  # fmt: skip
    return Entry("lane-01", packs.encode(header, columns.to_bytes(table)))


def windows(memory: MemoryDeps, domain: Domain) -> pa.Table:
    """Everything closed, and merged."""
    memory.clock.time_s += 86_400
    close_idle(deps(memory, domain), idle_after_s=60)
    return merge([parquet.from_bytes(memory.blobs.objects[b.key]) for b in memory.blobs.list("gold/")])


def by_duckdb(rows: Sequence[Row]) -> dict[tuple[str, int], dict[str, Any]]:
    table = pa.table(
        {
            "n": pa.array(range(len(rows)), pa.int64()),
            "s": pa.array([r[0] for r in rows], pa.string()),
            "t": pa.array([T0 * 1000 + r[1] for r in rows], pa.int64()),
            "v": pa.array([r[2] for r in rows], pa.float64()),
        }
    )
    with duckdb.connect() as db:
        db.register("given", table)
        found = db.sql(
            f"""
            SELECT s, t - t % {WIDTH_S * 1000} AS start, count(v) AS count, count(*) - count(v) AS missing,
                min(v) AS min, max(v) AS max, fsum(v) AS sum, fsum(v) / count(v) AS mean,
                CASE WHEN count(v) > 1 THEN stddev_samp(v) END AS stddev,
                first(v ORDER BY t, n) FILTER (v IS NOT NULL) AS first,
                last(v ORDER BY t, n) FILTER (v IS NOT NULL) AS last,
                quantile_cont(v, 0.5) AS p50, quantile_cont(v, 0.95) AS p95, max(abs(v)) AS largest, min(v) < 0 AND max(v) > 0 AS mixed
            FROM given GROUP BY ALL
            """  # noqa: S608, E501
        ).to_arrow_table()
    return {(row["s"], row["start"]): row for row in found.to_pylist()}


VALUES = (
    st.none() | st.integers(-50, 50).map(float) | st.floats(-1e6, 1e6) | st.integers(-1, 1).map(lambda i: 1e9 + i / 1e3)
)
ROWS = st.lists(st.tuples(st.sampled_from(["a", "b"]), st.integers(0, 400_000), VALUES), min_size=1, max_size=30)


@settings(suppress_health_check=[HealthCheck.too_slow], max_examples=40)
@given(ROWS, st.data())
def test_any_order_cut_repetition_and_delay_gives_the_windows_of_one_query(
    rows: list[Row], data: st.DataObject
) -> None:
    """Rows are numbered as they come: a permutation of the input is another list of rows, and drawn as such."""
    memory, at = MemoryDeps(), 1
    memory.clock.time_s = T0 + 500
    cuts = sorted({0, len(rows), *data.draw(st.lists(st.integers(0, len(rows)), max_size=5))})
    records = [record(rows[a:b], a) for a, b in pairwise(cuts)]
    for i in data.draw(st.lists(st.integers(0, len(records) - 1), max_size=3)):
        records.insert(data.draw(st.integers(records.index(records[i]) + 1, len(records))), records[i])
    while records:
        n = data.draw(st.integers(1, len(records)))
        stage.run(clean_batch(records[:n], first=at), deps(memory, GAUGE))
        records, at = records[n:], at + n

    found = windows(memory, GAUGE)

    expected = by_duckdb(rows)
    p50, p95 = quantiles(found, [0.5, 0.95])
    spread = stddev(found)
    got = {(r["series"], int(r["window_start"].timestamp() * 1000)): (i, r) for i, r in enumerate(found.to_pylist())}
    assert got.keys() == expected.keys()
    for key, want in expected.items():
        i, row = got[key]
        for name in ("count", "missing", "min", "max", "first", "last"):
            assert row[name] == want[name], name
        if not want["count"]:
            continue
        assert row["sum"] == pytest.approx(want["sum"], rel=1e-9, abs=1e-9 * want["largest"])
        assert row["mean"] == pytest.approx(want["mean"], rel=1e-9, abs=1e-9 * want["largest"])
        for name, value in (("p50", p50[i]), ("p95", p95[i])):
            scale = want["largest"] if want["mixed"] else abs(want[name])
            assert value == pytest.approx(want[name], abs=GAUGE.quantile_error * scale * (1 + 1e-9)), name
        if want["count"] > 1:
            assert spread[i] == pytest.approx(want["stddev"], rel=1e-9, abs=1e-15 * want["largest"])


def test_values_of_1e9_that_differ_by_1e_3_keep_their_deviation_to_nine_digits() -> None:
    import statistics
    from fractions import Fraction

    values = [1e9 + (i % 3 - 1) * 1e-3 for i in range(300)]
    memory = MemoryDeps()
    memory.clock.time_s = T0 + 500
    for n in range(0, 300, 7):
        part = [("a", (n + i) * 100, v) for i, v in enumerate(values[n : n + 7])]
        stage.run(clean_batch([record(part, n)], first=n + 1), deps(memory, GAUGE))

    found = windows(memory, GAUGE)

    exact = statistics.stdev([Fraction(v) for v in values])
    assert float(stddev(found)[0]) == pytest.approx(float(exact), rel=1e-9)
    assert found["mean"].to_pylist() == [pytest.approx(float(sum(map(Fraction, values)) / 300), rel=1e-15)]


def test_distinct_customers_of_any_cut_are_within_their_error() -> None:
    memory = MemoryDeps()
    memory.clock.time_s = T0 + 500
    for batch in range(4):  # each has half of its customers from the batch before
        rows = [
            {"time_s": T0 + i % 50, "n": batch * 10_000 + i, "customer": f"c{batch * 1_500 + i}"} for i in range(3_000)
        ]
        stage.run(clean_batch([entry(events(rows))], first=batch + 1), deps(memory, ORDERS))

    found = windows(memory, ORDERS)

    (row,) = [i for i, metric in enumerate(found["metric"].to_pylist()) if metric == "events"]
    estimate = distinct.estimates(found["distinct_sketch"])[row]
    assert estimate == pytest.approx(7_500, rel=3 * distinct.RELATIVE_ERROR)


@pytest.mark.parametrize("ahead_s", [599, 366 * 86_400])
def test_one_clock_that_runs_ahead_makes_no_honest_row_late(ahead_s: int) -> None:
    """Figure 2. Up to the skew that is allowed it reaches aggregate; a year ahead it is quarantined by clean already,
    so here it stands for a deployment that allows more."""
    memory = MemoryDeps()
    late = 0
    for batch in range(10):
        memory.clock.time_s = T0 + batch * 10 + 10
        rows: list[Row] = [("a", batch * 10_000 + i * 10, 1.0) for i in range(1_000)]
        if batch == 2:
            rows.insert(500, ("fast", (batch * 10 + ahead_s) * 1_000, 1.0))
        late += stage.run(clean_batch([record(rows, batch * 2_000)], first=batch + 1), deps(memory, GAUGE)).late

    memory.clock.time_s += ahead_s
    found = windows(memory, GAUGE)

    assert late == 0
    assert sum(r["count"] for r in found.to_pylist() if r["series"] == "a") == 10_000
