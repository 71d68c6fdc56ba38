"""Items of one request to packs, and what to say of those that are refused. Pure, and without pyarrow.

A request that is repeated with its key must make the same packs, or rows would be lost behind a fence. So what is in
a pack depends on the request alone, although whether an item is too far ahead of now depends on the clock: the
newest items of a request go in groups of their own, and a group is taken whole or not at all (``groups``).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from levada.core import packs
from levada.core.errors import BadRequestError
from levada.core.jsontext import NOT_JSON, fault_of
from levada.core.packs import MAX_PACK_BYTES, NDJSON_GZIP, Header, partition_key
from levada.domains.declaration import Domain
from levada.ingest.http_request import Request
from levada.ingest.items import RefusedError, judge
from levada.ingest.lanes import lane_of_item
from levada.ports import Entry

PACK_ROWS = 500
"""Not a setting: a request that is repeated after a change of settings must make the same packs."""
MAX_REASON = 300
SPLIT = 3
"""Groups of newest items; what is older is the last group."""
MICROS = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What items are judged by."""

    domains: Mapping[str, Domain]
    tenant: str
    now_s: float
    max_skew_s: int
    """Of domains that do not say how far ahead of now a time may be."""

    def skew_us(self, domain: str) -> int:
        own = self.domains[domain].skew_s
        return (self.max_skew_s if own is None else own) * MICROS


@dataclass(frozen=True, slots=True)
class Refusal:
    """One item that is no good."""

    index: int
    """In the request, from 0."""
    reason: str
    status: int = 400
    """What it would be answered with alone."""


@dataclass(frozen=True, slots=True)
class _Item:
    index: int
    text: bytes
    domain: str
    lane: int
    time_us: int | None


Place = tuple[str, int, int]
"""(domain, group, lane)."""


@dataclass(slots=True)
class Sorted:
    """Items of a request: those to send by place, in the order given, and those refused, by index."""

    accepted: dict[Place, list[bytes]] = field(default_factory=dict)
    refused: list[Refusal] = field(default_factory=list)
    count: int = 0
    """How many are accepted."""


def sort(request: Request, rules: Rules) -> Sorted:
    """Look into each item."""
    out = Sorted()
    default = request.domain or (next(iter(rules.domains)) if len(rules.domains) == 1 else None)
    decode = msgspec.json.Decoder().decode
    found: list[_Item] = []
    for index, text in enumerate(request.items):
        try:
            found.append(_item(index, text, decode(text), default, rules))
        except NOT_JSON as err:
            out.refused.append(Refusal(index, f"not JSON: {err}"[:MAX_REASON]))
        except RefusedError as err:
            out.refused.append(Refusal(index, str(err)[:MAX_REASON]))
    narrowest_us = min((rules.skew_us(one.domain) for one in found), default=0)
    group_of = groups([one.time_us for one in found], narrowest_us)
    _take(found, group_of, rules, out)
    out.refused.sort(key=lambda r: r.index)
    return out


def _item(index: int, text: bytes, item: Any, default: str | None, rules: Rules) -> _Item:
    if not isinstance(item, dict):
        raise RefusedError(f"item={item!r:.80}: must be a JSON object")
    name = item.get("domain", default)
    if not isinstance(name, str) or name not in rules.domains:
        raise RefusedError(f"domain={name!r:.80}: must be one of {', '.join(sorted(rules.domains))}")
    if fault := fault_of(text, item):
        raise RefusedError(fault)
    domain = rules.domains[name]
    return _Item(index, text, name, lane_of_item(item, domain, rules.tenant), judge(item, domain))


def groups(times_us: Sequence[int | None], skew_us: int) -> list[int]:
    """Which group each item is in; it depends on the items' times alone.

    Group 0 holds the newest time and what is less than the skew older, group 1 the newest of what is left, and so on;
    group SPLIT holds the rest and, beside items that have a time, those that have none. A time of groups 0 to SPLIT - 1
    that is beyond now plus the skew makes all others of its group lie ahead of now: so refusing the group refuses no
    item of a right clock.
    """
    if all(time is None for time in times_us):
        return [0] * len(times_us)
    out = [SPLIT] * len(times_us)
    left = [i for i, time in enumerate(times_us) if time is not None]
    for group in range(SPLIT):
        if not left:
            break
        newest = max(times_us[i] or 0 for i in left)
        rest = []
        for i in left:
            if newest - (times_us[i] or 0) < skew_us or times_us[i] == newest:
                out[i] = group
            else:
                rest.append(i)
        left = rest
    return out


def _take(found: Sequence[_Item], group_of: Sequence[int], rules: Rules, out: Sorted) -> None:
    now_us = int(rules.now_s * MICROS)
    ahead = [one.time_us is not None and one.time_us - now_us > rules.skew_us(one.domain) for one in found]
    barred = {group for group, is_ahead in zip(group_of, ahead, strict=True) if is_ahead and group < SPLIT}
    for one, group, is_ahead in zip(found, group_of, ahead, strict=True):
        if not is_ahead and group not in barred:
            out.accepted.setdefault((one.domain, group, one.lane), []).append(one.text)
            out.count += 1
            continue
        by_s = ((one.time_us or 0) - now_us) / MICROS
        allowed_s = rules.skew_us(one.domain) // MICROS
        limit = f"at most {allowed_s} s are allowed" if is_ahead else "beside items that are too far ahead"
        out.refused.append(Refusal(one.index, f"its time is {by_s:.0f} s ahead of now: {limit}", status=422))


def entries(accepted: Mapping[Place, Sequence[bytes]], tenant: str, key: str) -> Iterator[Entry]:
    """The packs of a request, older groups first: the same for the same items, so that a repeat is applied once.

    Raises:
        BadRequestError: one item alone makes a pack that is too large; status 413.
    """
    positions: dict[tuple[int, int], int] = {}
    for (domain, group, lane), items in sorted(accepted.items(), key=lambda one: (-one[0][1], one[0])):
        for start in range(0, len(items), PACK_ROWS):
            for body, count in _bodies(items[start : start + PACK_ROWS]):
                n = positions.get((group, lane), 0)
                positions[group, lane] = n + 1
                header = Header(
                    domain=domain,
                    tenant=tenant,
                    source=f"http/{tenant}/{key}{f'/{group}' if group else ''}#{lane:02d}",
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
