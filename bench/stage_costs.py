"""The whole clean stage, its stores faked: what fences and checkpoint add to it, and its memory over many batches."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from bench import harness
from bench.data import FIRST_SEQUENCE, NOW_S, SENSORS, Input, arrow_packs, lambda_event, ndjson_packs, single_events
from bench.harness import Subject
from levada.clean import outgoing, stage
from levada.clean.state import STAGE, CleanState
from levada.core import applied, keys, kinesis_event, packs
from levada.core.errors import ConflictError
from levada.core.kinesis_event import Batch
from levada.core.packs import NDJSON_ZSTD, Header
from levada.core.positions import ShardToken
from levada.ports import Entry
from levadactl.memory import ManualClock, MemoryBlobStore, MemoryTopology

FORMS = ("single", "ndjson_zstd", "arrow_text", "arrow_typed")
BATCHES = 200
SOURCES = (128, 4_096, 65_536)
"""Sources that the checkpoint knows: four files of 32 lanes within the fences' horizon, 128 of them, 2,048 of them."""
LIMIT = 0.05


class FakeStore(MemoryBlobStore):
    """Takes everything, keeps only the last checkpoint, hashes nothing: its calls cost nothing."""

    def __init__(self, body: bytes | None = None) -> None:
        super().__init__()
        self.body, self.etag = body, 0
        self.keep = False
        """Whether a checkpoint that is put is the one that is got next."""

    def put_all(self, objects: Iterable[tuple[str, bytes]]) -> None:
        for _ in objects:
            pass

    def put_if(self, key: str, body: bytes, *, etag: str | None) -> str:
        if etag != self._etag():
            raise ConflictError(key)
        if self.keep:
            self.body, self.etag = body, self.etag + 1
        return str(self._etag())

    def get(self, key: str) -> tuple[bytes, str]:
        if self.body is None:
            raise KeyError(key)
        return self.body, str(self._etag())

    def _etag(self) -> str | None:
        return None if self.body is None else str(self.etag)


class FakeSink:
    """A stream that takes every record and forgets it, unless it is to keep them."""

    kept: list[Entry] | None = None

    def put(self, entries: Sequence[Entry]) -> list[str | None]:
        if self.kept is not None:
            self.kept += entries
        return [None] * len(entries)


def deps(blobs: FakeStore) -> stage.CleanDeps:
    return stage.CleanDeps(
        blobs=blobs,
        sink=FakeSink(),
        topology=MemoryTopology(),
        clock=ManualClock(NOW_S),
        domains={SENSORS.name: SENSORS},
        tenant="default",
        max_skew_s=600,
        fence_horizon_h=48,
    )


def make(form: str, events: int) -> Input:
    if form == "single":
        return single_events(events, bad_share=0.01)
    if form == "ndjson_zstd":
        return ndjson_packs(events, NDJSON_ZSTD, bad_share=0.01)
    return arrow_packs(events, typed=form == "arrow_typed", bad_share=0.01)


def shares(events: int, repeats: int) -> list[dict[str, Any]]:
    """By form and size of the checkpoint: the part of the stage's CPU time that fences and checkpoint take."""
    return [_share(form, sources, events, repeats) for form in FORMS for sources in SOURCES]


def _share(form: str, sources: int, events: int, repeats: int) -> dict[str, Any]:
    given = make(form, events)
    store = FakeStore(_checkpoint(sources))
    sink = FakeSink()
    context = replace(deps(store), sink=sink)
    n = given.good + given.bad

    def run() -> None:
        batch = kinesis_event.parse(given.event)
        assert batch is not None
        found = stage.run(batch, context)
        assert (found.rows, found.quarantined) == (given.good, given.bad)

    sink.kept = []
    run()
    lanes = [packs.split(entry.data)[0] for entry in sink.kept]
    sink.kept = None
    batch = kinesis_event.parse(given.event)
    assert batch is not None
    headers = [packs.split(data)[0] for data in batch.data if packs.is_pack(data)]

    def own() -> None:
        _fences_and_checkpoint(batch, headers, lanes, context)

    pair = [Subject("stage", "", n, run), Subject("own", "", n, own)]
    times = harness.interleave(pair, repeats)
    share = statistics.median(b / a for a, b in zip(times["stage"], times["own"], strict=True))
    stage_us, own_us = (statistics.median(times[name]) / n * 1e6 for name in ("stage", "own"))
    return {
        "form": form,
        "events": n,
        "sources": sources,
        "lanes": len(lanes),
        "stage_us": stage_us,
        "own_us": own_us,
        "share": share,
        "reached": share < LIMIT,
    }


def _fences_and_checkpoint(
    batch: Batch, headers: Sequence[Header], lanes: Sequence[Header], context: stage.CleanDeps
) -> None:
    """What the stage does for a batch so that it counts once, and nothing else of it: in the stage's own words."""
    token = ShardToken.of(context.topology.created_s(batch.arn), batch.shard_id)
    state, etag = stage._load(batch.arn, token, context)
    first = batch.first_after(state.mark)
    for header in headers:
        assert state.fences.apply(header.source, header.position, NOW_S)
    chain = outgoing.Chain(state.lanes, NOW_S)
    for header in lanes:
        after, until = applied.stretch(header)
        assert chain.end(header.source) == after
        chain.move(header.source, until)
    chain.keep()
    state.mark, state.updated_s = int(batch.sequences[-1]), NOW_S
    state.fences.expire(NOW_S - context.fence_horizon_h * 3600)
    state.lanes.expire(NOW_S - context.fence_horizon_h * 3600)
    context.blobs.put_if(keys.checkpoint(STAGE, token), state.to_checkpoint().to_bytes(), etag=etag)
    assert not first


def _checkpoint(sources: int) -> bytes:
    state = CleanState(mark=FIRST_SEQUENCE - 1, updated_s=NOW_S)
    for i in range(sources):
        # the size does not depend on how many packs of a source came, as long as they came without a gap
        state.fences.apply(f"file/bench/default/{i // 32:032x}#{i % 32:02d}", 0, NOW_S - i)
    return state.to_checkpoint().to_bytes()


def memory_over_batches(form: str, events: int) -> dict[str, Any]:
    """Resident memory of a process that applies batch after batch, each with new positions."""
    given = make(form, events)
    store = FakeStore()
    store.keep = True
    context = deps(store)
    batch = kinesis_event.parse(given.event)
    assert batch is not None
    datas = list(batch.data)
    after: dict[int, float] = {}
    rows = 0
    for n in range(BATCHES):
        event = lambda_event([_moved(data, n) for data in datas], first=FIRST_SEQUENCE + n * 16 * len(datas))
        fresh = kinesis_event.parse(event)
        assert fresh is not None
        rows += stage.run(fresh, context).rows
        after[n + 1] = harness.rss_mib()
    assert rows == given.good * BATCHES, f"{rows} rows, not {given.good * BATCHES}"
    return {
        "form": form,
        "events": given.good + given.bad,
        "after_20_mib": after[20],
        "after_200_mib": after[BATCHES],
        "peak_mib": harness.peak_mib(),
    }


def _moved(data: bytes, by: int) -> bytes:
    """The pack as the one that many batches later comes from the same source; a plain record as it is."""
    if not packs.is_pack(data):
        return data
    header, body = packs.split(data)
    lines = header.to_json() | {"position": header.position + 1000 * by}
    del lines["v"]
    return packs.encode(packs.Header(**lines), body)
