"""Is what levada holds what one batch query over its input gives? Windows in gold and in serving, and silver's rows."""

from __future__ import annotations

# ruff: noqa: S608 - column names are ours, and the database is in memory
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from levada.aggregate.state import STAGE as AGGREGATE
from levada.aggregate.state import open_of, outbox_of
from levada.core import editions, retention, segment_reads, segments
from levada.core.checkpoint import Checkpoint
from levada.core.lake import partitions
from levada.core.partials import PARTIAL, merge
from levada.core.records import SERIES
from levada.core.retention import Keep
from levada.core.segment_reads import EMITTED
from levada.domains.declaration import Domain
from levada.wiring import SystemClock
from levadactl import oracle, sources
from levadactl.compare import Difference, compare, plain, spread
from levadactl.loading import Lake, Streams
from levadactl.oracle import KEY, Truth
from levadactl.retained import Retained, days_of, retained, without
from levadactl.silver import Silver, orphans, silver_of

if TYPE_CHECKING:
    from levadactl.places import Place


@dataclass(slots=True, kw_only=True)
class Report:
    """The verdict. ``mismatches`` is 0 when everything agrees."""

    source: str
    domain: str
    windows: int
    mismatches: int
    open: int
    """Windows that are not closed yet; their value comes from the checkpoints."""
    orphans: int
    """Silver objects of attempts that were never committed."""
    gold: Difference
    serving: Difference
    silver: Silver
    truth: Truth = field(repr=False)
    gold_windows: pa.Table = field(repr=False)
    """Gold's windows, merged."""
    examples: list[dict[str, Any]]
    retained: Retained = field(default_factory=Retained)
    """Days that retention has taken, which are not compared."""
    drained: bool | None = None
    """Both streams are read to their ends; None where nobody asked."""

    def to_json(self) -> dict[str, Any]:
        """The answer of ``levada verify --json``."""
        sides = {
            name: {"windows": d.found, "mismatches": d.mismatches}
            for name, d in (("gold", self.gold), ("serving", self.serving))
        }
        silver = {name: getattr(self.silver, name) for name in Silver.__slots__}
        return {
            "source": self.source,
            "domain": self.domain,
            "windows": self.windows,
            "mismatches": self.mismatches,
            "open_windows": self.open,
            "orphan_objects": self.orphans,
            "drained": self.drained,
            "days_retained_away": self.retained.counts(),
            **sides,
            "silver": silver,
            "refused": self.truth.refused,
            "examples": self.examples,
        }


def verify_place(place: Place, domain: Domain, *, file: Path | None = None, tenant: str = "default") -> Report:
    """Verify a stack. Its windows must be those of the file, or, without one, of everything that bronze keeps."""
    oracle.check(domain)
    lake = Lake.of(place)
    function = place.client("lambda").get_function_configuration(FunctionName=place.function("archive"))
    setting = function.get("Environment", {}).get("Variables", {}).get("LEVADA_KEEP", "")
    keep = Keep(retention.parse(setting), {domain.name: domain.keep_h})
    truth = truth_of(lake, domain, file=file, tenant=tenant)
    report = verify(lake, domain, truth, source=str(file or "bronze"), keep=keep, now_s=SystemClock().now_s())
    report.drained = Streams(place, lake).drained()
    return report


def truth_of(lake: Lake, domain: Domain, *, file: Path | None, tenant: str = "default") -> Truth:
    """What the source says; see ``sources``."""
    if file is not None:
        return sources.of_file(file, domain, tenant=tenant)
    bodies = (body for _, body in lake.bodies(f"bronze/domain={domain.name}/"))
    return sources.of_bronze(sources.read_bronze(bodies), domain)


def verify(
    lake: Lake, domain: Domain, truth: Truth, *, source: str, keep: Keep | None = None, now_s: float = 0.0
) -> Report:
    """Compare gold, serving and silver of one domain with the truth, but for days that retention has taken.

    Args:
        keep, now_s: the deployment's policy, and the time in seconds since 1970, which tell what has expired.
    """
    gone = retained(lake, domain, days_of(truth.windows), keep or Keep(), now_s)
    pending, open_windows = committed(lake, domain)
    windows = merged(_distinct(pa.concat_tables([*gold_partials(lake, domain), pending])))
    gold = compare(without(truth.windows, gone.gold), without(windows, gone.gold))
    served = [served_partials(lake, domain, tenant) for tenant in sorted(_tenants(truth))]
    shown = spread(merge([part.select(PARTIAL.names) for part in (*served, pending)]))
    serving = compare(without(truth.windows, gone.serving), without(shown, gone.serving))
    silver = silver_of(lake, domain, truth, gone.silver)
    return Report(
        source=source,
        domain=domain.name,
        windows=truth.windows.num_rows,
        mismatches=gold.mismatches + serving.mismatches + silver.mismatches,
        open=open_windows,
        orphans=orphans(lake, domain),
        gold=gold,
        serving=serving,
        silver=silver,
        truth=truth,
        gold_windows=windows,
        examples=[
            *({"in": "gold", **example} for example in gold.examples),
            *({"in": "serving", **example} for example in serving.examples),
        ][:5],
        retained=gone,
    )


def gold_partials(lake: Lake, domain: Domain) -> Iterator[pa.Table]:
    """Closed partials as gold holds them, unmerged (EMITTED); of days that were made anew, what counts of them."""
    names: list[str] = []
    for _, day, listed in partitions(lake.blobs.list(f"gold/domain={domain.name}/")):
        names += [blob.key for blob in editions.gold_shown(lake.blobs, domain.name, day, listed)]
    for body in lake.blobs.get_all(names):
        yield pq.read_table(pa.BufferReader(body)).select(EMITTED.names).cast(EMITTED)


OPEN = -1
"""Generation of partials that are still open."""


def committed(lake: Lake, domain: Domain) -> tuple[pa.Table, int]:
    """(partials that only checkpoints hold, as EMITTED: open windows, and an outbox that waits for the next
    invocation because the last one ended before it was emitted; how many windows are open)."""
    names = [blob.key.rpartition("/")[2] for blob in lake.blobs.list(f"gold/domain={domain.name}/")]
    emitted = {name.removesuffix(".parquet") for name in names}
    tables, n = [EMITTED.empty_table()], 0
    for blob in lake.blobs.list(f"checkpoints/{AGGREGATE}/"):
        token = blob.key.rpartition("/")[2]
        saved = Checkpoint.from_bytes(lake.blobs.get(blob.key)[0])
        generation = int(saved.header["generation"])
        if f"{token}-{generation:012d}" not in emitted:
            tables.append(_emission(outbox_of(saved), domain, token, generation))
        tables.append(_emission(open_of(saved), domain, token, OPEN))
        n += tables[-1].num_rows
    return pa.concat_tables(tables), n


def _emission(partials: pa.Table, domain: Domain, token: str, generation: int) -> pa.Table:
    mine = partials.filter(pc.equal(partials["domain"].cast(pa.string()), domain.name))
    mine = mine.append_column("shard", pa.repeat(pa.scalar(token), mine.num_rows))
    return mine.append_column("generation", pa.repeat(pa.scalar(generation, pa.int64()), mine.num_rows)).cast(EMITTED)


def served_partials(lake: Lake, domain: Domain, tenant: str) -> pa.Table:
    """Every partial that the serving table holds of a tenant's series, as they were emitted (EMITTED)."""
    tables = [EMITTED.empty_table()]
    for item in lake.serving.query(segments.series_pk(tenant, domain.name)):
        series = {name: item[name] for name in SERIES}
        found = list(segment_reads.of_series(lake.serving, series))
        tables.append(segment_reads.emitted(found, series).cast(EMITTED))
    return pa.concat_tables(tables)


def _tenants(truth: Truth) -> set[str]:
    return set(truth.windows["tenant"].unique().to_pylist())


def _distinct(partials: pa.Table) -> pa.Table:
    """One row per partial: an outbox that was emitted stands in gold too."""
    import duckdb

    with duckdb.connect() as db:
        db.register("partials", plain(partials, *EMITTED.names))
        keys = ", ".join((*KEY, "shard", "generation"))
        return db.sql(f"SELECT DISTINCT ON ({keys}) * FROM partials").to_arrow_table()


def merged(partials: pa.Table) -> pa.Table:
    """Partials merged per window by DuckDB: what a query engine over gold has to do."""
    import duckdb

    with duckdb.connect() as db:
        db.register("partials", plain(partials, *PARTIAL.names))
        return db.sql(
            f"""
            SELECT {", ".join(KEY)}, sum(count)::BIGINT AS count, sum(missing)::BIGINT AS missing,
                CASE WHEN sum(count) > 0 THEN fsum(sum) END AS sum, min(min) AS min, max(max) AS max,
                fsum(mean * count) / sum(count) AS mean,
                arg_min(first, (first_time, first_sequence, first_row)) FILTER (count > 0) AS first,
                arg_max(last, (last_time, last_sequence, last_row)) FILTER (count > 0) AS last
            FROM partials GROUP BY ALL
            """
        ).to_arrow_table()
