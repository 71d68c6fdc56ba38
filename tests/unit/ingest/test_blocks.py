"""Blocks are whole lines, together they are the file, and they begin and end in the same places on every attempt."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from levada.ingest import blocks as module
from levada.ingest.blocks import MAX_LINE_BYTES, Block, blocks


class Trickle:
    """A stream whose reads give less than they are asked for."""

    def __init__(self, data: bytes, step: int) -> None:
        self._stream, self._step = io.BytesIO(data), step

    def read(self, size: int, /) -> bytes:
        return self._stream.read(min(size, self._step))


def cut(data: bytes, block_bytes: int, *, start: int = 0, step: int = 1 << 20) -> list[Block]:
    return list(blocks(Trickle(data[start:], step), start=start, block_bytes=block_bytes))


TEXT = st.lists(st.binary(max_size=12).map(lambda b: b.replace(b"\n", b"")), max_size=12).map(b"\n".join)


@given(data=TEXT, block_bytes=st.integers(1, 40), step=st.integers(1, 9))
def test_blocks_are_whole_lines_and_make_up_the_file_however_it_trickles_in(
    data: bytes, block_bytes: int, step: int
) -> None:
    found = cut(data, block_bytes, step=step)

    assert b"".join(b.data for b in found) == data
    assert all(b.data.endswith(b"\n") for b in found[:-1])
    assert found == cut(data, block_bytes)


@given(data=TEXT, block_bytes=st.integers(1, 40))
def test_a_later_attempt_that_begins_at_a_block_makes_the_same_blocks_from_there(data: bytes, block_bytes: int) -> None:
    found = cut(data, block_bytes)

    for i, block in enumerate(found):
        assert cut(data, block_bytes, start=block.start) == found[i:]


@given(lines=st.lists(st.integers(0, 12), max_size=10), end=st.booleans(), block_bytes=st.integers(1, 60))
def test_a_line_that_is_too_long_stands_alone_and_is_cut(lines: list[int], end: bool, block_bytes: int) -> None:
    limit = 8
    whole = b"\n".join(b"x" * n for n in lines) + (b"\n" if end else b"")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "MAX_LINE_BYTES", limit)
        found = cut(whole, block_bytes)

    assert [b.start for b in found[1:]] == [b.end for b in found[:-1]]
    assert (found[-1].end if found else 0) == len(whole)
    assert [len(b.data) for b in found if b.too_long] == [limit] * sum(n > limit for n in lines)
    assert b"".join(b.data for b in found if not b.too_long).split() == [b"x" * n for n in lines if 0 < n <= limit]


def test_a_long_line_costs_no_memory() -> None:
    """The stream makes up 1 GB; what is held of it is a block."""

    class Endless:
        left = 1 << 30

        def read(self, size: int, /) -> bytes:
            size = min(size, self.left)
            self.left -= size
            return b"x" * size

    (block,) = blocks(Endless(), start=0, block_bytes=1 << 20)

    assert (block.too_long, block.end, len(block.data)) == (True, 1 << 30, MAX_LINE_BYTES)
