"""Source rows that make more than a stream record holds: they are refused, so that the rows around them go on."""

from __future__ import annotations

from collections.abc import Mapping

import pyarrow as pa
import pyarrow.compute as pc

from levada.clean import outgoing, reading, redriven
from levada.clean.normalise import Refused
from levada.clean.outgoing import Chain, Place
from levada.clean.reading import Reading, Rules
from levada.clean.shapes import Origin
from levada.core.kinesis_event import Batch
from levada.core.positions import ShardToken
from levada.ports import Entry


def entries(batch: Batch, found: Reading, rules: Rules, token: ShardToken, origin: Origin, chain: Chain) -> list[Entry]:
    """The records to publish; ``chain`` has moved behind them. What is too large goes to ``found.bad``.

    A row is refused as a whole: nothing that it makes stays in ``found``, in whatever lane or table.
    """
    while True:
        too_large: dict[Place, str] = {}
        fresh = [redriven.unpublished(part, found.headers) for part in found.tables]
        made = [one for part in fresh for one in outgoing.entries(part, token, origin, chain, too_large)]
        if not too_large:
            return made
        chain.forget()
        _refuse(batch, found, rules, too_large)


def _refuse(batch: Batch, found: Reading, rules: Rules, too_large: Mapping[Place, str]) -> None:
    domains = {record: domain for domain, records in found.records.items() for record in records}
    for (record, row), detail in too_large.items():
        domain = domains[record]
        payload, line = reading.source_of(batch.data[record], found.headers.get(record), row, domain, rules)
        found.bad.append((Refused(record, row, line, payload, "record_too_large", detail), domain))
    for normal in found.good:
        normal.rows = _without(normal.rows, too_large)
    found.tables = [part.of(_without(part.rows, too_large)) for part in found.tables]


def _without(rows: pa.Table, places: Mapping[Place, str]) -> pa.Table:
    for record, row in places:
        here = pc.and_(pc.equal(rows["rec"], pa.scalar(record, pa.int32())), pc.equal(rows["row"], row))
        rows = rows.filter(pc.invert(here))
    return rows.combine_chunks()
