"""Events as they lie in the lake, day by day, in order of time: each once, a page at a time."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from levada.aggregate.derive import canonical, event_schema
from levada.core import columns, keys, lake, parquet
from levada.core.errors import BadRecordError, UnavailableError
from levada.core.instants import instant
from levada.core.periods import DAY_US, day_of, us_of
from levada.core.vectors import ranks, to_numpy
from levada.domains.declaration import Domain
from levada.ports import Blob, BlobStore
from levada.query import parameters
from levada.query.errors import ParameterError

EXACT = ("site", "unit", "entity_type", "entity_id", "parent_id", "event_type", "severity")
PARAMETERS = ("domain", "tenant", *EXACT, "since", "until", "limit", "format")
HIDDEN = ("domain", "tenant", "quality", "shard", "sequence", "source", "position", "row", "item")
MEMO_BYTES = 64_000_000
"""What a process keeps of days that it has read."""
Place = tuple[str, int, int]
"""An event among those of the same time: sequence number, row, item."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """Which events: those in ``[since_us, until_us)`` that the filters let through."""

    domain: Domain
    tenant: str
    since_us: int | None
    until_us: int | None
    limit: int
    after: Place | None = None
    """Of the events at exactly since_us, this one and those behind it."""
    equal: Mapping[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class Page:
    rows: pa.Table
    """Events by time and position, at most ``limit``."""
    following: str | None = None
    """The ``since`` of the next page, None after the last one."""


def asked(query: Mapping[str, str], domains: Mapping[str, Domain], tenant: str, now_us: int) -> Asked:
    """What a request asks for. Raises ParameterError naming the parameter, its value and what is allowed."""
    name = parameters.domain_named(query, domains)
    since_us, after = _since(query.get("since"), now_us)
    until_us = parameters.time_us("until", query["until"], now_us) if "until" in query else None
    if since_us is not None and until_us is not None and until_us < since_us:
        raise ParameterError("until", query["until"], f"at or after since={query['since']}")
    return Asked(
        domain=domains[name],
        tenant=query.get("tenant", tenant),
        since_us=since_us,
        until_us=until_us,
        limit=parameters.limit_of(query),
        after=after,
        equal={name: query[name] for name in EXACT if name in query},
    )


def page(blobs: BlobStore, memo: dict[str, Any], wanted: Asked) -> Page:
    """The first ``limit`` events that the request lets through. Days are read as a whole, and remembered."""
    found, n = [columns.empty(event_schema(wanted.domain))], 0
    for listed in _days(blobs, wanted):
        rows = _selected(_day(blobs, memo, wanted.domain, listed), wanted)
        found.append(rows)
        n += rows.num_rows
        if n > wanted.limit:
            break
    rows = pa.concat_tables(found).unify_dictionaries().combine_chunks()
    position = [to_numpy(rows["item"]), to_numpy(rows["row"]), ranks(rows["sequence"])]
    return cut(rows.take(pa.array(np.lexsort([*position, to_numpy(rows["time"])]))), wanted.limit)


def cut(rows: pa.Table, limit: int) -> Page:
    """The first ``limit`` of these events, and where the next page begins."""
    if rows.num_rows <= limit:
        return Page(rows)
    [first] = rows.slice(limit, 1).select(["sequence", "row", "item"]).to_pylist()
    at = instant(int(to_numpy(rows["time"])[limit]))
    place = base64.urlsafe_b64encode(json.dumps(list(first.values())).encode()).decode().rstrip("=")
    return Page(rows.slice(0, limit), f"{at}{parameters.CURSOR}{place}")


def shown(rows: pa.Table) -> list[dict[str, Any]]:
    """Events as people and programs see them; ``attributes`` as an object."""
    names = [name for name in rows.schema.names if name not in HIDDEN]
    found: list[dict[str, Any]] = rows.select([name for name in names if name != "time"]).to_pylist()
    times = to_numpy(rows["time"]).tolist()
    return [{"time": instant(us), **row, "attributes": _object(row)} for us, row in zip(times, found, strict=True)]


def columns_of(domain: Domain) -> Sequence[str]:
    return [name for name in event_schema(domain).names if name not in HIDDEN]


def _object(row: Mapping[str, Any]) -> Any:
    try:
        return None if row["attributes"] is None else json.loads(row["attributes"])
    except ValueError:  # whoever wrote the row has put something else there: shown as it is
        return row["attributes"]


def _since(text: str | None, now_us: int) -> tuple[int | None, Place | None]:
    if text is None:
        return None, None
    at, mark, encoded = text.partition(parameters.CURSOR)
    us = parameters.time_us("since", at, now_us)
    if not mark:
        return us, None
    try:
        raw = base64.b64decode(encoded + "=" * (-len(encoded) % 4), altchars=b"-_", validate=True)
        sequence, row, item = json.loads(raw)
        return us, (str(sequence), int(row), int(item))
    except (binascii.Error, ValueError, TypeError) as err:
        raise ParameterError("since", text, "a time, or the next of an answer as it was given") from err


def _days(blobs: BlobStore, wanted: Asked) -> Iterator[list[Blob]]:
    """The objects of each day that may hold what is wanted, in order of time."""
    prefix = keys.events_prefix(wanted.domain.name)
    if wanted.since_us is not None and wanted.until_us is not None:
        days = range(wanted.since_us // DAY_US * DAY_US, wanted.until_us, DAY_US)
        if len(days) <= MAX_DAYS:
            yield from (found for us in days if (found := list(blobs.list(f"{prefix}date={day_of(us)}/"))))
            return
    for _, day, listed in lake.partitions(blobs.list(prefix)):
        if day == keys.UNDATED:  # events without a time are in no order of time
            continue
        start = us_of(day)
        if wanted.until_us is not None and start >= wanted.until_us:
            return
        if wanted.since_us is None or start + DAY_US > wanted.since_us:
            yield listed


MAX_DAYS = 100
"""Days that are listed one by one; of a longer range all days there are."""


def _day(blobs: BlobStore, memo: dict[str, Any], domain: Domain, listed: Sequence[Blob]) -> pa.Table:
    known: dict[str, pa.Table] = memo.setdefault("event_days", {})
    shown = lake.shown(blobs, *lake.partition_of(listed[0].key), listed)
    names = [*(f"{blob.key} {blob.etag}" for blob in listed), str(shown.edition.number)]
    key = hashlib.sha256("\n".join(names).encode()).hexdigest()
    if key in known:
        known[key] = known.pop(key)  # the last that was used goes last
        return known[key]
    try:
        some = lake.events_shown(blobs, shown, lambda body: canonical(parquet.from_bytes(body), domain))
    except KeyError as err:
        raise UnavailableError(f"an object of {listed[0].key.rpartition('/')[0]} was replaced: {err}") from err
    except (pa.ArrowInvalid, OSError) as err:
        raise BadRecordError("object_corrupt", str(err)) from err
    some = some or [columns.empty(event_schema(domain))]
    known[key] = rows = pa.concat_tables(some).unify_dictionaries().combine_chunks()
    while len(known) > 1 and sum(one.nbytes for one in known.values()) > MEMO_BYTES:
        known.pop(next(iter(known)))
    return rows


def _selected(rows: pa.Table, wanted: Asked) -> pa.Table:
    times = rows["time"].cast(pa.int64())
    keep = pc.equal(rows["tenant"].cast(pa.string()), wanted.tenant)
    for name, value in wanted.equal.items():
        keep = pc.and_(keep, pc.equal(pc.fill_null(rows[name].cast(pa.string()), ""), value))
    if wanted.until_us is not None:
        keep = pc.and_(keep, pc.less(times, wanted.until_us))
    if wanted.since_us is not None:
        keep = pc.and_(keep, pc.greater_equal(times, wanted.since_us))
        if wanted.after is not None:
            keep = pc.and_(keep, pc.or_(pc.greater(times, wanted.since_us), _from(rows, wanted.after)))
    return rows.filter(keep)


def _from(rows: pa.Table, place: Place) -> pa.ChunkedArray:
    sequence, row, item = place
    texts = rows["sequence"].cast(pa.string())
    level, same = pc.equal(texts, sequence), pc.equal(rows["row"], row)
    behind = pc.or_(pc.greater(texts, sequence), pc.and_(level, pc.greater(rows["row"], row)))
    return pc.or_(behind, pc.and_(pc.and_(level, same), pc.greater_equal(rows["item"], item)))
