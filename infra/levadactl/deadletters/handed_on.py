"""Records of the clean stream on their way back to it: as they are, since aggregate knows which rows it has. Pure."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence

from levada.clean.reading import Rules
from levada.core import applied, columns, packs
from levada.core.errors import BadRecordError
from levada.core.kinesis_event import StreamRecord
from levada.core.packs import partition_key
from levada.core.positions import RowFences
from levada.ports import Entry
from levadactl.deadletters.judging import Verdict
from levadactl.deadletters.letters import Letter

_LANE = re.compile(r"#e?([0-9]{2})")


def missing(records: Sequence[StreamRecord], fences: RowFences) -> list[StreamRecord]:
    """Those that the shard where they stood has not applied: a batch may be committed and given up all the same."""
    return [record for record in records if not _is_applied(record, fences)]


def _is_applied(record: StreamRecord, fences: RowFences) -> bool:
    try:
        header, _ = packs.split(record.data)
        held = applied.stretch(header)
    except (BadRecordError, KeyError, TypeError, ValueError):
        return False
    return any(after <= held[0] and held[1] <= until for after, until in fences.seen(header.source, *held))


def verdicts(records: Sequence[StreamRecord], rules: Rules) -> list[Verdict]:
    """What to put back for each record of a batch, and what aggregate would say of it now."""
    return [_verdict(Entry(record.partition_key, record.data), rules) for record in records]


def letters(found: Sequence[Letter], rules: Rules) -> Iterator[tuple[Letter, Verdict]]:
    """The same for records that aggregate refused: they go to the shard of their lane, whose fence knows them."""
    for letter in found:
        try:
            header, _ = packs.split(letter.payload)
            lane = _LANE.search(header.source[-4:])
            if lane is None:
                raise BadRecordError("not_canonical_rows", f"source={header.source!r}: must end in a lane's number")
            yield letter, _verdict(Entry(partition_key(int(lane[1])), letter.payload), rules)
        except BadRecordError as err:
            reason = err.reason if packs.is_pack(letter.payload) else letter.reason
            yield letter, Verdict(None, refused=Counter([reason]), detail=err.detail)


def _verdict(entry: Entry, rules: Rules) -> Verdict:
    try:
        header, body = packs.split(entry.data)
        if header.domain not in rules.domains:
            known = ", ".join(sorted(rules.domains))
            raise BadRecordError("unknown_domain", f"domain={header.domain!r}: enabled are {known}")
        applied.stretch(header)
        rows = columns.from_bytes(body).select(["sequence", "row"])
    except BadRecordError as err:
        return Verdict(entry, refused=Counter([err.reason]), detail=err.detail)
    except (KeyError, TypeError, ValueError) as err:
        return Verdict(entry, refused=Counter(["not_canonical_rows"]), detail=str(err))
    return Verdict(entry, rows=rows.group_by(["sequence", "row"]).aggregate([]).num_rows)
