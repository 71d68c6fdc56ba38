"""Plain records of other producers, wrapped into packs that give the same rows under the same identity. Pure."""

from __future__ import annotations

import re

import msgspec

from levada.clean.reading import Rules, read
from levada.core import packs
from levada.core.errors import BadRecordError
from levada.core.jsontext import NOT_JSON
from levada.core.keys import UNKNOWN_DOMAIN
from levada.core.kinesis_event import Batch
from levada.core.packs import NDJSON_GZIP, Header
from levada.core.redrive import PLAIN, Root

_ORIGIN = re.compile(r"[0-9a-f]{8,}-[0-9]{12}/[0-9]{56}")


def is_origin(root: Root) -> bool:
    """Is the root a plain record (or a row of one)? Its source is the place where it stood."""
    return not root.position and _ORIGIN.fullmatch(root.source) is not None


def lines(data: bytes) -> list[bytes]:
    """One JSON text per row, each in one line, as ``clean`` counts the rows of a plain record."""
    text = data.strip()
    try:
        if text.startswith(b"["):
            return [_one_line(bytes(item)) for item in msgspec.json.decode(text, type=list[msgspec.Raw])]
        msgspec.json.decode(text, type=dict[str, msgspec.Raw])
    except NOT_JSON:
        return text.split(b"\n")
    return [_one_line(text)]


def _one_line(text: bytes) -> bytes:
    """Line ends in valid JSON are only ever blanks."""
    return text.replace(b"\r", b" ").replace(b"\n", b" ")


def domain_of(data: bytes, rules: Rules) -> str:
    """The domain that ``clean`` would read the record with now.

    Raises BadRecordError as it would.
    """
    found = read(batch([data]), 0, rules, lambda _: True)
    for domain in found.records:
        return domain
    for bad, domain in found.bad:
        if domain == UNKNOWN_DOMAIN:
            raise BadRecordError(bad.reason, bad.detail)
        return domain
    raise BadRecordError("not_json", "holds no row")


def wrap(data: bytes, header: Header, rules: Rules) -> bytes:
    """The record as a pack; header: its source, position, tenant and flags.

    A record that no domain knows now is wrapped as it is, and ``unwrap`` gives it back.
    """
    try:
        domain, body = domain_of(data, rules), lines(data)
    except BadRecordError:
        return _encode(header, UNKNOWN_DOMAIN, [data], {PLAIN: True})
    return _encode(header, domain, body, {})


def pack_lines(rows: list[bytes], header: Header, domain: str) -> bytes:
    """A pack of these JSON texts, none of which has a line end in it."""
    return _encode(header, domain, rows, {})


def unwrap(data: bytes) -> bytes:
    """The plain record in a pack that ``wrap`` made of one that no domain knew; anything else as it is."""
    if not packs.is_pack(data):
        return data
    try:
        header, body = packs.split(data)
        if header.domain != UNKNOWN_DOMAIN or not (header.extra or {}).get(PLAIN):
            return data
        return packs.inflate(body, header.codec)
    except BadRecordError:
        return data


def batch(datas: list[bytes]) -> Batch:
    """Records as ``clean`` would get them, from nowhere."""
    n = len(datas)
    return Batch("", "shardId-000000000000", [str(i) for i in range(n)], [0.0] * n, datas, [""] * n)


def _encode(header: Header, domain: str, rows: list[bytes], flags: dict[str, bool]) -> bytes:
    made = Header(
        domain=domain,
        tenant=header.tenant,
        source=header.source,
        position=header.position,
        count=len(rows),
        codec=NDJSON_GZIP,
        trace=header.trace,
        extra={**(header.extra or {}), **flags} or None,
    )
    return packs.encode(made, packs.compress(b"\n".join(rows), NDJSON_GZIP))
