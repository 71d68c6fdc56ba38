"""Items of one request to packs, and what to say of those that are refused. Pure, and without pyarrow."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from levada.core import packs
from levada.core.errors import BadRequestError
from levada.core.packs import MAX_PACK_BYTES, NDJSON_GZIP, Header, partition_key
from levada.domains.declaration import Domain
from levada.ingest.http_request import Request
from levada.ingest.lanes import lane_of_item
from levada.ports import Entry

PACK_ROWS = 500
"""Not a setting: a request that is repeated after a change of settings must make the same packs."""
MAX_REASON = 300


@dataclass(frozen=True, slots=True)
class Refusal:
    """One item that is no good."""

    index: int
    """In the request, from 0."""
    reason: str


@dataclass(slots=True)
class Sorted:
    """Items of a request: those to send by (domain, lane), in the order given, and those refused."""

    accepted: dict[tuple[str, int], list[bytes]] = field(default_factory=dict)
    refused: list[Refusal] = field(default_factory=list)
    count: int = 0
    """How many are accepted."""


def sort(request: Request, domains: Mapping[str, Domain], tenant: str) -> Sorted:
    """Look into each item."""
    out = Sorted()
    default = request.domain or (next(iter(domains)) if len(domains) == 1 else None)
    decode = msgspec.json.Decoder().decode
    for index, text in enumerate(request.items):
        try:
            item = decode(text)
        except (msgspec.DecodeError, UnicodeDecodeError) as err:
            out.refused.append(Refusal(index, f"not JSON: {err}"[:MAX_REASON]))
            continue
        if not isinstance(item, dict):
            out.refused.append(Refusal(index, f"item={item!r:.80}: must be a JSON object"))
            continue
        domain = _domain(item, default, domains)
        if isinstance(domain, str):
            out.refused.append(Refusal(index, domain))
            continue
        lane = lane_of_item(item, domain, tenant)
        out.accepted.setdefault((domain.name, lane), []).append(text)
        out.count += 1
    return out


def _domain(item: Mapping[str, Any], default: str | None, domains: Mapping[str, Domain]) -> Domain | str:
    """The item's domain, or what is wrong with it."""
    name = item.get("domain", default)
    if isinstance(name, str) and name in domains:
        return domains[name]
    return f"domain={name!r:.80}: must be one of {', '.join(sorted(domains))}"


def entries(accepted: Mapping[tuple[str, int], Sequence[bytes]], tenant: str, key: str) -> Iterator[Entry]:
    """The packs of a request: the same for the same items, so that a repeated request is applied once.

    Raises:
        BadRequestError: one item alone makes a pack that is too large; status 413.
    """
    positions: dict[int, int] = {}
    for (domain, lane), items in sorted(accepted.items()):
        for start in range(0, len(items), PACK_ROWS):
            for body, count in _bodies(items[start : start + PACK_ROWS]):
                n = positions.get(lane, 0)
                positions[lane] = n + 1
                header = Header(
                    domain=domain,
                    tenant=tenant,
                    source=f"http/{tenant}/{key}#{lane:02d}",
                    position=n,
                    count=count,
                    codec=NDJSON_GZIP,
                )
                yield Entry(partition_key(lane), packs.encode(header, body))


def _bodies(items: Sequence[bytes]) -> Iterator[tuple[bytes, int]]:
    body = packs.compress(b"\n".join(items) + b"\n", NDJSON_GZIP)
    if len(body) <= MAX_PACK_BYTES - packs.MAX_HEADER_BYTES:
        yield body, len(items)
        return
    if len(items) == 1:
        raise BadRequestError(f"item of {len(items[0])} bytes: too large for one stream record", status=413)
    half = len(items) // 2
    yield from _bodies(items[:half])
    yield from _bodies(items[half:])
