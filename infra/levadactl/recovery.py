"""After streams were lost (the embedded emulator was killed): bring back from the lake what no stage has applied yet.

Three things can be under way when streams vanish, and each has left something in the lake:

- rows that clean had committed and aggregate had not applied: they stand in silver, and go to the new clean stream
  under their old identity, so that aggregate's fences tell what is new;
- a batch that clean had written to bronze and not committed: clean runs once more on the very same records;
- a file of which not all packs had come to clean: its ledger tells, and whoever loads it again completes it.

The serving table is an index, made again from gold. Repeating any of this changes nothing.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from levada.archive.silence import FOUND_BY
from levada.clean import stage as clean
from levada.config import Config
from levada.core import columns, editions, findings, keys, kinesis_event, packs, parquet, retention, segments
from levada.core.alerts import ALERT, Policy, raise_
from levada.core.anomalies import ANOMALY
from levada.core.editions import Edition
from levada.core.errors import BadRecordError
from levada.core.kinesis_event import Batch, StreamRecord
from levada.core.lake import partitions
from levada.core.partials import PARTIAL
from levada.core.periods import us_of
from levada.core.positions import PackFences, RowFences, ShardToken
from levada.core.publishing import publish
from levada.core.retention import Expiry, Keep
from levada.domains.registry import enabled
from levada.ports import Clock, RecordSink
from levadactl.loading import Lake, Streams
from levadactl.republishing import spans, unapplied
from levadactl.triggers.event import Envelope
from levadactl.triggers.model import Record

if TYPE_CHECKING:
    from levadactl.places import Place

MAX_BATCH_BYTES = 4_000_000
RETENTION_S = 24 * 3600
"""Of a stream: nothing that was lost with it is older."""
PARTIAL_NAMES = PARTIAL.names


@dataclass(slots=True)
class Recovery:
    """What was brought back."""

    records_cleaned: int = 0
    """Stream records of batches that clean had not committed."""
    rows_republished: int = 0
    """Canonical rows that aggregate had not applied."""
    rows_applied_before: int = 0
    """Rows of the last day that it had."""
    served_items: int = 0
    """Items of the serving table, made from gold."""
    load_again: list[dict[str, Any]] = field(default_factory=list)
    """Files of which something was lost on its way: ``key``, ``sha256``, ``rows_read``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """What the recovery needs of the outside."""

    lake: Lake
    sink: RecordSink
    """The new clean stream."""
    clock: Clock
    config: Config
    raw_arn: str
    raw_created_s: int


def recover(place: Place) -> dict[str, Any]:
    """Bring back what the lake of this place holds and its streams have lost; numbers of what was done."""
    return asdict(run(_ports(place)))


def _ports(place: Place) -> Ports:
    from levada.adapters.kinesis import KinesisSink
    from levada.wiring import SystemClock

    lake = Lake.of(place)
    kinesis = place.client("kinesis")
    stream = kinesis.describe_stream_summary(StreamName=place.raw_stream)["StreamDescriptionSummary"]
    function = place.client("lambda").get_function_configuration(FunctionName=place.function("clean"))
    return Ports(
        lake=lake,
        sink=KinesisSink(kinesis, place.clean_stream),
        clock=SystemClock(),
        config=Config.from_env(function.get("Environment", {}).get("Variables", {})),
        raw_arn=stream["StreamARN"],
        raw_created_s=Streams(place, lake).created_s("raw"),
    )


def run(ports: Ports) -> Recovery:
    """Everything, in the order in which it must happen."""
    done = Recovery()
    lost = sorted(
        {span.token for _, span in spans(ports.lake, "bronze/") if span.token.created_s < ports.raw_created_s}
    )
    _republish(lost, ports, done)
    for token in lost:  # behind the rows that came before: a fence is a high-water mark
        done.records_cleaned += _finish_clean(token, ports)
    config = ports.config
    policy = Policy(severity=config.alert_severity, quiet_us=config.alert_quiet_s * 1_000_000)
    keep = Keep(
        retention.parse(config.keep), {one.name: one.keep_h for one in enabled(config.domains_enabled).values()}
    )
    done.served_items = _serve_again(ports.lake, keep) + _tell_again(ports.lake, policy, keep)
    done.load_again = _unfinished(ports)
    return done


def _republish(lost: Sequence[ShardToken], ports: Ports, done: Recovery) -> None:
    headers = ports.lake.headers("clean")
    mine = {token: headers[token] for token in lost if token in headers}
    fences = RowFences()
    for header in ports.lake.headers("aggregate").values():
        fences.inherit(RowFences.from_bytes(header["fences"]))
    last_s = max((int(header["updated_s"]) for header in mine.values()), default=0)
    since_us = (last_s - min(RETENTION_S, ports.config.fence_horizon_h * 1800)) * 1_000_000
    for token, header in mine.items():
        found = unapplied(ports.lake, token, mark=int(header["mark"]), since_us=since_us, fences=fences)
        for entries, fresh, before in found:
            publish(ports.sink, entries, ports.clock)
            done.rows_republished += fresh
            done.rows_applied_before += before


# ------------------------------------------------------------------ batches that clean had not committed


class _LostStream:
    """The topology of a stream that is no more: its shards inherit from all that is known of it."""

    def __init__(self, token: ShardToken, known: Iterable[ShardToken]) -> None:
        self._token = token
        self._siblings = [other for other in known if other.created_s == token.created_s and other != token]

    def created_s(self, arn: str) -> int:  # noqa: ARG002  # the port's argument
        return self._token.created_s

    def parents(self, arn: str, token: ShardToken) -> Sequence[ShardToken]:  # noqa: ARG002  # the port's argument
        return self._siblings if token == self._token else ()


def _finish_clean(token: ShardToken, ports: Ports) -> int:
    headers = ports.lake.headers("clean")
    mark = int(headers[token]["mark"]) if token in headers else -1
    applied = PackFences()
    for header in headers.values():
        applied.inherit(PackFences.from_bytes(header["fences"]))
    records: dict[int, StreamRecord] = {}
    for key, span in spans(ports.lake, "bronze/"):
        if span.token == token and int(span.last) > mark:
            found = _bronze_records(ports.lake.blobs.get(key)[0])
            records.update({r.sequence: r for r in found if r.sequence > mark and not _is_applied(r, applied)})
    deps = clean.CleanDeps(
        blobs=ports.lake.blobs,
        sink=ports.sink,
        topology=_LostStream(token, headers),
        clock=ports.clock,
        domains=enabled(ports.config.domains_enabled),
        tenant=ports.config.tenant,
        max_skew_s=ports.config.max_skew_s,
        fence_horizon_h=ports.config.fence_horizon_h,
    )
    done = 0
    for batch in _batches([records[n] for n in sorted(records)]):
        done += clean.run(_as_delivered(batch, token, ports.raw_arn), deps).applied
    return done


def _as_delivered(records: Sequence[StreamRecord], token: ShardToken, arn: str) -> Batch:
    """A batch of the lost shard, by the one way in which batches come to clean."""
    envelope = Envelope(shard_id=f"shardId-{token.number:012d}", stream_arn=arn, region="", role_arn="")
    event = envelope.event(Record(str(r.sequence), r.partition_key, r.data, r.arrived_us / 1e6) for r in records)
    batch = kinesis_event.parse(event)
    if batch is None:
        raise ValueError("a batch has records")
    return batch


def _bronze_records(body: bytes) -> Iterator[StreamRecord]:
    table = parquet.from_bytes(body, ["sequence", "arrived", "partition_key", "payload"])
    table = table.set_column(1, "arrived", table["arrived"].cast(pa.int64()))
    for row in table.to_pylist():
        yield StreamRecord(int(row["sequence"]), row["arrived"], row["payload"], row["partition_key"])


def _is_applied(record: StreamRecord, applied: PackFences) -> bool:
    try:
        header = packs.split(record.data)[0] if packs.is_pack(record.data) else None
    except BadRecordError:
        return False
    return header is not None and header.position in applied.applied(header.source)


def _batches(records: Sequence[StreamRecord]) -> Iterator[tuple[StreamRecord, ...]]:
    batch: list[StreamRecord] = []
    size = 0
    for record in records:
        if batch and size + len(record.data) > MAX_BATCH_BYTES:
            yield tuple(batch)
            batch, size = [], 0
        batch.append(record)
        size += len(record.data)
    if batch:
        yield tuple(batch)


# ------------------------------------------------------------------ the serving table, and files


def _written(lake: Lake, prefix: str, keep: Keep) -> dict[str, Expiry]:
    """Key → when the items expire that were emitted with it: an object is put when its emission is."""
    return {blob.key: Expiry(keep, blob.modified_s) for blob in lake.blobs.list(prefix)}


def _serve_again(lake: Lake, keep: Keep) -> int:
    n = 0
    expiries = _written(lake, "gold/", keep)
    for domain, day, listed in partitions(lake.blobs.list("gold/")):
        edition = editions.of_listed(lake.blobs, domain, day, (blob.key for blob in listed))
        names = [blob.key for blob in listed if editions.shows_gold(edition, blob.key)]
        for key, body in zip(names, lake.blobs.get_all(names), strict=True):
            partials = parquet.from_bytes(body).select(PARTIAL.names).cast(PARTIAL)
            items = _segments(partials, key, edition, us_of(day), expiries.get(key))
            items += segments.series_items(partials, expiries.get(key))
            lake.serving.put(items)
            n += len(items)
    return n


def _segments(
    partials: pa.Table, key: str, edition: Edition, day_us: int, expiry: Expiry | None
) -> list[dict[str, Any]]:
    token, generation = editions.emission_of(key)
    if editions.is_made_anew(key):
        return list(segments.items_made_anew(partials, (), edition, token, day_us, expiry))
    return list(segments.items(partials, token, generation, expiry))


def _tell_again(lake: Lake, policy: Policy, keep: Keep) -> int:
    """Anomalies as the lake has them, and the alerts that follow from them. Nobody is told once more."""
    n = 0
    emitted: dict[str, dict[int, list[pa.Table]]] = {}
    expiries = _written(lake, "anomalies/", keep)
    written: dict[tuple[str, int], Expiry] = {}
    for key, body in lake.bodies("anomalies/"):
        name = key.rpartition("/")[2].removesuffix(".parquet")
        token, _, generation = name.rpartition("-")
        table = parquet.from_bytes(body).select(ANOMALY.names).cast(ANOMALY)
        if not generation.isdecimal():  # silent series: no shard has found them
            raised, _ = raise_(table, columns.empty(ALERT), replace(policy, quiet_us=0))
            n += _put_findings(lake, table, raised, FOUND_BY, 0, expiries.get(key))
            continue
        written[token, int(generation)] = expiries[key]
        emitted.setdefault(token, {}).setdefault(int(generation), []).append(table)
    for token, emissions in emitted.items():
        open_alerts = columns.empty(ALERT)
        for number, tables in sorted(emissions.items()):
            found = pa.concat_tables(tables).unify_dictionaries()
            raised, open_alerts = raise_(found, open_alerts, policy)
            n += _put_findings(lake, found, raised, token, number, written[token, number])
    return n


def _put_findings(
    lake: Lake, found: pa.Table, raised: pa.Table, token: str, generation: int, expiry: Expiry | None
) -> int:
    lake.serving.put(items := findings.anomaly_items(found, token, expiry))
    lake.serving.put_newer(told := findings.alert_items(raised, token, generation, expiry))
    return len(items) + len(told)


def _unfinished(ports: Ports) -> list[dict[str, Any]]:
    """Files of which a pack was sent, or was still to be sent, and has not come to clean."""
    applied = PackFences()
    for header in ports.lake.headers("clean").values():
        applied.inherit(PackFences.from_bytes(header["fences"]))
    # Fences of loads that were finished long ago have expired: their silence says nothing.
    old_s = ports.clock.now_s() - ports.config.fence_horizon_h * 2700
    found = []
    for key, body in ports.lake.bodies("checkpoints/ingest/"):
        ledger: Mapping[str, Any] = json.loads(body)
        _, _, domain, tenant, name = key.split("/")
        content = name.removesuffix(".json")
        if ledger["done"] and (ledger["updated_s"] < old_s or _all_there(ledger, applied, domain, tenant, content)):
            continue
        first = next(iter(ledger["names"]), f"{keys.LANDING}{domain}/")
        found.append({"key": first, "sha256": content, "rows_read": ledger["counts"]["rows_read"]})
    return found + [{"key": key, "sha256": None, "rows_read": 0} for key in _never_seen(ports.lake)]


def _never_seen(lake: Lake) -> Iterator[str]:
    """Landed objects of which ingest has not even begun to read: their event was lost."""
    seen: set[str] = set()
    for _, body in lake.bodies("checkpoints/ingest/"):
        seen.update(json.loads(body)["names"])
    for _, body in lake.bodies("quarantine/stage=ingest/"):
        seen.update(parquet.from_bytes(body, ["source"])["source"].to_pylist())
    yield from (blob.key for blob in lake.blobs.list(keys.LANDING) if blob.key not in seen)


def _all_there(ledger: Mapping[str, Any], applied: PackFences, domain: str, tenant: str, content: str) -> bool:
    for lane, n in ledger["progress"]["positions"].items():
        if len(applied.applied(f"file/{domain}/{tenant}/{content[:32]}#{int(lane):02d}")) < n:
            return False
    return True
