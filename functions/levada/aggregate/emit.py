"""Emission: closed windows from the committed outbox to the serving table and gold. Repeating it changes nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc

from levada.aggregate import latest as entities
from levada.aggregate.watching import Watched
from levada.core import findings, keys, parquet, segments
from levada.core.positions import ShardToken
from levada.core.retention import Expiry
from levada.ports import AlertSink, BlobStore, ServingStore


@dataclass(slots=True)
class Emitted:
    """What this process knows to have been emitted, so that a warm function need not ask or repeat.

    It is only a saving: a process that knows nothing emits once more.
    """

    generations: dict[ShardToken, int] = field(default_factory=dict)
    series: dict[tuple[str, str], int] = field(default_factory=dict)
    """Item of a series that this process has written → when it expires, seconds."""

    def knows(self, token: ShardToken, generation: int) -> bool:
        return self.generations.get(token, -1) >= generation


def emit(
    outbox: pa.Table,
    token: ShardToken,
    generation: int,
    *,
    latest: pa.Table | None = None,
    blobs: BlobStore,
    serving: ServingStore,
    watched: Watched | None = None,
    sink: AlertSink | None = None,
    done: Emitted,
    fresh: bool,
    expiry: Expiry | None = None,
) -> int:
    """Write the outbox of one committed generation: the serving table first, then gold, its last day at the very end.

    Returns how many closed windows it wrote: none where somebody has.

    Args:
        outbox: closed windows (PARTIAL).
        latest: newest states of entities (LATEST).
        watched: whose findings are those of this outbox; None for none.
        sink: where alerts are told.
        fresh: this process has just committed it, so that nobody can have emitted it. Otherwise the object that is
            written last tells whether somebody has.
        expiry: when its items expire; None for never.
    """
    if done.knows(token, generation):
        return 0
    written = 0
    if latest is not None and latest.num_rows:
        serving.put_newer(list(entities.items(latest, expiry)))
    if outbox.num_rows and (fresh or not _is_there(outbox, token, generation, blobs)):
        if watched is not None and watched.found.num_rows:
            _emit_findings(watched, token, generation, blobs, serving, sink, expiry)
        _emit_windows(outbox, token, generation, blobs, serving, done, expiry)
        written = outbox.num_rows
    done.generations[token] = generation
    return written


def _is_there(outbox: pa.Table, token: ShardToken, generation: int, blobs: BlobStore) -> bool:
    """Whether the object that an emission writes last is there."""
    last = _key(max(pc.unique(_places(outbox)).to_pylist()), token, generation)
    return next(iter(blobs.list(last)), None) is not None


def _emit_windows(
    outbox: pa.Table,
    token: ShardToken,
    generation: int,
    blobs: BlobStore,
    serving: ServingStore,
    done: Emitted,
    expiry: Expiry | None,
) -> None:
    places = sorted(pc.unique(_places(outbox)).to_pylist())
    listed = {
        place: item
        for item in segments.series_items(outbox, expiry)
        if done.series.get(place := (item["pk"], item["sk"]), -1) < (item.get("expires_at") or 0)
    }
    serving.put([*segments.items(outbox, str(token), generation, expiry), *listed.values()])
    blobs.put_all(_gold(outbox, token, generation, places[:-1]))
    blobs.put_all(_gold(outbox, token, generation, places[-1:]))
    done.series.update({place: item.get("expires_at") or 0 for place, item in listed.items()})


def _emit_findings(
    watched: Watched,
    token: ShardToken,
    generation: int,
    blobs: BlobStore,
    serving: ServingStore,
    sink: AlertSink | None,
    expiry: Expiry | None,
) -> None:
    """Anomalies and alerts to the serving table, anomalies to the lake, alerts to those who have subscribed."""
    serving.put(findings.anomaly_items(watched.found, str(token), expiry))
    serving.put_newer(findings.alert_items(watched.raised, str(token), generation, expiry))
    rows = _named(watched.found, token, generation)
    days = _places(rows, "time")
    for place in sorted(pc.unique(days).to_pylist()):
        domain, _, date = place.rpartition("/")
        body = parquet.to_bytes(rows.filter(pc.equal(days, place)))
        blobs.put(keys.anomalies(domain, date, token, generation), body)
    if sink is not None:
        for notice in findings.notices(watched.raised, str(token), generation):
            sink.publish(notice)


def _places(outbox: pa.Table, time: str = "window_start") -> pa.ChunkedArray:
    days = pc.strftime(outbox[time], "%Y-%m-%d")
    return pc.binary_join_element_wise(outbox["domain"].cast(pa.string()), days, "/")


def _key(place: str, token: ShardToken, generation: int) -> str:
    domain, _, date = place.rpartition("/")
    return keys.gold(domain, date, token, generation)


def _gold(outbox: pa.Table, token: ShardToken, generation: int, places: Sequence[str]) -> Iterator[tuple[str, bytes]]:
    """One (key, Parquet) per domain and day."""
    named = _named(outbox, token, generation)
    found = _places(outbox)
    for place in places:
        yield _key(place, token, generation), parquet.to_bytes(named.filter(pc.equal(found, place)))


def _named(rows: pa.Table, token: ShardToken, generation: int) -> pa.Table:
    """With the emission that they left in."""
    rows = rows.append_column("shard", pa.repeat(pa.scalar(str(token)), rows.num_rows))
    return rows.append_column("generation", pa.repeat(pa.scalar(generation, pa.int64()), rows.num_rows))
