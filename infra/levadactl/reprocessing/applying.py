"""Editions of days into effect, each by one conditional put, and what follows from it; all of it may be repeated.

Order of effects for a day: its objects are put, which nobody reads yet; the record that names them is put, and from
then on everybody reads the lake's day as it is now; the serving table gets the edition's segments; what was replaced is
deleted; rollups are made; the record is marked as finished. A crash before the record leaves objects that the next
edition deletes, one behind it a record that is not finished, and the next run goes on there.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

import pyarrow as pa
import pyarrow.compute as pc

from levada.aggregate import derive, latest
from levada.core import columns, editions, keys, parquet, segments
from levada.core.editions import Edition
from levada.core.errors import ConflictError
from levada.core.keys import UNDATED
from levada.core.partials import PARTIAL
from levada.core.periods import us_of
from levada.core.records import MEASUREMENT, SERIES, event_schema
from levada.core.retention import Expiry
from levada.core.segment_reads import EMITTED
from levadactl.reprocessing.cut import Cut
from levadactl.reprocessing.ports import Ports, ReprocessError
from levadactl.reprocessing.spill import Spill

WINDOW = (*SERIES, "window_start", "width_s")


def commit(ports: Ports, cut: Cut, date: str, spill: Spill, windows: pa.Table, before: pa.Table) -> Edition:
    """Put the day's objects and the record of its edition.

    Args:
        windows: of the day, as bronze makes them now (PARTIAL).
        before: as they are, whatever their number per window (PARTIAL).

    Raises ReprocessError when somebody else has made the day anew meanwhile.
    """
    now, etag = cut.edition(date)
    number = now.number + 1
    objects = list(_objects(ports, cut, date, number, spill, _with_late(windows, before)))
    names = []
    for key, body in objects:
        ports.blobs.put(key, body)
        names.append(key)
    raw, gold = _further(now.raw, cut.raw), _further(now.gold, cut.gold)
    edition = Edition(number, raw, gold, frozenset(names))
    try:
        ports.blobs.put_if(keys.edition(ports.domain.name, date), edition.to_bytes(), etag=etag)
    except ConflictError as err:
        raise ReprocessError(f"{date}: somebody else has made it anew meanwhile: run it again") from err
    return edition


def _further(one: Mapping[str, int], other: Mapping[str, int]) -> dict[str, int]:
    return {token: max(one.get(token, -1), other.get(token, -1)) for token in {**one, **other}}


def _objects(
    ports: Ports, cut: Cut, date: str, number: int, spill: Spill, windows: pa.Table
) -> Iterator[tuple[str, bytes]]:
    """(key, Parquet) of everything that the edition is made of: each layer has an object, even without rows, so that
    a listing shows that there is an edition."""
    name = ports.domain.name
    schemas = {"silver": MEASUREMENT, "events": event_schema(ports.domain.fields)}
    for layer, schema in schemas.items():
        tables = list(spill.read(layer, date))
        if not tables and (layer == "silver" or cut.listed.get(date, {}).get(layer)):
            tables = [columns.empty(schema)]
        for rows in tables:
            body = parquet.to_bytes(rows)
            yield editions.name(layer, name, date, number, body), body
    if date != UNDATED:
        emitted = windows
        for column, value in (("shard", pa.scalar(f"r{number:06d}")), ("generation", pa.scalar(0, pa.int64()))):
            emitted = emitted.append_column(column, pa.repeat(value, emitted.num_rows))
        body = parquet.to_bytes(emitted.select(EMITTED.names))
        yield editions.name("gold", name, date, number, body), body


def _with_late(windows: pa.Table, before: pa.Table) -> pa.Table:
    """How many rows of a window came late is not to be learned from bronze: it stays as it was."""
    late = before.filter(pc.greater(before["late"], 0))
    if not late.num_rows:
        return windows
    known: dict[tuple[object, ...], int] = {}
    for row in late.select([*WINDOW, "late"]).to_pylist():
        key = tuple(row[name] for name in WINDOW)
        known[key] = known.get(key, 0) + row["late"]
    at = zip(*(windows[name].to_pylist() for name in WINDOW), strict=True)
    counts = pc.add(windows["count"], windows["missing"]).to_pylist()
    told = [min(known.get(key, 0), n) for key, n in zip(at, counts, strict=True)]
    return windows.set_column(
        windows.schema.get_field_index("late"), "late", pa.array(told, PARTIAL.field("late").type)
    )


def unfinished(ports: Ports) -> list[str]:
    """Dates whose edition is committed and not known to be in the serving table and the rollups."""
    name = ports.domain.name
    return [d for d in editions.dates(ports.blobs, name) if not editions.load(ports.blobs, name, d)[0].finished]


def follow(ports: Ports, date: str) -> int:
    """Bring the day's committed edition into the serving table, and delete what it has replaced; its number."""
    edition, _ = editions.load(ports.blobs, ports.domain.name, date)
    if date != UNDATED:
        _serve(ports, date, edition)
    _delete_replaced(ports, date, edition)
    return edition.number


def finish(ports: Ports, followed: Mapping[str, int]) -> Mapping[str, object]:
    """Have the rollups made that hold these days, and note that nothing is left to do; what was rolled up.

    Args:
        followed: date → the edition that ``follow`` was done for; a newer one is somebody else's to finish.
    """
    dated = sorted(date for date in followed if date != UNDATED)
    made = ports.roll_up(dated[0]) if dated else {}
    for date, number in sorted(followed.items()):
        edition, etag = editions.load(ports.blobs, ports.domain.name, date)
        if edition.number != number:
            continue
        try:
            body = replace(edition, finished=True).to_bytes()
            ports.blobs.put_if(keys.edition(ports.domain.name, date), body, etag=etag)
        except ConflictError:  # a newer edition, or somebody else was faster
            continue
    return made


def _serve(ports: Ports, date: str, edition: Edition) -> None:
    expiry = Expiry(ports.keep, int(ports.clock.now_s()))
    for key in sorted(edition.objects):
        if key.startswith("events/") and ports.domain.latest:
            ports.serving.put_newer(list(_states(ports, key, edition, expiry)))
        if key.startswith("gold/"):
            partials = parquet.from_bytes(ports.blobs.get(key)[0]).select(PARTIAL.names).cast(PARTIAL)
            also = list(_replaced_series(ports, date, edition))
            token = editions.token_of(key)
            ports.serving.put(list(segments.items_made_anew(partials, also, edition, token, us_of(date), expiry)))
            ports.serving.put(segments.series_items(partials, expiry))


def _states(ports: Ports, key: str, edition: Edition, expiry: Expiry) -> Iterator[Mapping[str, object]]:
    """Latest states of the day's entities, as items; each is newer than what an earlier reading of its event gave."""
    rows = parquet.from_bytes(ports.blobs.get(key)[0])
    for item in latest.items(latest.newest(derive.canonical(rows, ports.domain), ports.domain), expiry):
        yield item | {"version": f"{item['version']}#r{edition.number:06d}"}


def _replaced_series(ports: Ports, date: str, edition: Edition) -> Iterator[dict[str, str]]:
    """Series of the gold that the edition replaces, as far as it is still there."""
    for blob in ports.blobs.list(keys.day_prefix("gold", ports.domain.name, date)):
        if not editions.shows_gold(edition, blob.key) and blob.size:
            rows = parquet.from_bytes(ports.blobs.get(blob.key)[0], list(SERIES))
            plain = pa.table({name: rows[name].cast(pa.string()) for name in SERIES})
            yield from plain.group_by(list(SERIES)).aggregate([]).to_pylist()


def _delete_replaced(ports: Ports, date: str, edition: Edition) -> None:
    """Objects that nobody reads any more: of earlier editions, of runs that came to nothing, and of the stages.

    Of each shard's last emission an object stays, without rows: by it whoever would repeat the emission knows that it
    is out.
    """
    gone = []
    for layer in editions.LAYERS:
        for blob in ports.blobs.list(keys.day_prefix(layer, ports.domain.name, date)):
            if blob.key in edition.objects or not _is_replaced(edition, layer, blob.key):
                continue
            if layer == "gold" and _is_last(edition, blob.key):
                ports.blobs.put(blob.key, parquet.to_bytes(EMITTED.empty_table()))
            else:
                gone.append(blob.key)
    ports.blobs.delete(gone)


def _is_replaced(edition: Edition, layer: str, key: str) -> bool:
    if editions.is_made_anew(key):
        return editions.number_of(key) <= edition.number
    if layer == "gold":
        return edition.replaces_gold(*editions.emission_of(key))
    return edition.replaces(keys.Span.parse(editions.token_of(key)))


def _is_last(edition: Edition, key: str) -> bool:
    if editions.is_made_anew(key):
        return False
    token, generation = editions.emission_of(key)
    return edition.gold.get(token) == generation


def windows_of(ports: Ports, date: str, listed: Iterable[str]) -> pa.Table:
    """The partials (PARTIAL, unmerged) of these gold objects that count."""
    edition = editions.of_listed(ports.blobs, ports.domain.name, date, listed := list(listed))
    names = [key for key in listed if editions.shows_gold(edition, key)]
    tables = [parquet.from_bytes(body).select(PARTIAL.names).cast(PARTIAL) for body in ports.blobs.get_all(names)]
    return pa.concat_tables([columns.empty(PARTIAL), *tables]).unify_dictionaries().combine_chunks()
