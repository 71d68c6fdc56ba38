"""How many rows of a landed file lie in a time range: counted by the code that cleans them."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from levada.clean import reading
from levada.core.kinesis_event import Batch
from levada.ingest import files
from levada.ingest.files import FilesDeps
from levada.ingest.landed import domain_of, looked_at
from levada.ingest.packing import Packer
from levada.ingest.runs import Run
from levada.ports import Entry

LATEST_US = 2**62


def rows_between(run: Run, deps: FilesDeps) -> int:
    """Rows with an event time of since <= time < until that ``clean`` takes. Raises as ``files.load`` does."""
    name, deps = domain_of(run.key, deps.domains), deps.of(run.key)
    with looked_at(run.key, deps.domains[name], deps.blobs) as file:
        plan = files.first_plan(file, deps)
        packer = Packer(file.domain, deps.tenant, file.content.sha256, plan.pack_rows)
        return sum(_count(list(packer.entries(part)), run, deps) for part in file.parts(plan, file.first_progress()))


def _count(entries: list[Entry], run: Run, deps: FilesDeps) -> int:
    if not entries:
        return 0
    n = len(entries)
    batch = Batch(
        "", "shardId-000000000000", [str(i) for i in range(n)], [0.0] * n, [e.data for e in entries], [""] * n
    )
    rules = reading.Rules(domains=deps.domains, tenant=deps.tenant, latest_us=LATEST_US)
    found = reading.read(batch, 0, rules, lambda _: True)
    return sum(_between(wide.rows["time"], run) for wide in found.tables if wide.rows.num_rows)


def _between(times: pa.ChunkedArray, run: Run) -> int:
    micros = times.cast(pa.int64())
    here = pc.is_valid(micros)
    if run.since_us is not None:
        here = pc.and_(here, pc.fill_null(pc.greater_equal(micros, run.since_us), False))
    if run.until_us is not None:
        here = pc.and_(here, pc.fill_null(pc.less(micros, run.until_us), False))
    return int(pc.sum(here, min_count=0).as_py())
