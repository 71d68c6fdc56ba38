"""Rows of silver on their way to a new clean stream, as clean sent them to the one that was lost."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

import pyarrow as pa
import pyarrow.compute as pc

from levada.clean.outgoing import MAX_ROWS, SEPARATOR, lane_name
from levada.core import applied, columns, packs, parquet
from levada.core.keys import Span
from levada.core.packs import ARROW_ZSTD, MAX_PACK_BYTES, Header, lane_of, partition_key
from levada.core.positions import Position, RowFences, ShardToken
from levada.core.records import MEASUREMENT
from levada.ports import Entry
from levadactl.loading import Lake

KEY_TEXTS = ("tenant", "site", "unit", "series")
DAY_US = 86_400_000_000


def spans(lake: Lake, prefix: str) -> Iterator[tuple[str, Span]]:
    """(key, what it holds) of the objects under prefix that are named by positions."""
    for blob in lake.blobs.list(prefix):
        try:
            yield blob.key, Span.parse(blob.key.rpartition("/")[2].removesuffix(".parquet"))
        except ValueError:
            continue  # nothing of ours


def unapplied(
    lake: Lake, token: ShardToken, *, mark: int, since_us: int, fences: RowFences
) -> Iterator[tuple[list[Entry], int, int]]:
    """Records to publish of one shard and domain; rows in them; rows left out because aggregate has applied them.

    Args:
        mark: the last sequence number that clean committed.
        since_us: rows that arrived earlier are left alone, microseconds.
        fences: what aggregate has applied.
    """
    for domain, rows in _silver(lake, token, _recent(lake, token, since_us), mark):
        entries: list[Entry] = []
        fresh_rows = 0
        for lane, part in _by_lane(domain, rows):
            fresh = applied.without(part, fences.applied(lane_name(str(token), domain, *lane)))
            fresh_rows += fresh.num_rows
            entries.extend(_encode(fresh, token, domain, *lane))
        yield entries, fresh_rows, rows.num_rows - fresh_rows


def _recent(lake: Lake, token: ShardToken, since_us: int) -> set[str]:
    """Padded sequence numbers of a shard's records that came since then: older ones were applied, or have expired."""
    first_day = str(pa.scalar(max(0, since_us - DAY_US), pa.timestamp("us")).as_py().date())
    found: set[str] = set()
    for key, span in spans(lake, "bronze/"):
        if span.token != token or key.split("/date=")[1][:10] < first_day:
            continue
        table = parquet.from_bytes(lake.blobs.get(key)[0], ["sequence", "arrived"])
        late = pc.greater_equal(table["arrived"].cast(pa.int64()), since_us)
        found.update(table["sequence"].filter(late).to_pylist())
    return found


def _silver(lake: Lake, token: ShardToken, wanted: set[str], mark: int) -> Iterator[tuple[str, pa.Table]]:
    """(domain, its committed rows of these records, each once) of a shard."""
    if not wanted:
        return
    first, last = min(wanted), max(wanted)
    sequences = pa.array(sorted(s for s in wanted if int(s) <= mark), pa.string())
    parts: dict[str, list[pa.Table]] = defaultdict(list)
    for key, span in spans(lake, "silver/"):
        if span.token == token and span.first <= last and first <= span.last:
            rows = parquet.from_bytes(lake.blobs.get(key)[0]).select(MEASUREMENT.names).cast(MEASUREMENT)
            texts = rows["sequence"].cast(pa.string())
            mine = pc.and_(pc.equal(rows["shard"].cast(pa.string()), str(token)), pc.is_in(texts, sequences))
            parts[key.split("domain=")[1].partition("/")[0]].append(rows.filter(mine))
    for domain, tables in parts.items():
        yield domain, _distinct(pa.concat_tables(tables).unify_dictionaries().combine_chunks())


def _distinct(rows: pa.Table) -> pa.Table:
    """By (sequence, row, metric), in that order: all metrics of a source row stand together."""
    keyed = pa.table(
        {
            "sequence": rows["sequence"].cast(pa.string()),
            "row": rows["row"],
            "metric": rows["metric"].cast(pa.string()),
            "at": pa.array(range(rows.num_rows), pa.int64()),
        }
    )
    first = keyed.group_by(["sequence", "row", "metric"]).aggregate([("at", "min")])
    order = [("sequence", "ascending"), ("row", "ascending"), ("metric", "ascending")]
    return rows.take(first.sort_by(order)["at_min"])


def _by_lane(domain: str, rows: pa.Table) -> Iterator[tuple[tuple[str, int], pa.Table]]:
    """((tenant, lane), rows), as clean divides them."""
    texts = [rows[name].cast(pa.string()) for name in KEY_TEXTS]
    names = pc.binary_join_element_wise(*texts, SEPARATOR).combine_chunks().dictionary_encode()
    groups: dict[tuple[str, int], list[int]] = defaultdict(list)
    for code, name in enumerate(names.dictionary.to_pylist()):
        groups[name.partition(SEPARATOR)[0], lane_of(f"{domain}{SEPARATOR}{name}")].append(code)
    for lane, codes in groups.items():
        yield lane, rows.filter(pc.is_in(names.indices, pa.array(codes, names.indices.type)))


def _encode(rows: pa.Table, token: ShardToken, domain: str, tenant: str, lane: int) -> Iterator[Entry]:
    """Records as clean makes them; one source row is never cut in two, since fences know rows and not metrics."""
    n = rows.num_rows
    if not n:
        return
    header = Header(
        domain=domain,
        tenant=tenant,
        source=lane_name(str(token), domain, tenant, lane),
        position=0,
        count=n,
        codec=ARROW_ZSTD,
        extra={"first": list(_at(rows, 0)), "last": list(_at(rows, n - 1))},
    )
    data = packs.encode(header, columns.to_bytes(rows)) if n <= MAX_ROWS else b""
    if data and len(data) <= MAX_PACK_BYTES:
        yield Entry(partition_key(lane), data)
        return
    middle = n // 2
    while middle < n and _at(rows, middle) == _at(rows, middle - 1):
        middle += 1
    if middle == n:  # the second half is one source row: cut before it
        middle = next(i for i in range(n) if _at(rows, i) == _at(rows, n - 1))
    if not middle:
        raise ValueError(f"one source row of {domain} makes a record of {len(data)} bytes: at most {MAX_PACK_BYTES}")
    yield from _encode(rows.slice(0, middle), token, domain, tenant, lane)
    yield from _encode(rows.slice(middle), token, domain, tenant, lane)


def _at(rows: pa.Table, i: int) -> Position:
    return rows["sequence"][i].as_py(), rows["row"][i].as_py()
