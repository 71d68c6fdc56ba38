"""Records of the clean stream as rows that are new, gathered by what they are; what cannot be read is set aside."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import pyarrow as pa

from levada.aggregate import derive
from levada.aggregate.state import STAGE, AggregateState
from levada.core import applied, columns, packs
from levada.core.errors import BadRecordError
from levada.core.kinesis_event import StreamRecord
from levada.core.packs import Header
from levada.core.positions import ShardToken, pad_sequence
from levada.core.quarantine import Quarantined
from levada.core.records import MEASUREMENT, SERIES
from levada.domains.declaration import Domain

EVENT_KIND = "event"
OPENED = "opened"
"""Column of the clean stream's sequence number that each row came with, padded."""
NEEDED = ("time", *SERIES, "value", "sequence", "row")
"""Columns of a measurement that windows are made of."""


@dataclass(frozen=True, slots=True)
class Kind:
    """What is windowed together."""

    domain: str
    tenant: str
    is_event: bool


@dataclass(slots=True)
class Taken:
    """What is new in a batch."""

    token: ShardToken
    """The clean stream's shard."""
    kinds: dict[Kind, list[pa.Table]] = field(default_factory=dict)
    """New rows, a table per record; measurements with NEEDED columns, events with all of theirs; and OPENED."""
    bad: list[Quarantined] = field(default_factory=list)
    duplicate_rows: int = 0

    def rows(self, kind: Kind) -> pa.Table:
        return pa.concat_tables(self.kinds[kind])


def take(record: StreamRecord, into: Taken, state: AggregateState, domains: Mapping[str, Domain], now_s: int) -> None:
    """Add one record's rows that are new, and move the fence of its lane; which rows are new is known by it."""
    try:
        header, rows, (after, until) = _read(record, domains)
    except BadRecordError as err:
        into.bad.append(_quarantined(record, into.token, err))
        return
    fresh = applied.without(rows, state.fences.seen(header.source, after, until))
    into.duplicate_rows += rows.num_rows - fresh.num_rows
    state.fences.add(header.source, after, until, now_s)
    if not fresh.num_rows:
        return
    kind = Kind(header.domain, header.tenant, _is_event(header))
    if not kind.is_event:
        fresh = fresh.select(NEEDED)
    opened = columns.constant(pad_sequence(record.sequence), fresh.num_rows)
    into.kinds.setdefault(kind, []).append(fresh.append_column(OPENED, opened))


def _is_event(header: Header) -> bool:
    return (header.extra or {}).get("kind") == EVENT_KIND


def _read(record: StreamRecord, domains: Mapping[str, Domain]) -> tuple[Header, pa.Table, applied.Stretch]:
    """(header, rows, the stretch of its lane that the record holds all rows of)."""
    if not packs.is_pack(record.data):
        raise BadRecordError("not_a_pack", f"begins with {record.data[:8]!r}: the clean stream carries packs of rows")
    header, body = packs.split(record.data)
    if header.domain not in domains:
        raise BadRecordError("unknown_domain", f"domain={header.domain!r}: enabled are {', '.join(sorted(domains))}")
    rows = columns.from_bytes(body)
    try:
        if _is_event(header):
            rows = derive.canonical(rows, domains[header.domain])
        elif not rows.schema.equals(MEASUREMENT):
            rows = rows.select(MEASUREMENT.names).cast(MEASUREMENT)
        held = applied.stretch(header)
    except (KeyError, ValueError, TypeError, pa.ArrowInvalid) as err:
        raise BadRecordError("not_canonical_rows", str(err)) from err
    return header, rows, held


def _quarantined(record: StreamRecord, token: ShardToken, err: BadRecordError) -> Quarantined:
    return Quarantined(
        stage=STAGE,
        reason=err.reason,
        detail=err.detail,
        payload=record.data,
        shard=str(token),
        sequence=pad_sequence(record.sequence),
        arrived_us=record.arrived_us,
    )
