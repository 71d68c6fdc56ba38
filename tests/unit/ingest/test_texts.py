"""Encodings, JSON arrays and values laid out over lines: all of them the lines that a plain file would have."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from levada.ingest import texts
from levada.ingest.content import CSV, NDJSON, survey
from levada.ingest.texts import LATIN, UNENDED, UTF8, UTF16_BE, UTF16_LE
from tests.unit.ingest.support import HEADER, Stage, by_position, canonical
from tests.unit.ingest.support import TINY as DOMAIN


class Dripping(io.BytesIO):
    """Gives a few bytes at a time, whatever it is asked for."""

    def __init__(self, data: bytes, step: int) -> None:
        super().__init__(data)
        self._step = step

    def read(self, size: int | None = -1, /) -> bytes:
        return super().read(self._step if size is None or size < 0 else min(size, self._step))


def lines(data: bytes, kind: str = NDJSON, *, step: int = 1 << 20, size: int = 100, declared: str = "") -> bytes:
    content = survey(io.BytesIO(data))
    stream = texts.as_lines(Dripping(data, step), content, kind, declared)
    return b"".join(iter(lambda: stream.read(size), b""))


SCALAR = st.none() | st.booleans() | st.integers(-9, 99) | st.text(max_size=6)
VALUE = st.recursive(
    SCALAR | st.sampled_from(["[", "]},{", '"', "\\", ","]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@given(items=st.lists(VALUE, max_size=12), indent=st.none() | st.integers(0, 2), step=st.integers(1, 50))
def test_an_array_is_its_items_one_a_line(items: list[Any], indent: int | None, step: int) -> None:
    found = lines(json.dumps(items, indent=indent).encode(), step=step)

    assert [json.loads(line) for line in found.split(b"\n") if line.strip()] == items


@given(items=st.lists(st.dictionaries(st.text(max_size=3), VALUE, min_size=1, max_size=3), min_size=1, max_size=9))
def test_objects_laid_out_over_lines_are_one_a_line(items: list[Any]) -> None:
    found = lines("\n".join(json.dumps(one, indent=2) for one in items).encode(), step=7)

    assert [json.loads(line) for line in found.split(b"\n") if line.strip()] == items


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"[]", [b"", b""]),
        (b"[1, [2,\n3],{}]", [b"1", b" [2, 3]", b"{}", b""]),
        (b'[{"a":1},{"a":', [b'{"a":1}', b'{"a":', UNENDED]),
        (b'[{"a":1},', [b'{"a":1}', b"", UNENDED]),
        (b'[{"a":"x', [b'{"a":"x', UNENDED]),
        (b"[1] 2]", [b"1", b" 2]", b""]),
        (b'[1]{"a":2}', [b"1", b'{"a":2}', b""]),
    ],
)
def test_nothing_of_a_broken_array_is_left_out(text: bytes, expected: list[bytes]) -> None:
    assert lines(text).split(b"\n") == expected


@given(data=st.binary(max_size=300).map(lambda d: b"[" + d), step=st.integers(1, 90))
def test_whatever_begins_like_an_array_keeps_all_its_bytes(data: bytes, step: int) -> None:
    """Only commas between items, the outer brackets, blanks and line ends may go."""
    gone = dict.fromkeys(b"\r\n\t ,[]\x0b\x0c")
    kept = lines(data, step=step).removesuffix(UNENDED).translate(None, bytes(gone))

    assert kept == data.translate(None, bytes(gone))


def test_a_string_without_an_end_neither_fills_the_memory_nor_hangs() -> None:
    data = b'[1,"' + b"x" * (3 * texts.MAX_STRING_BYTES)

    assert lines(data, size=1 << 20).startswith(b'1\n"xxx')


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a;b\n".encode("utf-16"), UTF16_LE),
        ("\ufeffa;b\n".encode("utf-16-be"), UTF16_BE),
        ("Zürich;b\n".encode(), UTF8),
        ("Zürich;b\n".encode("cp1252"), LATIN),
        ("ü" * 40_000).encode()[:65536] and (("x" + "ü" * 40_000).encode(), UTF8),
        (b'{"a":"\xfc"}\n', UTF8),
        (b"a;b\n\xfc;1\n", UTF8),
    ],
)
def test_the_beginning_tells_the_encoding(text: bytes, expected: str) -> None:
    assert texts.encoding_of(survey(io.BytesIO(text)).head) == expected


def test_a_domain_that_names_its_encoding_is_believed_unless_a_mark_says_otherwise() -> None:
    assert texts.encoding_of(b"a;b\n\xfc", LATIN) == LATIN
    assert texts.encoding_of(b"\xff\xfea\0", LATIN) == UTF16_LE
    assert texts.encoding_of(b"\xef\xbb\xbfa", LATIN) == UTF8
    assert lines(b"a\n\xfc\x80\x81", CSV, declared=LATIN) == "a\nü€\x81".encode()


@given(text=st.text(st.characters(exclude_categories=["Cs"]), max_size=200), step=st.integers(1, 9))
def test_utf_16_is_the_same_text_in_utf_8(text: str, step: int) -> None:
    assert lines(("\ufeff" + text).encode("utf-16-be"), CSV, step=step) == text.removeprefix("\ufeff").encode()


def test_half_a_character_of_utf_16_is_a_line_that_is_no_text_and_the_others_are_read() -> None:
    good = "t;id;a;b\n2024-01-01;s;1;2\n".encode("utf-16-le")
    body = b"\xff\xfe" + good + b"\x00\xd8;\0\n\0" + "2024-01-02;s;1;2\n".encode("utf-16-le")
    stage = Stage()

    outcome = stage.load(body)

    assert (outcome.counts["rows_read"], outcome.counts["bad_rows"]) == (2, 1)


ROWS = HEADER + "".join(f"\n2024-01-{day:02d};Größe {day};1,5;{day}" for day in range(1, 29)).encode() + b"\n"
ITEMS = [{"t": f"2024-01-{day:02d}", "id": f"Größe {day}", "a": 1.5, "b": day} for day in range(1, 29)]


def rows_of(stage: Stage) -> list[str]:
    return sorted(json.dumps(row, default=str) for row in canonical(stage.sink.entries, DOMAIN)[0])


@pytest.mark.parametrize(
    ("key", "body"),
    [
        ("a.csv", ROWS.decode().encode("utf-16")),
        ("a.json", json.dumps(ITEMS, ensure_ascii=False, indent=1).encode()),
        ("b.json", json.dumps(ITEMS).encode("utf-16")),
        ("c.json", "\n".join(json.dumps(one, indent=1) for one in ITEMS).encode()),
    ],
)
def test_however_it_is_written_a_file_gives_the_same_rows(key: str, body: bytes) -> None:
    plain, other = Stage(), Stage(block_bytes=200)
    plain.load(ROWS)

    outcome = other.load(body, f"landing/tiny/{key}")

    assert (outcome.status, outcome.counts["rows_read"]) == ("loaded", 28)
    assert rows_of(other) == rows_of(plain)
    assert len(by_position(other.sink.entries)) == outcome.counts["packs"]
