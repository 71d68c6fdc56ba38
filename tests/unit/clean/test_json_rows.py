"""JSON objects to columns: a bad one never shifts its neighbours, however many there are (B9, B12)."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from levada.clean.json_rows import BLOCK, INDEX, MANY, read
from levada.domains.declaration import Domain, Metric, Time

DOMAIN = Domain(
    name="d",
    time=Time(columns=("t",), formats=("%Y",)),
    metrics={"a": Metric("a"), "b": Metric("b")},
    keys={"unit": "u"},
)
KINDS: dict[str, tuple[bytes, str | None]] = {
    "numbers": (b'{"t":"2004","u":"x","a":1.5,"b":2}', None),
    "text": (b'{"t":"2004","u":7,"a":" 1,5 ","b":null}', None),
    "word": (b'{"t":"2004","a":"warm","b":"hot"}', "not_a_number"),
    "cut": (b'{"t":"2004","a":1', "not_json"),
    "list": (b"[1]", "not_an_object"),
    "nested": (b'{"t":"2004","a":{}}', "not_a_number"),
    "other": (b'{"c":1}', "no_known_field"),
    "elsewhere": (b'{"a":1,"domain":"e"}', "unknown_domain"),
}


@given(st.lists(st.sampled_from(sorted(KINDS)), max_size=40))
def test_each_object_is_judged_by_itself_and_rows_know_theirs(kinds: list[str]) -> None:
    rows, bad = read([KINDS[kind][0] for kind in kinds], DOMAIN, own=True)

    assert {b.row: b.reason for b in bad} == {i: KINDS[k][1] for i, k in enumerate(kinds) if KINDS[k][1]}
    assert len(bad) == len({b.row for b in bad})
    assert rows[INDEX].to_pylist() == [i for i, kind in enumerate(kinds) if KINDS[kind][1] is None]
    assert set(rows["a"].to_pylist()) <= {1.5}
    assert set(rows["u"].to_pylist()) <= {"x", "7"}


def _object(i: int, *, text: bool) -> dict[str, Any]:
    return {"t": "2004", "u": f"u{i}", "a": f"{i},5" if text else i + 0.5, "b": i}


@pytest.mark.parametrize("every", [1, 2, 7, 10**9], ids="text in each {}".format)
@pytest.mark.parametrize("n", [MANY, BLOCK - 1, BLOCK, 2 * BLOCK + 3])
def test_numbers_written_as_text_are_numbers_wherever_they_begin(n: int, every: int) -> None:
    items = [_object(i, text=i % every == every - 1) for i in range(n)]
    broken = {5, n // 2, n - 1}
    lines = [b"{" if i in broken else json.dumps(item).encode() for i, item in enumerate(items)]

    rows, bad = read(lines, DOMAIN)

    kept = [i for i in range(n) if i not in broken]
    assert rows[INDEX].to_pylist() == kept
    assert rows["a"].to_pylist() == [i + 0.5 for i in kept]
    assert rows["u"].to_pylist() == [f"u{i}" for i in kept]
    assert [b.row for b in bad] == sorted(broken)


def test_a_word_for_a_number_is_named_with_its_object_in_every_block() -> None:
    lines = [b'{"a":1}'] * (BLOCK + 9)
    lines[3] = lines[BLOCK + 2] = b'{"a":"warm","b":"hot"}'

    rows, bad = read(lines, DOMAIN)

    assert sorted((b.row, b.detail, b.payload) for b in bad) == [
        (3, "a='warm'", lines[3]),
        (BLOCK + 2, "a='warm'", lines[3]),
    ]
    assert rows.num_rows == BLOCK + 7


def test_nothing_gives_no_rows_of_the_right_columns() -> None:
    rows, bad = read([], DOMAIN)

    assert (rows.num_rows, bad, rows.schema.names) == (0, [], ["t", "u", "a", "b", INDEX])


def test_another_domain_may_be_named_where_the_pack_has_said_whose_it_is() -> None:
    assert read([KINDS["elsewhere"][0]], DOMAIN)[0].num_rows == 1
