"""A file loaded in pieces: the rows of one load, whatever order, crash or repetition the pieces meet."""

from __future__ import annotations

import io
import json
import random
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from levada.core.errors import UnavailableError
from levada.ingest import files
from levada.ingest.files import DUPLICATE, GONE, LOADED, SPLIT, FilesDeps, Outcome
from levada.ingest.ledger import Progress
from levada.ingest.pieces import Order, cut
from tests.unit.ingest.support import HEADER, KEY, CrashingSink, CrashingStore, Stage, by_position, canonical
from tests.unit.ingest.support import TINY as DOMAIN

LINE = st.sampled_from(
    [b"2024-01-01;s1;1;2", b"2024-01-02;s2;3,5;-200", b"2024-01-03;s3;;", b"short", b";;;", b"", b'"', b"\xff;1;2;3"]
)
CALLS = st.sets(st.integers(1, 40), max_size=6)
PIECE_BYTES = 60


class Splitting(Stage):
    """The stage with other invocations to hand events to; they wait in ``orders``."""

    orders: list[dict[str, Any]]

    def deps(self) -> FilesDeps:
        self.orders = getattr(self, "orders", [])
        return replace(super().deps(), start=self.orders.append, split_bytes=1, piece_bytes=PIECE_BYTES)

    def handle(self, event: dict[str, Any]) -> Outcome:
        return files.load_piece(Order.from_event(event), self.deps(), remaining_s=lambda: 900.0)


def rows(stage: Stage) -> list[str]:
    """Distinct packs' rows and refused lines with their line numbers, however they were sent."""
    once = {position: entry for entry in stage.sink.entries for position in by_position([entry])}
    good, bad = canonical(list(once.values()), DOMAIN)
    return sorted([json.dumps(r, default=str) for r in good] + [str(one) for one in bad])


@given(lines=st.lists(LINE, max_size=80), piece_bytes=st.integers(1, 300), ended=st.booleans())
def test_pieces_are_the_lines_of_the_file_each_once_with_their_numbers(
    lines: list[bytes], piece_bytes: int, ended: bool
) -> None:
    text = HEADER + b"\n" + b"\n".join(lines) + (b"\n" if ended and lines else b"")
    start = len(HEADER) + 1
    stream = io.BytesIO(text)
    stream.seek(start)

    found = list(cut(stream, Progress(offset=start, line=2), piece_bytes))

    assert b"".join(text[p.start : p.end] for p in found) == text[start:]
    assert all(text[p.end - 1 : p.end] == b"\n" for p in found[:-1])
    assert all(p.end - p.start >= piece_bytes for p in found[:-1])
    assert [p.line for p in found] == [text.count(b"\n", 0, p.start) + 1 for p in found]


@settings(max_examples=50)
@given(
    lines=st.lists(LINE, min_size=12, max_size=40),
    seed=st.integers(0, 2**16),
    sink_before=CALLS,
    sink_after=CALLS,
    store_before=CALLS,
    store_after=CALLS,
)
def test_pieces_that_crash_repeat_and_overtake_end_like_one_load(
    lines: list[bytes],
    seed: int,
    sink_before: set[int],
    sink_after: set[int],
    store_before: set[int],
    store_after: set[int],
) -> None:
    body = HEADER + b"\n" + b"\n".join(lines) + b"\n"
    assume(len(body) > len(HEADER) + 1 + 2 * PIECE_BYTES)  # smaller ones are one piece, and then they are not cut
    dice = random.Random(seed)
    split = Splitting(
        blobs=CrashingStore(store_before, store_after), sink=CrashingSink(sink_before, sink_after), block_bytes=50
    )
    split.blobs.objects[KEY] = body
    for _ in range(400):  # S3's event comes again, and so does every order, in any order, until nothing crashes
        try:
            if dice.random() < 0.2 or not getattr(split, "orders", []):
                outcome = split.load()
                if outcome.status in (LOADED, DUPLICATE):
                    break
            else:
                split.handle(dice.choice(split.orders))
        except UnavailableError:
            continue
    whole = Stage(block_bytes=50)
    expected = whole.load(body)

    assert rows(split) == rows(whole)
    ledger = json.loads(next(b for k, b in split.blobs.objects.items() if "checkpoints" in k and "pieces" in str(b)))
    assert ledger["done"]
    same = ("lines", "rows_read", "bad_rows", "empty_rows", "bytes")
    assert {name: ledger["counts"][name] for name in same} == {name: expected.counts[name] for name in same}
    assert ledger["counts"]["packs"] == len(by_position(split.sink.entries))


@pytest.fixture
def split() -> Splitting:
    stage = Splitting(block_bytes=50)
    stage.blobs.objects[KEY] = HEADER + b"\n" + b"2024-01-01;s1;1;2\n" * 30
    return stage


def test_the_file_is_done_with_its_last_piece_and_says_so(split: Splitting) -> None:
    first = split.load()
    orders = list(split.orders)
    answers = [split.handle(order) for order in reversed(orders)]

    assert (first.status, first.reason) == (SPLIT, f"{len(orders)} of {len(orders)} pieces to load")
    assert len(orders) > 3
    assert [a.status for a in answers] == [LOADED] * len(orders)
    assert sum(a.counts["rows_read"] for a in answers) == 30
    again = split.load()
    assert (again.status, again.counts["rows_read"], again.counts["lines"]) == (DUPLICATE, 30, 31)


def test_an_event_that_comes_again_orders_what_is_missing_only(split: Splitting) -> None:
    split.load()
    orders = list(split.orders)
    split.handle(orders[1])
    split.orders.clear()

    assert split.load().status == SPLIT
    assert split.orders == [order for order in orders if order != orders[1]]


def test_pieces_of_a_lost_stream_are_sent_again(split: Splitting) -> None:
    split.load()
    for order in list(split.orders):
        split.handle(order)
    sent = len(split.sink.entries)
    split.topology.created += 100
    split.orders.clear()

    assert split.load().status == SPLIT
    for order in list(split.orders):
        split.handle(order)

    assert len(split.sink.entries) == 2 * sent
    assert split.load().status == DUPLICATE


def test_a_stream_that_was_made_again_long_after_leaves_a_loaded_file_alone(split: Splitting) -> None:
    split.load()
    for order in list(split.orders):
        split.handle(order)
    split.topology.created += 100
    split.clock.time_s += 100 * 3600

    assert split.load().status == DUPLICATE


def test_a_piece_of_an_object_that_was_replaced_is_gone(split: Splitting) -> None:
    split.load()
    split.blobs.objects[KEY] += b"2024-01-01;s1;1;2\n"

    assert split.handle(split.orders[0]).status == GONE
    assert split.sink.entries == []


@pytest.mark.parametrize("key", ["landing/tiny/a.csv.gz", "landing/tiny/a.json", "landing/tiny/a.csv"])
def test_what_is_not_plain_or_not_large_is_loaded_as_one(key: str) -> None:
    import gzip

    stage = Splitting()
    body = HEADER + b"\n" + b"2024-01-01;s1;1;2\n" * 30
    items = json.dumps([{"t": "2024-01-01", "id": "s", "a": 1, "b": 2}] * 30).encode()
    stage.blobs.objects[key] = {"gz": gzip.compress(body), "on": items, "sv": HEADER + b"\n1;2;3;4\n"}[key[-2:]]

    assert stage.load(key=key).status == LOADED
    assert stage.orders == []


def test_a_ledger_of_before_there_were_pieces_is_read(split: Splitting) -> None:
    plain = Stage(blobs=split.blobs)
    plain.load()

    assert split.load().status == DUPLICATE
    assert split.orders == []
