"""A batch of the raw stream to validated columns, with what cannot be read split off and named. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import pyarrow as pa

from levada.clean.decode import Decoded, decode, singles
from levada.clean.json_rows import INDEX
from levada.clean.normalise import REC, ROW, Refused, Wide, normalise
from levada.core import packs
from levada.core.errors import BadRecordError
from levada.core.keys import UNKNOWN_DOMAIN
from levada.core.kinesis_event import Batch
from levada.core.packs import MAGIC, Header
from levada.domains.declaration import Domain


@dataclass(slots=True)
class Reading:
    """What a batch holds. Records are known by their index in the batch."""

    headers: dict[int, Header] = field(default_factory=dict)
    """Of the records that are packs."""
    records: dict[str, list[int]] = field(default_factory=dict)
    """Domain → the records that could be read as a whole."""
    tables: list[Wide] = field(default_factory=list)
    """Good rows, one table per domain."""
    bad: list[tuple[Refused, str]] = field(default_factory=list)
    """Records and rows that were refused, with their domain."""
    duplicates: list[Header] = field(default_factory=list)
    """Packs that were applied before."""

    @property
    def quarantined(self) -> int:
        return len(self.bad)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What the reading depends on beside the batch."""

    domains: Mapping[str, Domain]
    tenant: str
    """Of records that name none."""
    latest_us: int
    """The latest event time to believe, microseconds since 1970-01-01 UTC."""


def read(batch: Batch, first: int, rules: Rules, accept: Callable[[Header], bool]) -> Reading:
    """Read the batch from its record number ``first`` on.

    Args:
        accept: asked for each pack, in order; False when it was applied before.
    """
    out = Reading()
    decoded: dict[str, list[tuple[int, Decoded]]] = {}
    plain = [i for i in range(first, len(batch)) if not batch.data[i].startswith(MAGIC)]
    if len(plain) < len(batch) - first:
        for i in range(first, len(batch)):
            if batch.data[i].startswith(MAGIC):
                _pack(i, batch, rules, accept, out, decoded)
    if plain:
        _plain(plain, batch, rules, out, decoded)
    for domain, found in decoded.items():
        wide, refused = normalise(rules.domains[domain], found, latest_us=rules.latest_us)
        out.tables.append(wide)
        lines = {index: one.lines for index, one in found if one.lines}
        for bad in refused:
            if bad.record in lines:
                bad = replace(bad, payload=lines[bad.record][bad.row])
            elif bad.record not in out.headers:
                bad = replace(bad, payload=batch.data[bad.record])
            out.bad.append((bad, domain))
    return out


def _pack(
    i: int,
    batch: Batch,
    rules: Rules,
    accept: Callable[[Header], bool],
    out: Reading,
    decoded: dict[str, list[tuple[int, Decoded]]],
) -> None:
    domain = UNKNOWN_DOMAIN
    try:
        header = packs.split(batch.data[i])[0]
        if not accept(header):
            out.duplicates.append(header)
            return
        out.headers[i] = header
        domain = header.domain if header.domain in rules.domains else UNKNOWN_DOMAIN
        _add(i, decode(batch.record(i), header, rules.domains, rules.tenant), out, decoded)
    except BadRecordError as err:
        out.bad.append((Refused(i, 0, None, batch.data[i], err.reason, err.detail), domain))


def _plain(
    plain: Sequence[int], batch: Batch, rules: Rules, out: Reading, decoded: dict[str, list[tuple[int, Decoded]]]
) -> None:
    found = singles([batch.data[i] for i in plain], rules.domains, rules.tenant)
    for one, mine in found.rows:
        where = pa.array([plain[i] for i in mine], pa.int32()).take(one.rows[INDEX].combine_chunks())
        rows = one.rows.drop_columns([INDEX]).append_column(REC, where)
        rows = rows.append_column(ROW, pa.repeat(pa.scalar(0, pa.int32()), rows.num_rows))
        if rows.num_rows:
            out.records.setdefault(one.domain, []).extend(where.to_pylist())
            decoded.setdefault(one.domain, []).append((-1, Decoded(one.domain, one.tenant, rows)))
    for bad, domain in found.bad:
        out.bad.append((Refused(plain[bad.row], 0, None, bad.payload, bad.reason, bad.detail), domain))
    for at in found.others:
        i = plain[at]
        try:
            _add(i, decode(batch.record(i), None, rules.domains, rules.tenant), out, decoded)
        except BadRecordError as err:
            out.bad.append((Refused(i, 0, None, batch.data[i], err.reason, err.detail), UNKNOWN_DOMAIN))


def _add(i: int, one: Decoded, out: Reading, decoded: dict[str, list[tuple[int, Decoded]]]) -> None:
    out.records.setdefault(one.domain, []).append(i)
    decoded.setdefault(one.domain, []).append((i, one))
    out.bad.extend((Refused(i, b.row, None, b.payload, b.reason, b.detail), one.domain) for b in one.bad)
