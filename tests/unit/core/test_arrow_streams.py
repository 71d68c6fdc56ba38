"""Arrow bodies read together say what each says by itself, whatever stands in them (D13)."""

from __future__ import annotations

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from levada.core import arrowstream, columns, packs
from levada.core.errors import BadRecordError

CELLS = st.lists(st.tuples(st.sampled_from(["a", "b", "ö", None]), st.none() | st.floats()), max_size=4)


def stream(table: pa.Table, *, rows: int = 10, compression: str | None = None) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema, options=pa.ipc.IpcWriteOptions(compression=compression)) as writer:
        for batch in table.to_batches(max_chunksize=rows):
            writer.write(batch)
    return bytes(sink.getvalue().to_pybytes())


def table_of(cells: list[tuple[str | None, float | None]], *, coded: bool) -> pa.Table:
    texts = pa.array([text for text, _ in cells], pa.string())
    values = pa.array([value for _, value in cells], pa.float64())
    return pa.table({"text": texts.dictionary_encode() if coded else texts, "value": values})


@st.composite
def bodies(draw: st.DrawFn) -> list[bytes]:
    """Of one or two schemas, some with bytes that are not as they were written."""
    found = []
    for _ in range(draw(st.integers(1, 5))):
        raw = bytearray(
            stream(table_of(draw(CELLS), coded=draw(st.booleans())), rows=draw(st.sampled_from([1, 2, 10])))
        )
        for _ in range(draw(st.sampled_from([0, 0, 0, 1, 3]))):
            raw[draw(st.integers(0, len(raw) - 1))] = draw(st.sampled_from([0, 1, 2, 8, 255]))
        end = draw(st.sampled_from([len(raw), len(raw), len(raw), len(raw) - 8, len(raw) // 2]))
        found.append(packs.compress(bytes(raw[:end]), packs.ARROW_ZSTD))
    return found


def alone(body: bytes) -> pa.Table | BadRecordError:
    try:
        return columns.from_bytes(body, full=True)
    except BadRecordError as err:
        return err


def shown(found: pa.Table | BadRecordError) -> tuple[str, str]:
    if isinstance(found, BadRecordError):
        return found.reason, found.detail
    return str(found.schema), str(found.to_pylist())


@given(bodies())
def test_what_bodies_say_together_is_what_each_says_alone(found: list[bytes]) -> None:
    assert [shown(one) for one in columns.from_all(found)] == [shown(alone(body)) for body in found]


def test_a_corrupt_body_takes_none_of_those_beside_it_with_it() -> None:
    good = stream(table_of([("a", 1.0), ("b", 2.0)], coded=False))
    corrupt = good.replace(b"ab", b"\xff\xfe")
    assert corrupt != good

    found = columns.from_all([packs.compress(raw, packs.ARROW_ZSTD) for raw in (good, corrupt, good)])

    assert [isinstance(one, pa.Table) for one in found] == [True, False, True]
    assert shown(found[0]) == shown(found[2])


def test_a_body_without_its_dictionary_does_not_borrow_that_of_another() -> None:
    whole = stream(table_of([("a", 1.0)], coded=True))
    messages = pa.ipc.MessageReader.open_stream(whole)
    lacking = b"".join(m.serialize().to_pybytes() for m in messages if m.type != "dictionary")
    assert arrowstream.frames(lacking).dictionaries == ()

    found = columns.from_all([packs.compress(raw, packs.ARROW_ZSTD) for raw in (whole, lacking)])

    assert isinstance(found[0], pa.Table)
    assert isinstance(found[1], BadRecordError)


@pytest.mark.parametrize("compression", ["zstd", "lz4"])
def test_a_body_that_is_compressed_within_is_refused_beside_one_that_is_not(compression: str) -> None:
    table = table_of([("a", 1.0)] * 1000, coded=False)

    found = columns.from_all(
        [packs.compress(stream(table, rows=1000, compression=how), packs.ARROW_ZSTD) for how in (None, compression)]
    )

    assert isinstance(found[0], pa.Table)
    assert isinstance(found[1], BadRecordError)
    assert "compressed within" in found[1].detail


def test_frames_tell_rows_and_dictionaries() -> None:
    frames = arrowstream.frames(stream(table_of([("a", 1.0), ("b", 2.0), ("a", 3.0)], coded=True), rows=2))

    assert (frames.rows, frames.dictionaries, frames.compressed, frames.plain) == (3, (0,), False, True)
