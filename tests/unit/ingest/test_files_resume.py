"""Crash anywhere, change the settings, go on: the distinct packs are those of one clean run, byte for byte."""

from __future__ import annotations

import gzip
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from levada.core.errors import UnavailableError
from levada.ingest.files import SAVE_EVERY
from tests.unit.ingest.support import HEADER, KEY, CrashingSink, CrashingStore, Stage, by_position

LINE = st.sampled_from(
    [b"2024-01-01;s1;1;2", b"2024-01-02;s2;3,5;-200", b"2024-01-03;s3;;", b"short", b";;;", b"", b'"', b"\xff;1;2;3"]
)
CALLS = st.sets(st.integers(1, 25), max_size=5)
ATTEMPTS = 25


@given(
    lines=st.lists(LINE, min_size=1, max_size=60),
    packed=st.booleans(),
    sizes=st.lists(st.tuples(st.integers(20, 300), st.integers(1, 9)), min_size=1, max_size=3),
    sink_before=CALLS,
    sink_after=CALLS,
    store_before=CALLS,
    store_after=CALLS,
)
def test_a_load_that_crashes_anywhere_ends_like_one_that_does_not(
    lines: list[bytes],
    packed: bool,
    sizes: list[tuple[int, int]],
    sink_before: set[int],
    sink_after: set[int],
    store_before: set[int],
    store_after: set[int],
) -> None:
    text = HEADER + b"\n" + b"\n".join(lines) + b"\n"
    body = gzip.compress(text, mtime=0) if packed else text
    crashing = Stage(blobs=CrashingStore(store_before, store_after), sink=CrashingSink(sink_before, sink_after))
    status = ""
    for attempt in range(ATTEMPTS):
        # settings change between attempts: a load follows the plan that it began with
        crashing.block_bytes, crashing.pack_rows = sizes[attempt % len(sizes)]
        try:
            status = crashing.load(body).status
            break
        except UnavailableError:
            continue
    ledger = json.loads(crashing.blobs.objects[crashing.ledger()])
    plan = ledger["plan"]
    whole = Stage(block_bytes=plan["block_bytes"], pack_rows=plan["pack_rows"])
    expected = whole.load(body)

    assert status in ("loaded", "duplicate")  # the last put was done, but the answer was lost
    assert ledger["done"]
    assert by_position(crashing.sink.entries) == by_position(whole.sink.entries)
    assert ledger["counts"] == dict(expected.counts)


@pytest.mark.parametrize("crash", [1, 2, 3, 4, 5, 8, 20, 40])
def test_what_is_sent_again_is_what_the_ledger_did_not_know(crash: int) -> None:
    body = HEADER + b"\n" + b"2024-01-01;s1;1;2\n" * 200
    whole = Stage(block_bytes=100, pack_rows=5)
    whole.load(body)
    sink = CrashingSink(set(), {crash})
    stage = Stage(block_bytes=100, pack_rows=5, sink=sink)
    stage.blobs.objects[KEY] = body
    with pytest.raises(UnavailableError):
        stage.load()

    stage.load()

    again = len(sink.entries) - len(whole.sink.entries)
    assert 0 < again <= SAVE_EVERY  # a block of 100 bytes holds 5 rows, one pack
