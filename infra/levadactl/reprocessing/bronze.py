"""The records of bronze up to the cut, each once, in the order of their shards; what was redriven is told apart."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from levada.clean.shapes import Origin
from levada.core import editions, packs, parquet
from levada.core.errors import BadRecordError
from levada.core.keys import Span
from levada.core.kinesis_event import Batch
from levada.core.packs import Header
from levada.core.redrive import Root, root_of
from levada.ports import Blob, BlobStore

MAX_BYTES = 16_000_000
"""Of objects that are read as one batch."""
STREAM_RETENTION_S = 24 * 3600
"""How long after its arrival a record can have been judged at most."""
COLUMNS = ["sequence", "arrived", "partition_key", "tenant", "payload"]


@dataclass(frozen=True, slots=True)
class Held:
    """An object of bronze, by its name."""

    blob: Blob
    span: Span


def listed(blobs: BlobStore, domain: str, first_day: str) -> list[Held]:
    """The domain's objects of arrival days from first_day on (empty for all), in order of shard and sequence."""
    found = []
    for blob in blobs.list(f"bronze/domain={domain}/"):
        try:
            span = Span.parse(editions.token_of(blob.key))
        except ValueError:
            continue  # nothing of ours
        if blob.key.split("/date=")[1][:10] >= first_day:
            found.append(Held(blob, span))
    return sorted(found, key=lambda one: (one.span.token, int(one.span.first), int(one.span.last)))


def batches(held: list[Held]) -> Iterator[list[Held]]:
    """Neighbours of one shard to be read together; those whose ranges overlap always, for they may share records."""
    batch: list[Held] = []
    end = -1
    for one in held:
        same = bool(batch) and one.span.token == batch[0].span.token
        overlaps = same and int(one.span.first) <= end
        if batch and not overlaps and not (same and sum(b.blob.size for b in batch) + one.blob.size <= MAX_BYTES):
            yield batch
            batch, end = [], -1
        batch.append(one)
        end = max(end, int(one.span.last))
    if batch:
        yield batch


@dataclass(slots=True)
class Records:
    """Records of one shard, as clean is given them."""

    batch: Batch
    origin: Origin
    judged_s: Sequence[int]
    """When clean judged each of them, at the latest: what lies further ahead of it is from a wrong clock."""


def read(blobs: BlobStore, some: list[Held], mark: int, tenant: str) -> Records | None:
    """The records of a batch up to a sequence number, each once; None when there are none."""
    bodies = blobs.get_all(one.blob.key for one in some)
    rows = pa.concat_tables(
        [_with_time(parquet.from_bytes(b, COLUMNS), one) for one, b in zip(some, bodies, strict=True)]
    )
    rows = rows.set_column(0, "sequence", rows["sequence"].cast(pa.string()))
    if len(some) > 1:
        at = pa.table({"sequence": rows["sequence"], "at": pa.array(range(rows.num_rows), pa.int64())})
        rows = rows.take(at.group_by("sequence").aggregate([("at", "min")]).sort_by("sequence")["at_min"])
    sequences = rows["sequence"].to_pylist()
    rows = rows.slice(0, sum(int(sequence) <= mark for sequence in sequences))
    if not rows.num_rows:
        return None
    arrived_s = pc.divide(rows["arrived"].cast(pa.int64()).cast(pa.float64()), 1e6).to_pylist()
    judged_s = [
        min(written, int(arrived) + STREAM_RETENTION_S)
        for written, arrived in zip(rows["written_s"].to_pylist(), arrived_s, strict=True)
    ]
    return records(
        Batch(
            "",
            "",
            sequences[: rows.num_rows],
            arrived_s,
            rows["payload"].to_pylist(),
            rows["partition_key"].to_pylist(),
        ),
        str(some[0].span.token),
        [name or tenant for name in rows["tenant"].to_pylist()],
        judged_s,
    )


def _with_time(rows: pa.Table, one: Held) -> pa.Table:
    return rows.append_column("written_s", pa.repeat(pa.scalar(one.blob.modified_s, pa.int64()), rows.num_rows))


def records(batch: Batch, token: str, tenants: list[str], judged_s: Sequence[int]) -> Records:
    """With the identity that clean gives them."""
    sources, positions = [], []
    for sequence, data in zip(batch.sequences, batch.data, strict=True):
        header = header_of(data)
        sources.append(f"{token}/{sequence}" if header is None else header.source)
        positions.append(0 if header is None else header.position)
    return Records(batch, Origin(token, list(batch.sequences), sources, positions, tenants), judged_s)


def header_of(data: bytes) -> Header | None:
    """None for a plain record, and for a pack that cannot be read."""
    if not packs.is_pack(data):
        return None
    try:
        return packs.split(data)[0]
    except BadRecordError:
        return None


def holds(blobs: BlobStore, held: Sequence[Held], source: str) -> bool:
    """Whether the plain record that has this source is there."""
    token, _, sequence = source.partition("/")
    for one in held:
        if str(one.span.token) == token and int(one.span.first) <= int(sequence) <= int(one.span.last):
            found = parquet.from_bytes(blobs.get(one.blob.key)[0], ["sequence"])["sequence"].to_pylist()
            if sequence in found:
                return True
    return False


_PLAIN = re.compile(r"[0-9a-f]{8,}-[0-9]{12}/[0-9]+")


def is_plain(source: str) -> bool:
    """Is it the source that clean gives to a plain record?"""
    return _PLAIN.fullmatch(source) is not None


@dataclass(slots=True)
class Redriven:
    """Packs that carried dead letters back, held until all roots have been judged."""

    latest: dict[tuple[str, int, int], tuple[Root, Records, int]] = field(default_factory=dict)
    """Root → its latest attempt: the records and which of them."""

    def hold(self, of: Records) -> set[int]:
        """Take the redriven ones of these; which they are."""
        mine = set()
        for i, (source, position) in enumerate(zip(of.origin.sources, of.origin.positions, strict=True)):
            root = root_of(source, position, 0)
            if root.attempt:
                mine.add(i)
                key = (root.source, root.position, root.row)
                if key not in self.latest or root.attempt > self.latest[key][0].attempt:
                    self.latest[key] = root, of, i
        return mine


def part_of(of: Records, wanted: list[int]) -> Records:
    """Some of the records, in order."""
    batch, origin = of.batch, of.origin

    def some(values: Sequence[Any]) -> list[Any]:
        return [values[i] for i in wanted]

    return Records(
        Batch(
            batch.arn,
            batch.shard_id,
            some(batch.sequences),
            some(batch.arrived_s),
            some(batch.data),
            some(batch.partition_keys),
        ),
        Origin(
            origin.shard,
            some(origin.sequences),
            some(origin.sources),
            some(origin.positions),
            some(origin.tenants),
        ),
        some(of.judged_s),
    )
