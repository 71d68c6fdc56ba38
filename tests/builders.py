"""Inputs for tests of the stages: source rows, packs, Kinesis batches."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta

import pyarrow as pa

from levada.core import columns, packs
from levada.core.kinesis_event import Batch
from levada.core.packs import ARROW_ZSTD, Header
from levada.domains.air_quality import AIR_QUALITY
from levada.ports import Entry

RAW_ARN = "arn:aws:kinesis:us-east-1:000000000000:stream/levada-raw"
CLEAN_ARN = "arn:aws:kinesis:us-east-1:000000000000:stream/levada-clean"
ARRIVED_US = 1_767_225_600_000_000
START = datetime(2004, 3, 10, 18, tzinfo=UTC)


def source_row(hour: int, **values: str) -> dict[str, str]:
    """A row as the published file has it, ``hour`` hours after its first; values by source column."""
    at = START + timedelta(hours=hour)
    row = {"Date": at.strftime("%d/%m/%Y"), "Time": at.strftime("%H.%M.%S")}
    row |= dict.fromkeys(AIR_QUALITY.metrics, "1,5")
    return row | values


def source_table(rows: Sequence[dict[str, str]]) -> pa.Table:
    names = list(rows[0])
    return pa.table({name: pa.array([r[name] for r in rows], pa.string()) for name in names})


def pack(rows: Sequence[dict[str, str]], *, source: str = "file/test#01", n: int = 0, tenant: str = "default") -> bytes:
    header = Header(
        domain="air_quality", tenant=tenant, source=source, position=n, count=len(rows), codec=ARROW_ZSTD, trace="1-2"
    )
    return packs.encode(header, columns.to_bytes(source_table(rows)))


def batch(bodies: Iterable[bytes], *, first: int = 1, shard: int = 0, arn: str = RAW_ARN) -> Batch:
    data = list(bodies)
    sequences = [str(first + i) for i in range(len(data))]
    arrived = [ARRIVED_US / 1_000_000] * len(data)
    return Batch(arn, f"shardId-{shard:012d}", sequences, arrived, data, ["lane-01"] * len(data))


def clean_batch(entries: Sequence[Entry], *, first: int = 1) -> Batch:
    """What the clean stage published, as the next stage receives it."""
    return batch([e.data for e in entries], first=first, arn=CLEAN_ARN)
