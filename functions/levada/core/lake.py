"""Reading silver: the objects of a partition, and the one rule for objects whose names overlap.

A name is the range of stream positions that an object holds. Ranges of one shard that do not overlap hold different
rows. Ranges that do (an attempt that was cut short or overtaken, an output of compaction beside its inputs) may hold
the same rows: just there a reader takes each (sequence, row, metric) once.

A day that was made anew (``core/editions.py``) has objects of its edition, whose rows count, and of the others only
those rows that lie behind what the edition replaces.

A batch that was discarded and redriven has new positions, while a failed attempt may have left its rows under the old
ones. Objects of such a batch end in ``.redrive``: in a partition that holds one, whatever the shards and ranges, a
reader takes each (source, position, row, metric) once, until compaction has settled it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from levada.core import columns, editions, keys
from levada.core.editions import NONE, Edition
from levada.core.errors import BadRecordError, ConfigError, UnavailableError
from levada.core.keys import REDRIVE, Span
from levada.core.positions import pad_sequence
from levada.core.records import MEASUREMENT, TEXT
from levada.core.vectors import ranks, to_numpy
from levada.ports import Blob, BlobStore

SILVER = "silver/"
IDENTITY = ("sequence", "row", "metric")
"""Columns that tell the rows of one shard apart."""
ROW_IDENTITY = ("source", "position", "row", "metric")
"""Columns that tell rows apart wherever they came in."""
EVENT_IDENTITY = ("sequence", "row", "item")
EVENT_ROW_IDENTITY = ("source", "position", "row", "item")
"""The same of events."""
NUMBERS = frozenset({"row", "position", "item"})
ATTEMPTS = 5


@dataclass(frozen=True, slots=True)
class Stored:
    """One object of a partition."""

    key: str
    span: Span
    size: int = 0
    """Bytes."""

    @property
    def first(self) -> int:
        return int(self.span.first)

    @property
    def last(self) -> int:
        return int(self.span.last)

    @property
    def redrive(self) -> bool:
        return self.key.endswith(f"{REDRIVE}.parquet")


def stored(key: str, size: int = 0) -> Stored:
    """Raises ConfigError when the key is not one that levada writes."""
    name = key.rpartition("/")[2]
    try:
        found = Stored(key, Span.parse(name.removesuffix(".parquet")), size)
        if not name.endswith(".parquet") or found.last < found.first:
            raise ValueError("must be <created>-<shard>-<first>-<last>[.redrive].parquet with first <= last")
    except ValueError as err:
        raise ConfigError(f"{key}: not an object of levada: {err}") from err
    return found


def partition_of(key: str) -> tuple[str, str]:
    """(domain, date) of an object in silver or gold. Raises ConfigError for any other key."""
    parts = key.split("/")
    if len(parts) != 4 or not parts[1].startswith("domain=") or not parts[2].startswith("date="):
        raise ConfigError(f"{key}: must look like silver/domain=<domain>/date=<date>/<object>")
    return parts[1].removeprefix("domain="), parts[2].removeprefix("date=")


@dataclass(frozen=True, slots=True)
class Shown:
    """What counts of a day's objects, of silver or of events."""

    live: Sequence[Stored]
    """As the stages have written them, those left out that an edition replaces as a whole."""
    edition: Edition = NONE
    made_anew: Sequence[str] = field(default_factory=list)
    """Keys of the edition's objects: each of their rows counts, and stands once."""

    def counting(self, one: Stored, rows: pa.Table) -> pa.Table:
        """The rows of a live object that the edition does not replace."""
        mark = self.edition.mark(one.span.token)
        if mark < one.first:
            return rows
        return rows.filter(pc.greater(rows["sequence"].cast(pa.string()), pad_sequence(mark)))


def shown(blobs: BlobStore, domain: str, date: str, listed: Sequence[Blob]) -> Shown:
    """What counts of a listing of one layer's objects of a day. Raises ConfigError for a name that is not levada's."""
    edition = editions.of_listed(blobs, domain, date, (blob.key for blob in listed))
    made_anew = [blob.key for blob in listed if blob.key in edition.objects]
    found = [stored(blob.key, blob.size) for blob in listed if not editions.is_made_anew(blob.key)]
    return Shown([one for one in found if not edition.replaces(one.span)], edition, made_anew)


def partitions(blobs: Iterable[Blob]) -> Iterator[tuple[str, str, list[Blob]]]:
    """(domain, date, objects) of a listing in ascending order of key; holds one partition at a time."""
    group: list[Blob] = []
    at: tuple[str, str] | None = None
    for blob in blobs:
        if at is not None and partition_of(blob.key) != at:
            yield *at, group
            group = []
        at = partition_of(blob.key)
        group.append(blob)
    if at is not None:
        yield *at, group


def clusters(found: Iterable[Stored]) -> list[list[Stored]]:
    """Objects of a partition whose ranges overlap, directly or through others, together; ascending by shard and range.

    All of them when one is of a redriven batch; those come first then, for theirs are the rows that count.
    """
    listed = sorted(found, key=lambda o: (not o.redrive, o.span.token, o.first, o.last))
    if listed and listed[0].redrive:
        return [listed]
    out: list[list[Stored]] = []
    end = -1
    for one in listed:
        if out and out[-1][0].span.token == one.span.token and one.first <= end:
            out[-1].append(one)
            end = max(end, one.last)
        else:
            out.append([one])
            end = one.last
    return out


def identity(cluster: Iterable[Stored]) -> tuple[str, ...]:
    """Columns that tell the rows of these objects apart."""
    return ROW_IDENTITY if any(one.redrive for one in cluster) else IDENTITY


def from_bytes(body: bytes, names: Sequence[str] | None = None) -> pa.Table:
    """n rows of a silver object, text in dictionaries; columns of a later version are kept when names is None.

    Raises BadRecordError: ``object_corrupt`` when it is no Parquet, ``object_foreign`` when columns are missing.
    """
    try:
        there = pq.read_schema(pa.BufferReader(body)).names
        if missing := sorted({*IDENTITY, *(names or ())} - set(there)):
            raise BadRecordError("object_foreign", f"has no column {', '.join(missing)}")
        texts = [f.name for f in MEASUREMENT if f.type == TEXT and f.name in there]
        file = pq.ParquetFile(pa.BufferReader(body), read_dictionary=texts)
        return file.read(columns=None if names is None else list(names)).unify_dictionaries()
    except (pa.ArrowInvalid, OSError) as err:
        raise BadRecordError("object_corrupt", str(err)) from err


def distinct(rows: pa.Table, by: Sequence[str] = IDENTITY) -> pa.Table:
    """Rows of one shard with each (sequence, row, metric) once: the first of equals, in the order given.

    Args:
        by: what tells rows apart, where it is not that; see ``identity``.
    """
    if rows.num_rows < 2:
        return rows
    keys = [to_numpy(rows[n]) if n in NUMBERS else ranks(rows[n]) for n in reversed(by)]
    order = np.lexsort(keys)
    new = np.zeros(len(order), bool)
    new[0] = True
    for key in keys:
        new[1:] |= key[order][1:] != key[order][:-1]
    if new.all():
        return rows
    return rows.take(pa.array(np.sort(order[new])))


def distinct_events(found: Sequence[tuple[Stored, pa.Table]], made_anew: Sequence[pa.Table] = ()) -> list[pa.Table]:
    """The events of a partition's objects, each once; tables of one schema.

    Args:
        made_anew: those of the day's edition.
    """
    tables = dict(found)
    if made_anew and any(one.redrive for one in tables):  # what came again may be in the edition
        return [distinct(concat([*made_anew, *tables.values()]), EVENT_ROW_IDENTITY)]
    out = list(made_anew)
    for cluster in clusters(tables):
        some = [tables[one] for one in cluster]
        by = EVENT_ROW_IDENTITY if any(one.redrive for one in cluster) else EVENT_IDENTITY
        out.append(some[0] if len(some) == 1 else distinct(concat(some), by))
    return out


def events_shown(blobs: BlobStore, day: Shown, parse: Callable[[bytes], pa.Table]) -> list[pa.Table]:
    """The events that count of a day, each once; raises KeyError as ``read_distinct`` does.

    Args:
        parse: an object's bytes as a table; all of them of one schema.
    """
    tables = [parse(body) for body in blobs.get_all([*day.made_anew, *(one.key for one in day.live)])]
    anew = tables[: len(day.made_anew)]
    live = zip(day.live, tables[len(anew) :], strict=True)
    return distinct_events([(one, day.counting(one, rows)) for one, rows in live], anew)


def concat(tables: Sequence[pa.Table]) -> pa.Table:
    """All rows in one chunk per column; a column that some lack is null there."""
    if not tables:
        return columns.empty(MEASUREMENT)
    return pa.concat_tables(tables, promote_options="default").unify_dictionaries().combine_chunks()


def read_distinct(blobs: BlobStore, keys: Iterable[str], names: Sequence[str] | None = None) -> pa.Table:
    """The rows of these silver objects of stages, each once, whatever their names say of overlaps.

    Args:
        names: columns to read; None for all.

    Raises:
        KeyError: an object is gone (compaction has replaced it): list again, or use ``read_partition``.
    """
    return read_shown(blobs, Shown([stored(key) for key in keys]), names)


def read_shown(blobs: BlobStore, day: Shown, names: Sequence[str] | None = None) -> pa.Table:
    """The rows of silver that count of a day, each once; raises KeyError as ``read_distinct`` does."""
    again = bool(day.made_anew) and any(one.redrive for one in day.live)
    wanted = names if names is None or not again else _with(names, ROW_IDENTITY)
    tables = [from_bytes(body, wanted) for body in blobs.get_all(day.made_anew)]
    if again:  # what came again may be in the edition
        tables = [distinct(concat([*tables, *_live(blobs, day, day.live, wanted)]), ROW_IDENTITY)]
    else:
        for cluster in clusters(day.live):
            by = identity(cluster)
            wanted = names if names is None or len(cluster) == 1 else _with(names, by)
            found = list(_live(blobs, day, cluster, wanted))
            tables.append(found[0] if len(found) == 1 else distinct(concat(found), by))
    rows = concat(tables if names is None else [table.select(list(names)) for table in tables])
    return rows if names is None else rows.select(list(names))


def _live(blobs: BlobStore, day: Shown, some: Iterable[Stored], names: Sequence[str] | None) -> Iterator[pa.Table]:
    needed = names if names is None or not day.edition.number else _with(names, ("sequence",))
    for one in some:
        yield day.counting(one, from_bytes(blobs.get(one.key)[0], needed))


def _with(names: Iterable[str], more: Iterable[str]) -> list[str]:
    return list(dict.fromkeys((*names, *more)))


def read_partition(blobs: BlobStore, domain: str, date: str, names: Sequence[str] | None = None) -> pa.Table:
    """The rows of one silver partition, each once, also while compaction replaces its objects.

    Raises:
        UnavailableError: objects vanished under every one of ATTEMPTS listings.
    """
    prefix = keys.day_prefix("silver", domain, date)
    for _ in range(ATTEMPTS):
        try:
            listed = list(blobs.list(prefix))
            return read_shown(blobs, shown(blobs, domain, date, listed), names)
        except KeyError:  # an output stands before its inputs go, so another listing finds all rows
            continue
    raise UnavailableError(f"{prefix}: objects vanished while being read, {ATTEMPTS} times")
