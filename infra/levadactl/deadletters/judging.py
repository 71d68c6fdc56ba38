"""What would become of records if they came now: decoded and normalised in process, with the domains of today. Pure."""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import msgspec

from levada.clean.reading import Rules, read
from levada.core import packs, redrive
from levada.core.errors import BadRecordError
from levada.core.jsontext import NOT_JSON
from levada.core.keys import UNKNOWN_DOMAIN
from levada.core.packs import NDJSON_GZIP, Header
from levada.ports import Entry
from levadactl.deadletters import plain
from levadactl.deadletters.letters import Letter

CHUNK = 500
BUCKETS = 256
"""Partition keys of redriven letters; a letter has the same one every time, so that one shard's fence knows it."""


@dataclass(slots=True)
class Verdict:
    """One record, and what clean would say of it now."""

    entry: Entry | None
    """What to put on the raw stream; None when it cannot be made."""
    rows: int = 0
    """Rows that would pass."""
    refused: Counter[str] = field(default_factory=Counter)
    """Rows (or the record as a whole) that would not, by reason."""
    detail: str = ""
    """Of the first of those."""

    @property
    def passes(self) -> bool:
        """Would anything of it pass?"""
        return self.entry is not None and self.rows > 0

    @property
    def reason(self) -> str:
        """Why nothing of it would."""
        return "" if self.passes else next(iter(self.refused), "no_rows")


def letters(found: Sequence[Letter], rules: Rules) -> Iterator[tuple[Letter, Verdict]]:
    """A verdict for each letter of the clean stage, in the order given."""
    for start in range(0, len(found), CHUNK):
        some = found[start : start + CHUNK]
        yield from zip(some, _judge_letters(some, rules), strict=True)


def _judge_letters(found: Sequence[Letter], rules: Rules) -> list[Verdict]:
    made: list[Verdict] = []
    for letter in found:
        try:
            made.append(Verdict(entry_of(letter, rules)))
        except BadRecordError as err:
            made.append(Verdict(None, refused=Counter([err.reason]), detail=err.detail))
    judge(made, rules)
    return made


def judge(verdicts: Sequence[Verdict], rules: Rules) -> None:
    """Fill in what clean would say of the verdicts' entries."""
    known = [verdict for verdict in verdicts if verdict.entry is not None]
    if not known:
        return
    found = read(plain.batch([v.entry.data for v in known if v.entry is not None]), 0, rules, lambda _: True)
    for normal in found.good:
        for value in normal.rows["rec"].value_counts().to_pylist() if normal.rows.num_rows else ():
            known[value["values"]].rows += value["counts"]
    for bad, _ in found.bad:
        known[bad.record].refused[bad.reason] += 1
        known[bad.record].detail = known[bad.record].detail or bad.detail


def entry_of(letter: Letter, rules: Rules) -> Entry:
    """The stream record that carries a letter's next attempt; the same for the same letter and domains.

    Raises BadRecordError when there is no way to make one.
    """
    header = Header(
        domain=letter.domain,
        tenant=letter.tenant or rules.tenant,
        source=redrive.source_of(letter.root),
        position=letter.root.row,
        count=1,
        codec=NDJSON_GZIP,
        trace=letter.trace,
    )
    try:
        return Entry(_partition_key(letter), _data(letter, header, rules))
    except ValueError as err:  # the header is too long: its source was all but that before
        raise BadRecordError("pack_header", str(err)) from err


def _data(letter: Letter, header: Header, rules: Rules) -> bytes:
    payload = plain.unwrap(letter.payload)
    if letter.whole and packs.is_pack(payload):
        was, body = packs.split(payload)
        again = Header(
            domain=was.domain,
            tenant=was.tenant,
            source=header.source,
            position=header.position,
            count=was.count,
            codec=was.codec,
            trace=was.trace,
            extra={k: v for k, v in (was.extra or {}).items() if k not in (redrive.FLAG, redrive.PUBLISHED)} or None,
        )
        return packs.encode(again, body)
    domain = letter.domain
    if domain == UNKNOWN_DOMAIN:
        domain = plain.domain_of(payload, rules)
    elif domain not in rules.domains:
        raise BadRecordError("unknown_domain", f"domain={domain!r}: enabled are {', '.join(sorted(rules.domains))}")
    rows = plain.lines(payload)
    if not letter.whole and not (len(rows) == 1 and _is_json(rows[0])):  # a line of a file that could not be split
        raise BadRecordError(letter.reason, letter.detail)
    return plain.pack_lines(rows, header, domain)


def _is_json(text: bytes) -> bool:
    try:
        msgspec.json.decode(text)
    except NOT_JSON:
        return False
    return True


def _partition_key(letter: Letter) -> str:
    """By what the letter was at first: a domain that has changed since must not send it to another shard."""
    root = letter.root
    bucket = zlib.crc32(f"{root.source}@{root.position}/{root.row}".encode()) % BUCKETS
    return f"redrive-{bucket:03d}"
