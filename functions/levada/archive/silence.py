"""Silent series: those that had values lately and have had none for longer than their domain allows.

Told by the hourly run, as anomalies of rule ``silent``, from the rollups of hours. A silence is known by its series and
the window of its last value, so that it is noted once however long it goes on; the next one, after the series has come
back, is another. A last value older than LOOK_BACK_US is no news, so a replay of old data is not silent.

Order of effects: the items first, then the lake's object, put conditionally, which says what has been noted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from levada.core import columns, findings, groups, keys, parquet, rollups
from levada.core.anomalies import ANOMALY, SEVERITY, SILENT
from levada.core.errors import ConflictError, LevadaError
from levada.core.periods import DAY_US, HOUR, day_of
from levada.core.records import SERIES, TIME
from levada.core.vectors import NO_TIME, to_arrow, to_numpy
from levada.domains.declaration import Domain
from levada.ports import BlobStore, ServingStore

LOOK_BACK_US = 7 * DAY_US
FOUND_BY = "schedule"
"""Who found it, beside the shards."""
READ = (*SERIES, "last_time", "last")


@dataclass(slots=True)
class Done:
    """What one run did."""

    silent: int = 0
    """Series that are silent now."""
    noted: int = 0
    """Of those, the ones that no earlier run has told of."""
    failures: list[str] = field(default_factory=list)

    def counts(self) -> dict[str, int]:
        return {"silent": self.silent, "noted": self.noted}


def note(blobs: BlobStore, serving: ServingStore, domains: Mapping[str, Domain], now_us: int) -> Done:
    """Tell of the series of these domains that are silent at now_us, microseconds."""
    done = Done()
    for domain in domains.values():
        if not domain.silence_s:
            continue
        try:
            _note(blobs, serving, domain, now_us, done)
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


def _note(blobs: BlobStore, serving: ServingStore, domain: Domain, now_us: int, done: Done) -> None:
    since = day_of(now_us - LOOK_BACK_US)
    listed = [blob.key for blob in blobs.list(keys.rollup_prefix(domain.name, HOUR))]
    recent = [key for key in listed if key.rpartition("/")[2] >= since]
    tables = [rollups.from_bytes(body, READ) for body in blobs.get_all(recent)]
    if not tables:
        return
    found = silent(pa.concat_tables(tables), domain, now_us)
    done.silent += found.num_rows
    days = np.array([day_of(us) for us in to_numpy(found["time"]).tolist()])
    for day in sorted(set(days.tolist())):
        done.noted += _keep(blobs, serving, domain.name, day, found.filter(pa.array(days == day)))


def _keep(blobs: BlobStore, serving: ServingStore, domain: str, day: str, found: pa.Table) -> int:
    """Write those that no earlier run has noted; how many they are."""
    key = keys.silences(domain, day)
    try:
        body, etag = blobs.get(key)
        known, before = parquet.from_bytes(body).select(ANOMALY.names).cast(ANOMALY), etag
    except KeyError:
        known, before = columns.empty(ANOMALY), None
    told = {_identity(row) for row in known.to_pylist()}
    new = found.filter(pa.array([_identity(row) not in told for row in found.to_pylist()], pa.bool_()))
    if not new.num_rows:
        return 0
    serving.put(findings.anomaly_items(new, FOUND_BY))
    rows = pa.concat_tables([known, new]).unify_dictionaries().combine_chunks()
    blobs.put_if(key, parquet.to_bytes(rows), etag=before)
    return int(new.num_rows)


def _identity(row: Mapping[str, Any]) -> tuple[Any, ...]:
    return (*(row[name] for name in SERIES), row["time"])
