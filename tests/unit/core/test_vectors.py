"""Text columns as codes: put one below the other they say what they said."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from levada.core import vectors
from levada.core.vectors import Coded

TEXT = st.text("abü", max_size=3)


@st.composite
def column(draw: st.DrawFn) -> Coded:
    """Nulls, texts that no code stands for, one text in all rows; in order or not, and known to be or not."""
    texts = draw(st.lists(TEXT, max_size=6, unique=True))
    ordered = draw(st.booleans())
    dictionary = pa.array(sorted(texts) if ordered else texts, pa.string())
    if len(texts) == 1 and draw(st.booleans()):
        return Coded.constant(draw(st.integers(0, 4)), dictionary)
    codes = draw(st.lists(st.integers(-1, len(texts) - 1), max_size=6))
    return Coded(np.array(codes, np.int32), dictionary, ascending=ordered)


TABLE = st.tuples(column(), column(), st.booleans()).map(
    lambda drawn: {"a": drawn[0], "b": drawn[1], "c": drawn[0] if drawn[2] else drawn[1]}
)
"""Columns of which two share a dictionary."""


def texts_of(column: Coded) -> list[str | None]:
    found: list[str | None] = column.array().to_pylist()
    return found


@given(st.lists(TABLE, min_size=1, max_size=4))
def test_columns_one_below_the_other_say_what_they_said(tables: list[dict[str, Coded]]) -> None:
    found = vectors.joined(tables)

    for name, column in found.items():
        assert texts_of(column) == [text for table in tables for text in texts_of(table[name])]
        known = column.dictionary.to_pylist()
        assert len(set(known)) == len(known), "equal texts have equal codes"
        assert not column.ascending or known == sorted(known, key=str.encode)
        ranks = vectors.ranks_of(column).tolist()
        order = {text: place for place, text in enumerate(sorted(known, key=str.encode), 1)}
        assert ranks == [order.get(text, 0) for text in texts_of(column)]


@given(column(), st.data())
def test_taken_texts_are_those_at_the_places(column: Coded, data: st.DataObject) -> None:
    n = len(column.codes)
    places = data.draw(st.lists(st.integers(0, n - 1), max_size=8)) if n else []
    start, end = sorted((data.draw(st.integers(0, n)), data.draw(st.integers(0, n))))

    one = vectors.taken({"a": column}, np.array(places, np.int64), len(places))["a"]
    piece = vectors.taken({"a": column}, slice(start, end), end - start)["a"]

    assert texts_of(one) == [texts_of(column)[place] for place in places]
    assert texts_of(piece) == texts_of(column)[start:end]


def test_many_texts_are_put_together_too() -> None:
    """More than ``FEW`` are Arrow's work."""
    tables = [{"a": vectors.coded([pa.array([f"{i + 300 * k}" for i in range(400)])])} for k in range(3)]

    found = vectors.joined(tables)["a"]

    assert texts_of(found) == [text for table in tables for text in texts_of(table["a"])]
    assert len(found.dictionary) == 1000
