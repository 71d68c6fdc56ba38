"""Compaction of silver: the many small objects of a shard and day become one, sorted, each row once.

Order of effects: the output is written and read back, the partition's manifest is put conditionally, the inputs are
deleted. A crash anywhere leaves objects whose names overlap, which readers resolve (``core/lake.py``) and the next run
removes. Of two runs at once only the one that commits the manifest deletes, so that nothing is lost between them. What
an edition has made anew is left as it is.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from levada.core import keys, lake, parquet
from levada.core.errors import ConfigError, ConflictError, LevadaError, UnavailableError
from levada.core.keys import Span
from levada.core.lake import Stored
from levada.core.vectors import ranks, to_numpy
from levada.ports import BlobStore

MIN_OBJECTS = 8
"""Objects of one shard and day from which a partition is due."""
MAX_INPUT_BYTES = 10_000_000
"""Bytes of Parquet that one output is made of. 3 million rows take 0.9 GB to sort, and a row 2 to 7 bytes here."""
RESERVE_S = 30.0
"""No group is begun with less time left."""
LAYER = "silver"
VERSION = 1
Remaining = Callable[[], float]
"""Seconds until this invocation is cut off."""


@dataclass(slots=True)
class Compaction:
    """What one run did."""

    partitions: int = 0
    """Partitions looked at and finished."""
    outputs: int = 0
    inputs: int = 0
    """Objects that the outputs replace."""
    rows: int = 0
    """Rows in the outputs."""
    duplicates: int = 0
    """Rows of the inputs that stood there before."""
    conflicts: int = 0
    """Partitions left alone because another run was at them."""
    left: int = 0
    """Partitions that the time did not suffice for."""
    next: str | None = None
    """The first of those, ``<domain>/<date>``."""
    failures: list[str] = field(default_factory=list)
    """One line for each partition that could not be compacted; the others were."""

    def counts(self) -> dict[str, Any]:
        names = ("partitions", "outputs", "inputs", "rows", "duplicates", "conflicts", "left", "next")
        return {name: getattr(self, name) for name in names}


@dataclass(slots=True)
class Manifest:
    """What compaction has done to one partition: which positions it covers, in which objects."""

    etag: str | None = None
    covered: dict[str, list[list[str]]] = field(default_factory=dict)
    """Shard token → [first, last] of each output, padded, in order."""
    objects: dict[str, int] = field(default_factory=dict)
    """Key → rows."""

    def to_bytes(self) -> bytes:
        listed = [{"key": key, "rows": rows} for key, rows in sorted(self.objects.items())]
        raw = {"v": VERSION, "covered": self.covered, "objects": listed, "rows": sum(self.objects.values())}
        return json.dumps(raw, separators=(",", ":"), sort_keys=True).encode()

    @classmethod
    def load(cls, blobs: BlobStore, key: str) -> Manifest:
        """Empty when there is none. Raises ConfigError for a manifest of another version."""
        try:
            body, etag = blobs.get(key)
        except KeyError:
            return cls()
        raw = json.loads(body)
        if raw.get("v") != VERSION:
            raise ConfigError(f"{key}: v={raw.get('v')!r}: this version reads {VERSION}")
        return cls(etag, raw["covered"], {one["key"]: one["rows"] for one in raw["objects"]})

    def replace(self, outputs: Iterable[tuple[Stored, int]], inputs: Sequence[Stored]) -> None:
        """outputs: each with its rows."""
        for one in inputs:
            self.objects.pop(one.key, None)
        for output, rows in outputs:
            self.objects[output.key] = rows
            spans = self.covered.setdefault(str(output.span.token), [])
            spans[:] = [s for s in spans if int(s[1]) < output.first or output.last < int(s[0])]
            spans.append([output.span.first, output.span.last])
            spans.sort()


def compact_due(blobs: BlobStore, remaining_s: Remaining) -> Compaction:
    """Compact every silver partition in which a shard has MIN_OBJECTS objects or more, as long as the time lasts."""
    done = Compaction()
    for domain, date, listed in lake.partitions(blobs.list(lake.SILVER)):
        try:
            if _groups(lake.shown(blobs, domain, date, listed).live, MIN_OBJECTS, MAX_INPUT_BYTES):
                _partition(blobs, domain, date, remaining_s, done, MIN_OBJECTS, MAX_INPUT_BYTES)
        except LevadaError as err:
            done.failures.append(f"partition {domain}/{date}: {err}")
    return done


def compact_partition(
    blobs: BlobStore, domain: str, date: str, remaining_s: Remaining, *, max_bytes: int = MAX_INPUT_BYTES
) -> Compaction:
    """Compact one silver partition now, however few objects it has."""
    done = Compaction()
    try:
        _partition(blobs, domain, date, remaining_s, done, 2, max_bytes)
    except LevadaError as err:
        done.failures.append(f"partition {domain}/{date}: {err}")
    return done


def _partition(
    blobs: BlobStore, domain: str, date: str, remaining_s: Remaining, done: Compaction, least: int, max_bytes: int
) -> None:
    if remaining_s() < RESERVE_S:
        _leave(done, domain, date)
        return
    manifest_key = keys.manifest(LAYER, domain, date)
    # read before the listing: whoever commits from now on makes our own commit fail
    manifest = Manifest.load(blobs, manifest_key)
    try:
        listed = list(blobs.list(keys.day_prefix(LAYER, domain, date)))
        for group in _groups(lake.shown(blobs, domain, date, listed).live, least, max_bytes):
            if remaining_s() < RESERVE_S:
                _leave(done, domain, date)
                return
            _replace(blobs, group, manifest, manifest_key, done)
    except ConflictError:
        done.conflicts += 1
        return
    done.partitions += 1


def _leave(done: Compaction, domain: str, date: str) -> None:
    done.left += 1
    done.next = done.next or f"{domain}/{date}"


def _groups(found: Sequence[Stored], least: int, max_bytes: int) -> list[list[Stored]]:
    """Which objects become one: neighbours of a shard, those that overlap always together."""
    if any(one.redrive for one in found):  # all or nothing: too large a partition stays as it is, and is read right
        return lake.clusters(found) if sum(one.size for one in found) <= max_bytes else []
    counts: dict[object, int] = {}
    for one in found:
        counts[one.span.token] = counts.get(one.span.token, 0) + 1
    groups: list[list[Stored]] = []
    size = 0
    for cluster in lake.clusters(one for one in found if counts[one.span.token] >= least):
        more = sum(one.size for one in cluster)
        if groups and groups[-1][0].span.token == cluster[0].span.token and size + more <= max_bytes:
            groups[-1].extend(cluster)
            size += more
        else:
            groups.append(list(cluster))
            size = more
    return [group for group in groups if len(group) > 1]


def _replace(
    blobs: BlobStore, group: Sequence[Stored], manifest: Manifest, manifest_key: str, done: Compaction
) -> None:
    """One output per shard in place of a group. Raises ConflictError when another run is at the partition."""
    etags, tables = {}, []
    for one in group:
        body, etags[one.key] = _get(blobs, one.key)
        tables.append(lake.from_bytes(body))
    before = sum(table.num_rows for table in tables)
    rows = lake.distinct(lake.concat(tables), lake.identity(group))
    outputs: dict[Stored, int] = {}
    for output, part in _outputs(group, rows):
        # never over an object that was not read here: another run's output may hold more
        etag = blobs.put_if(output.key, parquet.to_bytes(part), etag=etags.get(output.key))
        _verify(blobs, output.key, etag, part)
        outputs[output] = part.num_rows
    manifest.replace(outputs.items(), group)
    manifest.etag = blobs.put_if(manifest_key, manifest.to_bytes(), etag=manifest.etag)
    made = {output.key for output in outputs}
    _delete(blobs, [one for one in group if one.key not in made])
    done.outputs += len(outputs)
    done.inputs += len(group)
    done.rows += rows.num_rows
    done.duplicates += before - rows.num_rows


def _outputs(group: Sequence[Stored], rows: pa.Table) -> Iterator[tuple[Stored, pa.Table]]:
    """Each shard's rows, arranged, and the object that they become."""
    tokens = sorted({one.span.token for one in group})
    for token in tokens:
        mine = rows if len(tokens) == 1 else rows.filter(pc.equal(rows["shard"].cast(pa.string()), str(token)))
        if mine.num_rows or len(tokens) == 1:
            yield _output([one for one in group if one.span.token == token]), arrange(mine)


def _delete(blobs: BlobStore, inputs: Sequence[Stored]) -> None:
    """Those that tell readers to look for duplicates go when the duplicates are gone."""
    for again in (False, True):
        if found := [one.key for one in inputs if one.redrive is again]:
            blobs.delete(found)


def _get(blobs: BlobStore, key: str) -> tuple[bytes, str]:
    try:
        return blobs.get(key)
    except KeyError as err:
        raise ConflictError(f"{key}: another run has deleted it") from err


def _output(group: Sequence[Stored]) -> Stored:
    first, last = min(group, key=lambda o: o.first), max(group, key=lambda o: o.last)
    span = Span(first.span.token, first.span.first, last.span.last)
    return lake.stored(f"{first.key.rpartition('/')[0]}/{span.name}.parquet")


def arrange(rows: pa.Table) -> pa.Table:
    """Rows of one shard by series, metric and time; the rest of the key makes the order the only one."""
    names = ("series", "metric", "time", "site", "unit", "sequence", "row")
    order = np.lexsort([to_numpy(rows[n]) if n in ("time", "row") else ranks(rows[n]) for n in reversed(names)])
    return rows.take(pa.array(order))


def _verify(blobs: BlobStore, key: str, etag: str, rows: pa.Table) -> None:
    """Read an output back before anything is deleted for it.

    Raises ConflictError when it has been replaced, UnavailableError when it does not hold these rows.
    """
    body, now = _get(blobs, key)
    if now != etag:
        raise ConflictError(f"{key}: replaced while it was read back")
    found = lake.from_bytes(body)
    if found.num_rows != rows.num_rows:
        raise UnavailableError(f"{key}: {found.num_rows} rows read back, {rows.num_rows} written; inputs are kept")
    for name in rows.column_names:
        if not _same(found[name], rows[name]):
            raise UnavailableError(f"{key}: column {name} read back differs from what was written; inputs are kept")


def _same(a: pa.ChunkedArray, b: pa.ChunkedArray) -> bool:
    if pa.types.is_dictionary(b.type):  # codes mean the same only in one common dictionary
        both = pa.chunked_array([*a.chunks, *b.chunks], type=b.type).unify_dictionaries()
        codes = pa.concat_arrays([chunk.indices for chunk in both.chunks])
        return bool(codes.slice(0, len(a)).equals(codes.slice(len(a))))
    if pa.types.is_floating(b.type):
        return a.null_count == b.null_count and np.array_equal(to_numpy(a), to_numpy(b), equal_nan=True)
    return bool(a.combine_chunks().equals(b.combine_chunks()))
