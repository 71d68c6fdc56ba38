"""A batch of the raw stream to validated columns, with what cannot be read split off and named. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import pyarrow as pa

from levada.clean import forced
from levada.clean.decode import LINE, REC, ROW, Decoded, Lines, Unfolded, read_lines, singles, unfold, unfold_plain
from levada.clean.json_rows import INDEX
from levada.clean.normalise import Normal, Refused, TextOf, as_sent, normalise
from levada.clean.shapes import Part
from levada.core import columns, packs
from levada.core.errors import BadRecordError
from levada.core.jsontext import is_object
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
    good: list[Normal] = field(default_factory=list)
    """Source rows that are good, by domain."""
    tables: list[Part] = field(default_factory=list)
    """What they become: one table per domain and kind."""
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
    now_us: int | None = None
    """For domains with a skew of their own; None: these keep to ``latest_us`` too."""

    def latest_of(self, domain: Domain) -> int:
        if domain.skew_s is None or self.now_us is None:
            return self.latest_us
        return self.now_us + domain.skew_s * 1_000_000


def read(batch: Batch, first: int, rules: Rules, accept: Callable[[Header], bool]) -> Reading:
    """Read the batch from its record number ``first`` on.

    Args:
        accept: asked for each pack, in order; False when it was applied before.
    """
    out = Reading()
    sorting = _Sorting(batch, rules, out)
    plain, packed = _split(batch.data, first)
    _packs(packed, sorting, accept)
    if plain:
        _plain(plain, sorting)
    sorting.read_lines()
    for domain, found in sorting.decoded.items():
        normal, refused = _normalise(domain, found, sorting)
        out.good.append(normal)
        out.tables.extend(normal.parts)
        out.bad.extend((bad, domain) for bad in refused)
    return out


@dataclass(slots=True)
class _Sorting:
    """What has been found in the batch so far, by domain."""

    batch: Batch
    rules: Rules
    out: Reading
    decoded: dict[str, list[tuple[int, Decoded]]] = field(default_factory=dict)
    lines: dict[str, dict[int, Lines]] = field(default_factory=dict)
    """Of records that are text, by record."""

    def add(self, i: int, found: Decoded | Lines) -> None:
        self.out.records.setdefault(found.domain, []).append(i)
        if isinstance(found, Lines):
            self.lines.setdefault(found.domain, {})[i] = found
        else:
            self.decoded.setdefault(found.domain, []).append((i, found))

    def read_lines(self) -> None:
        for domain, found in self.lines.items():
            rows, bad = read_lines(list(found.items()), self.rules.domains[domain])
            self.decoded.setdefault(domain, []).append((-1, Decoded(domain, "", rows)))
            self.out.bad.extend((Refused(i, b.row, None, b.payload, b.reason, b.detail), domain) for i, b in bad)

    def refuse(self, i: int, err: BadRecordError, domain: str) -> None:
        """The record as a whole."""
        self.out.bad.append((Refused(i, 0, None, self.batch.data[i], err.reason, err.detail), domain))

    def text_of(self, domain: str) -> TextOf:
        """Of the domain's rows, as they came: what the quarantine keeps."""
        lines, headers, data = self.lines.get(domain, {}), self.out.headers, self.batch.data

        def text(record: int, row: int) -> bytes | None:
            if record in lines:
                return lines[record].lines[row]
            return None if record in headers else data[record]

        return text


_BEHIND_PACKS = MAGIC[:-1] + bytes([MAGIC[-1] + 1])
"""Whatever begins with the magic sorts before this."""


def _split(data: Sequence[bytes], first: int) -> tuple[Sequence[int], Sequence[int]]:
    """(indices of plain records, of packs). JSON objects sort behind packs, so one look at the least is enough."""
    if min(data) >= _BEHIND_PACKS:
        return range(first, len(data)), ()
    packed = [i for i in range(first, len(data)) if data[i].startswith(MAGIC)]
    if len(packed) == len(data) - first:
        return (), packed
    return [i for i in range(first, len(data)) if not data[i].startswith(MAGIC)], packed


def _packs(packed: Sequence[int], to: _Sorting, accept: Callable[[Header], bool]) -> None:
    fresh: dict[int, tuple[Header, bytes]] = {}
    for i in packed:
        try:
            header, body = packs.split(to.batch.data[i])
            if not accept(header):
                to.out.duplicates.append(header)
                continue
            forced.shift_of(header)
            to.out.headers[i] = header
            fresh[i] = header, body
        except BadRecordError as err:
            to.refuse(i, err, UNKNOWN_DOMAIN)
    domains = to.rules.domains
    for (i, (header, _)), found in zip(fresh.items(), unfold(list(fresh.values()), domains), strict=True):
        if isinstance(found, BadRecordError):
            to.refuse(i, found, header.domain if header.domain in domains else UNKNOWN_DOMAIN)
        else:
            to.add(i, found)


def _plain(plain: Sequence[int], to: _Sorting) -> None:
    data, rules, out = to.batch.data, to.rules, to.out
    found = singles(data if len(plain) == len(data) else [data[i] for i in plain], rules.domains, rules.tenant)
    for one, mine in found.rows:
        if not one.rows.num_rows:
            continue
        index = one.rows[INDEX].combine_chunks()
        where = pa.array([plain[i] for i in mine], pa.int32()).take(index) if plain != mine else index
        rows = one.rows.drop_columns([INDEX]).append_column(REC, where)
        rows = rows.append_column(ROW, columns.zeros(rows.num_rows, pa.int32()))
        out.records.setdefault(one.domain, []).extend(columns.to_ints(where))
        to.decoded.setdefault(one.domain, []).append((-1, Decoded(one.domain, one.tenant, rows)))
    for bad, domain in found.bad:
        out.bad.append((Refused(plain[bad.row], 0, None, bad.payload, bad.reason, bad.detail), domain))
    for at in found.others:
        i = plain[at]
        try:
            to.add(i, unfold_plain(data[i], rules.domains, rules.tenant))
        except BadRecordError as err:
            to.refuse(i, err, UNKNOWN_DOMAIN)


def _normalise(domain: str, found: Sequence[tuple[int, Decoded]], to: _Sorting) -> tuple[Normal, list[Refused]]:
    shifts = forced.shifts_of(to.out.headers)

    def attempt(some: Sequence[tuple[int, Decoded]]) -> tuple[Normal, list[Refused]]:
        return normalise(
            to.rules.domains[domain],
            some,
            latest_us=to.rules.latest_of(to.rules.domains[domain]),
            text_of=to.text_of(domain),
            shifts=shifts,
        )

    try:
        return attempt(found)
    except (pa.ArrowException, UnicodeDecodeError):
        pass  # a column holds bytes that its type does not allow: find whose, and let the others pass
    good = []
    for i, one in found:
        try:
            attempt([(i, one)])
            good.append((i, one))
        except (pa.ArrowException, UnicodeDecodeError) as err:
            to.out.records[domain].remove(i)
            to.refuse(i, BadRecordError("body_corrupt", f"arrow: {err}"), domain)
    return attempt(good)


def source_of(data: bytes, header: Header | None, row: int, domain: str, rules: Rules) -> tuple[bytes, int | None]:
    """A source row as it came, and its line; of a record that ``read`` has read. It is read again: that is rare."""
    if header is None:
        one = Lines(domain, rules.tenant, [data])
        found: Unfolded = one if is_object(data) else unfold_plain(data, rules.domains, rules.tenant)
    else:
        (found,) = unfold([(header, packs.split(data)[1])], rules.domains)
    if isinstance(found, BadRecordError):
        raise found
    if isinstance(found, Lines):
        return found.lines[row], None
    (payload,) = as_sent(found.rows.slice(row, 1))
    line = found.rows[LINE][row].as_py() if LINE in found.rows.schema.names else None
    return payload, line
