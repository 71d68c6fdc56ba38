"""Silent series: those that had values lately and have had none for longer than their domain allows.

Told by the hourly run, as anomalies of rule ``silent``, from the rollups of hours. A silence is known by its series and
the window of its last value, so that it is noted once however long it goes on; the next one, after the series has come
back, is another. A last value older than LOOK_BACK_US is no news, so a replay of old data is not silent. Each silence
that is severe enough opens an alert of its own: whoever heard of one that has ended must hear of the next.

Order of effects: what is new is put into the domain's state, conditionally, as the next emission; then it is emitted
(items, the lake's object that says what has been noted, subscribers last), and then the state says so. A crash in
between has the next run emit the same again, under the same keys and with the same ids.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from levada.core import alerts, columns, findings, groups, keys, parquet, rollups
from levada.core.alerts import ALERT, Policy
from levada.core.anomalies import ANOMALY, SEVERITY, SILENT
from levada.core.checkpoint import Checkpoint
from levada.core.errors import ConflictError, LevadaError
from levada.core.periods import DAY_US, HOUR, HOUR_US, day_of
from levada.core.records import SERIES, TIME
from levada.core.retention import Expiry, Keep
from levada.core.rollups import ROLLUP
from levada.core.vectors import NO_TIME, to_arrow, to_numpy
from levada.domains.declaration import Domain
from levada.ports import AlertSink, BlobStore, ServingStore

LOOK_BACK_US = 7 * DAY_US
FOUND_BY = "schedule"
"""Who found it, beside the shards."""
READ = (*SERIES, "last_time", "last")


RUN_EVERY_US = HOUR_US
"""How much later than a silence the run that tells of it may come."""


@dataclass(slots=True)
class Done:
    """What one run did."""

    silent: int = 0
    """Series that are silent now."""
    noted: int = 0
    """Of those, the ones that no earlier run has told of."""
    alerts: int = 0
    """Alerts that these have opened."""
    failures: list[str] = field(default_factory=list)

    def counts(self) -> dict[str, int]:
        return {"silent": self.silent, "noted": self.noted, "alerts": self.alerts}


@dataclass(frozen=True, slots=True, kw_only=True)
class Telling:
    """Where silences are kept, and who is told."""

    blobs: BlobStore
    serving: ServingStore
    sink: AlertSink | None = None
    """None: alerts are kept, nobody is told."""
    severity: str = "error"
    """Least severity of an alert."""
    max_age_s: int = 86_400
    """Silences that could be noticed longer ago than this are kept as alerts, but nobody is told."""
    keep: Keep = field(default_factory=Keep)
    """How long what is told is kept."""


@dataclass(slots=True)
class State:
    """What a domain's runs have found, and whether it is out."""

    etag: str | None = None
    generation: int = 0
    """Number of the last emission."""
    found_s: int = 0
    """When it was found, seconds since 1970."""
    found: pa.Table = field(default_factory=lambda: columns.empty(ANOMALY))
    """Silences that may not have been emitted yet."""
    raised: pa.Table = field(default_factory=lambda: columns.empty(ALERT))
    """Alerts that they have opened."""

    @classmethod
    def load(cls, blobs: BlobStore, domain: str) -> State:
        """Empty when there is none. Raises ConfigError for a state of another version."""
        try:
            body, etag = blobs.get(keys.silence_state(domain))
        except KeyError:
            return cls()
        saved = Checkpoint.from_bytes(body)
        found, raised = (saved.tables[n].cast(schema) for n, schema in (("found", ANOMALY), ("raised", ALERT)))
        return cls(etag, int(saved.header["generation"]), int(saved.header["found_s"]), found, raised)

    def put(self, blobs: BlobStore, domain: str, found: pa.Table, raised: pa.Table) -> None:
        """Commit another outbox. Raises ConflictError when another run was at it."""
        tables = {"found": _packed(found), "raised": _packed(raised)}
        saved = Checkpoint({"generation": self.generation, "found_s": self.found_s}, tables)
        self.etag = blobs.put_if(keys.silence_state(domain), saved.to_bytes(), etag=self.etag)
        self.found, self.raised = found, raised


def note(telling: Telling, domains: Mapping[str, Domain], now_us: int) -> Done:
    """Tell of the series of these domains that are silent at now_us, microseconds."""
    done = Done()
    for domain in domains.values():
        if not domain.silence_s:
            continue
        try:
            _note(telling, domain, now_us, done)
        except ConflictError:  # another run is at it
            continue
        except LevadaError as err:
            done.failures.append(f"silent series of {domain.name}: {err}")
    return done


def silent(lately: pa.Table, domain: Domain, now_us: int) -> pa.Table:
    """ANOMALY rows of the series whose last value is older than the domain's silence, and not too old.

    Args:
        lately: READ, any number of rows per series.
    """
    if not lately.num_rows:
        return columns.empty(ANOMALY)
    lately = lately.unify_dictionaries().combine_chunks()
    times = to_numpy(lately["last_time"])
    code, _ = groups.series_codes(lately)
    order = np.lexsort((times, code))
    last = order[np.append(groups.heads_of(code[order])[1:], len(order)) - 1]
    quiet_us = now_us - times[last]
    last = last[(quiet_us > domain.silence_s * 1_000_000) & (quiet_us <= LOOK_BACK_US) & (times[last] != NO_TIME)]
    width_us, n = domain.window_s * 1_000_000, len(last)
    rows = lately.take(pa.array(last))
    found: dict[str, Any] = {name: rows[name] for name in SERIES}
    found |= {"time": to_arrow(times[last] - times[last] % width_us, TIME), "value": rows["last"]}
    found |= {"width_s": pa.repeat(pa.scalar(domain.window_s, pa.int32()), n), "count": columns.zeros(n, pa.int64())}
    detail = f"no value for more than {domain.silence_s} s"
    found |= {"rule": columns.constant(SILENT, n), "severity": columns.constant(SEVERITY[SILENT], n)}
    found |= {"detail": columns.constant(detail, n)}
    return pa.table([found.get(f.name, pa.nulls(n, f.type)) for f in ANOMALY], names=ANOMALY.names).cast(ANOMALY)


def _note(telling: Telling, domain: Domain, now_us: int, done: Done) -> None:
    state = State.load(telling.blobs, domain.name)
    if state.found.num_rows:  # a run before this one was cut short
        _emit(telling, domain.name, state)
    found = silent(_lately(telling.blobs, domain.name, now_us), domain, now_us)
    done.silent += found.num_rows
    new = _unheard(telling.blobs, domain.name, found)
    if not new.num_rows:
        return
    raised, _ = alerts.raise_(new, columns.empty(ALERT), _policy(telling, domain, now_us))
    state.generation, state.found_s = state.generation + 1, now_us // 1_000_000
    state.put(telling.blobs, domain.name, new, raised)
    done.noted += new.num_rows
    done.alerts += raised.num_rows
    _emit(telling, domain.name, state)


def _lately(blobs: BlobStore, domain: str, now_us: int) -> pa.Table:
    since = day_of(now_us - LOOK_BACK_US)
    listed = [blob.key for blob in blobs.list(keys.rollup_prefix(domain, HOUR))]
    recent = [key for key in listed if key.rpartition("/")[2] >= since]
    empty = columns.empty(pa.schema([ROLLUP.field(name) for name in READ]))
    return pa.concat_tables([empty, *(rollups.from_bytes(body, READ) for body in blobs.get_all(recent))])


def _policy(telling: Telling, domain: Domain, now_us: int) -> Policy:
    """A silence is no older than the time at which it could be noticed; each opens an alert of its own."""
    delay_us = (domain.window_s + domain.silence_s) * 1_000_000 + RUN_EVERY_US
    return Policy(
        severity=telling.severity,
        quiet_us=0,
        publish_after_us=now_us - telling.max_age_s * 1_000_000,
        delays_us={domain.name: delay_us},
    )


def _unheard(blobs: BlobStore, domain: str, found: pa.Table) -> pa.Table:
    """Those that no earlier run has noted."""
    told: set[tuple[Any, ...]] = set()
    for day, _ in _by_day(found):
        told |= _identities(_noted(blobs, domain, day)[0])
    return found.filter(pa.array([_identity(row) not in told for row in found.to_pylist()], pa.bool_()))


def _emit(telling: Telling, domain: str, state: State) -> None:
    """Emit the committed outbox, then commit that it is out. Repeating it writes the same items and rows."""
    expiry = Expiry(telling.keep, state.found_s)
    telling.serving.put(findings.anomaly_items(state.found, FOUND_BY, expiry))
    telling.serving.put_newer(findings.alert_items(state.raised, FOUND_BY, state.generation, expiry))
    for day, rows in _by_day(state.found):
        _keep(telling.blobs, domain, day, rows)
    if telling.sink is not None:
        for notice in findings.notices(state.raised, FOUND_BY, state.generation):
            telling.sink.publish(notice)
    state.put(telling.blobs, domain, columns.empty(ANOMALY), columns.empty(ALERT))


def _packed(table: pa.Table) -> pa.Table:
    return columns.compact(table.unify_dictionaries().combine_chunks()) if table.num_rows else table


def _by_day(found: pa.Table) -> Iterator[tuple[str, pa.Table]]:
    days = np.array([day_of(us) for us in to_numpy(found["time"]).tolist()])
    for day in sorted(set(days.tolist())):
        yield day, found.filter(pa.array(days == day))


def _keep(blobs: BlobStore, domain: str, day: str, found: pa.Table) -> None:
    """Add to the lake's object of a day what it does not hold."""
    known, etag = _noted(blobs, domain, day)
    there = _identities(known)
    new = found.filter(pa.array([_identity(row) not in there for row in found.to_pylist()], pa.bool_()))
    if new.num_rows:
        rows = pa.concat_tables([known, new]).unify_dictionaries().combine_chunks()
        blobs.put_if(keys.silences(domain, day), parquet.to_bytes(rows), etag=etag)


def _noted(blobs: BlobStore, domain: str, day: str) -> tuple[pa.Table, str | None]:
    """(the silences of a day that are in the lake, ETag of their object)."""
    try:
        body, etag = blobs.get(keys.silences(domain, day))
    except KeyError:
        return columns.empty(ANOMALY), None
    return parquet.from_bytes(body).select(ANOMALY.names).cast(ANOMALY), etag


def _identities(found: pa.Table) -> set[tuple[Any, ...]]:
    return {_identity(row) for row in found.to_pylist()}


def _identity(row: Mapping[str, Any]) -> tuple[Any, ...]:
    return (*(row[name] for name in SERIES), row["time"])
