"""Batches that a trigger gave up: back under the identity they would have had, whatever failed attempts have left."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from levada.core import packs, parquet
from levada.core.packs import NDJSON_GZIP, Header
from levada.ports import Entry
from levadactl.deadletters import listing, plain
from levadactl.deadletters.sending import Choice
from levadactl.deadletters.sending import redrive as run
from levadactl.memory import MemoryBlobStore
from tests.unit.deadletters.fakes import BROKEN, FIXED, Pipeline, Stream, domain, ndjson, reading, token
from tests.unit.deadletters.steps import dry, outstanding, pack, redriven


class CrashError(Exception):
    """The attempt ends here."""


class Limited:
    """Lets so many effects of an attempt happen: objects one by one, records one by one."""

    def __init__(self, effects: int) -> None:
        self.left = effects

    def one(self) -> None:
        if self.left == 0:
            raise CrashError
        self.left -= 1


class CrashingBlobs(MemoryBlobStore):
    def __init__(self, inner: MemoryBlobStore, limit: Limited) -> None:
        super().__init__()
        self.objects, self._limit = inner.objects, limit

    def put(self, key: str, body: bytes) -> None:
        self._limit.one()
        super().put(key, body)

    def put_if(self, key: str, body: bytes, *, etag: str | None) -> str:
        raise CrashError


class CrashingSink:
    def __init__(self, inner: Stream, limit: Limited) -> None:
        self._inner, self._limit = inner, limit

    def put(self, entries: Sequence[Entry]) -> list[str | None]:
        for entry in entries:
            self._limit.one()
            self._inner.put([entry])
        return [None] * len(entries)


def fail(pipeline: Pipeline, shard: int, effects: int, size: int = 100) -> None:
    """One attempt at the next batch, which never commits."""
    batch, limit = pipeline.next_batch(pipeline.raw, shard, size), Limited(effects)
    if batch is not None:
        with pytest.raises(CrashError):
            pipeline.stage(
                pipeline.raw,
                batch,
                blobs=CrashingBlobs(pipeline.memory.blobs, limit),
                sink=CrashingSink(pipeline.clean, limit),
            )


def shard_of(pipeline: Pipeline) -> int:
    return next(i for i, shard in enumerate(pipeline.raw.shards) if shard)


BODIES = [
    pack(*(reading(n) for n in range(3)), source="a#01"),
    json.dumps(reading(3)).encode(),
    json.dumps([reading(4), reading(5)], indent=1).encode(),
    ndjson(reading(6), reading(7)),
    pack(reading(8), reading(9), source="b#02"),
]


@pytest.mark.parametrize("effects", range(12))
def test_whatever_the_last_attempt_had_done_a_discarded_batch_comes_in_once(effects: int) -> None:
    """Silver by the rows' identity, windows by what stands on the clean stream already."""
    pipeline = Pipeline(FIXED)
    pipeline.produce(*BODIES)
    shard = shard_of(pipeline)
    fail(pipeline, shard, effects)
    pipeline.discard(pipeline.raw, shard, 100)
    pipeline.produce(pack(reading(10), source="c#03"))
    pipeline.run()

    report = redriven(pipeline)

    pipeline.holds(*(float(n) for n in range(11)))
    assert (report.batches.selected, report.batches.records, report.batches.sent) == (1, 5, 5)
    assert (report.batches.lost, report.batches.settled) == (0, 1)
    assert not pipeline.queue.messages
    redriven(pipeline)
    pipeline.holds(*(float(n) for n in range(11)))


def test_the_last_attempts_work_is_seen_in_every_state() -> None:
    """The cases above are not all alike: some rows had been published, some objects written."""
    seen = set()
    for effects in range(12):
        pipeline = Pipeline(FIXED)
        pipeline.produce(*BODIES)
        fail(pipeline, shard_of(pipeline), effects)
        objects = sum(1 for _ in pipeline.memory.blobs.list("silver/"))
        seen.add((objects > 0, sum(map(len, pipeline.clean.shards))))

    assert {(False, 0), (True, 0), (True, 1), (True, 2)} <= seen


@pytest.mark.parametrize("calls", [0, 1, 3])
def test_a_redrive_of_a_batch_that_is_cut_short_is_repeated_exactly(calls: int) -> None:
    pipeline = Pipeline(FIXED)
    pipeline.produce(*BODIES)
    shard = shard_of(pipeline)
    fail(pipeline, shard, 7)
    pipeline.discard(pipeline.raw, shard, 100)
    pipeline.raw.fail_at, pipeline.raw.error = calls, KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        run(pipeline.ports, Choice(), dry_run=False)
    pipeline.run()
    assert len(pipeline.queue.messages) == 1
    assert not pipeline.queue.hidden, "somebody else may take it up"

    redriven(pipeline)

    pipeline.holds(*(float(n) for n in range(10)))


@pytest.mark.parametrize("before", [3, 5])
@pytest.mark.parametrize("after", range(2, 9))
def test_a_redriven_batch_that_is_discarded_again_comes_back_once(before: int, after: int) -> None:
    pipeline = Pipeline(FIXED)
    pipeline.produce(*BODIES)
    shard = shard_of(pipeline)
    fail(pipeline, shard, before)
    pipeline.discard(pipeline.raw, shard, 100)
    run(pipeline.ports, Choice(), dry_run=False)
    fail(pipeline, shard, after)
    pipeline.discard(pipeline.raw, shard, 100)

    redriven(pipeline)

    pipeline.holds(*(float(n) for n in range(10)))


def test_a_producer_that_sends_its_pack_again_changes_nothing() -> None:
    pipeline = Pipeline(FIXED)
    pipeline.produce(BODIES[0])
    shard = shard_of(pipeline)
    fail(pipeline, shard, 2)
    pipeline.discard(pipeline.raw, shard, 100)
    redriven(pipeline)
    pipeline.produce(BODIES[0])
    pipeline.run()

    pipeline.holds(0, 1, 2)


def test_bad_rows_of_a_discarded_batch_come_with_it_and_once() -> None:
    """Rows that its attempts had refused are not redriven beside it."""
    pipeline = Pipeline(BROKEN)
    pipeline.produce(pack(reading(1), reading(2, good=False)), ndjson(reading(3, good=False)))
    shard = shard_of(pipeline)
    fail(pipeline, shard, 5)
    pipeline.discard(pipeline.raw, shard, 100)
    pipeline.produce(pack(reading(4), source="c#03"))
    pipeline.run()
    assert dry(pipeline).letters.selected == 0
    assert listing.overview(pipeline.ports)["not_outstanding"]["discarded"] == 2

    report = redriven(pipeline)
    assert (report.batches.failing, report.batches.refused_rows) == ({"not_a_time": 1}, {"not_a_time": 1})
    assert len(outstanding(pipeline)) == 2, "they were refused again, with their batch"
    pipeline.domains = FIXED
    redriven(pipeline)

    pipeline.holds(1, 2, 3, 4)
    assert not outstanding(pipeline)


def test_records_that_no_domain_knows_end_in_quarantine_and_come_back_from_there() -> None:
    pipeline = Pipeline({})
    pipeline.produce(json.dumps([reading(1), reading(2)], indent=1).encode(), packs.MAGIC + b"{}\n")
    shard = shard_of(pipeline)
    fail(pipeline, shard, 0)
    pipeline.discard(pipeline.raw, shard, 100)
    redriven(pipeline)
    redriven(pipeline)
    assert sorted(letter.reason for letter in outstanding(pipeline)) == ["unknown_domain", "unknown_domain"]
    pipeline.domains = FIXED

    report = redriven(pipeline)

    assert report.letters.failing == {"pack_header": 1}
    pipeline.holds(1, 2)


def test_what_the_stream_has_lost_is_said_plainly() -> None:
    pipeline = Pipeline(FIXED)
    pipeline.produce(*BODIES)
    shard = shard_of(pipeline)
    pipeline.discard(pipeline.raw, shard, 100)
    pipeline.forget(shard, 2)

    found = listing.overview(pipeline.ports)["batches"]
    report = redriven(pipeline)

    assert [(one["records"], one["in_stream"], one["lost"]) for one in found] == [(5, 3, 2)]
    assert (report.batches.records, report.batches.lost, report.batches.sent) == (3, 2, 3)
    assert pipeline.silver() == [4, 5, 6, 7, 8, 9]


def test_positions_of_a_stream_that_was_made_again_mean_nothing() -> None:
    pipeline = Pipeline(FIXED)
    pipeline.produce(*BODIES)
    pipeline.discard(pipeline.raw, shard_of(pipeline), 100)
    made_again = int(pipeline.memory.clock.now_s()) + 3600
    pipeline.created_s = lambda arn: made_again  # type: ignore[method-assign]

    report = run(pipeline.ports, Choice(), dry_run=True)

    assert (report.batches.records, report.batches.lost) == (0, 5)


RULES = Pipeline(FIXED).ports.rules
ROWS = st.sampled_from(
    [
        reading(1),
        reading(2, good=False),
        reading(3, t="never"),
        reading(4, a="x"),
        reading(5, sensor="a\nb\r"),
        {"domain": "sim"},
        {"sensor": "s", "t": None, "a": None, "b": 1},
        {"domain": "other", "a": 1},
        [1],
        7,
        None,
    ]
)


@settings(max_examples=300)
@given(
    st.lists(ROWS, min_size=1, max_size=4),
    st.sampled_from(["array", "pretty array", "lines", "crlf", "pretty lines", "cut"]),
    st.sampled_from([FIXED, BROKEN, {}, FIXED | {"other": domain(name="other")}]),
)
def test_a_wrapped_plain_record_gives_the_rows_of_the_plain_one(rows: list[Any], form: str, domains: Any) -> None:
    """The same rows, good and bad, under the same identity; the same reasons."""
    body = FORMS[form](rows)
    one, other = Pipeline(domains), Pipeline(domains)
    one.raw.put([Entry("lane-01", body)])
    shard = shard_of(one)
    name = f"{token(shard)}/{1:056d}"
    header = Header(domain="", tenant="default", source=name, position=0, count=0, codec=NDJSON_GZIP)
    wrapped = plain.wrap(body, header, one.ports.rules)
    other.raw.put([Entry("lane-01", wrapped)])
    one.run()
    other.run()

    assert _identities(one) == _identities(other)
    was, now = ({(r["source"], r["position"], r["row"]): r["reason"] for r in p.quarantined()} for p in (one, other))
    assert was.keys() == now.keys()
    assert all(was[at] == now[at] or now[at] == "unknown_domain" for at in was)


FORMS: dict[str, Callable[[list[Any]], bytes]] = {
    "array": lambda rows: json.dumps(rows).encode(),
    "pretty array": lambda rows: json.dumps(rows, indent=1).encode(),
    "lines": lambda rows: ndjson(*rows),
    "crlf": lambda rows: b"\r\n".join(json.dumps(row).encode() for row in rows) + b"\r\n\n",
    "pretty lines": lambda rows: b"\n".join(json.dumps(row, indent=1).encode() for row in rows),
    "cut": lambda rows: json.dumps(rows).encode()[:-2],
}


def _identities(pipeline: Pipeline) -> list[Any]:
    blobs = pipeline.memory.blobs
    names = ("source", "position", "row", "metric", "time", "value")
    rows = [row for b in blobs.list("silver/") for row in parquet.from_bytes(blobs.get(b.key)[0]).to_pylist()]
    return sorted(([row[name] for name in names] for row in rows), key=str)
