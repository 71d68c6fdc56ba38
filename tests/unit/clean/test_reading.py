"""A batch of all forms at once: rows leave in the order of the stream, whatever order they were read in (B15, D27)."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from levada.clean.reading import Rules, read
from levada.core import packs
from levada.core.packs import NDJSON_GZIP, NDJSON_ZSTD, Header
from levada.domains.air_quality import AIR_QUALITY
from tests.builders import batch, pack, source_row

RULES = Rules(domains={"air_quality": AIR_QUALITY}, tenant="t", latest_us=2**62)


def _lines(n: int, codec: str) -> bytes:
    header = Header(domain="air_quality", tenant="t", source="s#01", position=n, count=2, codec=codec)
    return packs.encode(header, packs.compress(b"\n".join([_single(n), _single(n + 1)]), codec))


def _single(n: int, **changes: Any) -> bytes:
    return json.dumps(source_row(n) | changes).encode()


FORMS = {
    "one object": lambda n: _single(n),
    "an array": lambda n: b"[" + _single(n) + b"," + _single(n) + b"]",
    "two lines": lambda n: _single(n) + b"\n" + _single(n),
    "a pack of columns": lambda n: pack([source_row(n), source_row(n + 1)], n=n),
    "a pack of lines": lambda n: _lines(n, NDJSON_ZSTD),
    "a pack of lines, gzip": lambda n: _lines(n, NDJSON_GZIP),
}


@given(st.lists(st.sampled_from(sorted(FORMS)), min_size=1, max_size=12), st.data())
def test_rows_ascend_by_record_and_row(forms: list[str], data: st.DataObject) -> None:
    first = data.draw(st.integers(0, len(forms) - 1))

    found = read(batch([FORMS[form](n) for n, form in enumerate(forms)]), first, RULES, lambda _: True)

    (wide,) = found.tables
    where = list(zip(wide.rows["rec"].to_pylist(), wide.rows["row"].to_pylist(), strict=True))
    assert where == [(i, row) for i in range(first, len(forms)) for row in range(1 if forms[i] == "one object" else 2)]
    assert sorted(found.records["air_quality"]) == list(range(first, len(forms)))
    assert not found.bad


@pytest.mark.parametrize("form", FORMS)
def test_a_bad_row_is_named_by_its_record_and_row_and_kept_as_it_came(form: str) -> None:
    bodies = [FORMS[form](n) for n in range(3)]
    bad = _single(7, Date="31/02/2004")
    lines = Header(domain="air_quality", tenant="t", source="s#02", position=0, count=2, codec=NDJSON_ZSTD)
    bodies.insert(2, packs.encode(lines, packs.compress(_single(8) + b"\n" + bad, NDJSON_ZSTD)))
    bodies.insert(1, bad)

    found = read(batch(bodies), 0, RULES, lambda _: True)

    assert sorted((b.record, b.row, b.reason, b.payload) for b, _ in found.bad) == [
        (1, 0, "not_a_time", bad),
        (3, 1, "not_a_time", bad),
    ]
