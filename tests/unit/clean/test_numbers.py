"""Numbers and their judgement: decimal comma or point, sentinels, ranges; a word is no number (B12, B13, B14)."""

from __future__ import annotations

import math
from dataclasses import replace

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.data import SENSORS
from levada.clean.numbers import FEW, is_word, judge, parse
from levada.core.records import Quality
from levada.domains.declaration import Metric


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2,6", 2.6),
        ("2.6", 2.6),
        (" 13 ", 13.0),
        ("-200", -200.0),
        ("1e3", 1000.0),
        (",5", 0.5),
        ("", None),
        (" ", None),
    ],
)
@pytest.mark.parametrize("beside", ["1", "abc"])
def test_text_to_number_alone_and_beside_a_bad_one(text: str, value: float | None, beside: str) -> None:
    values, wrong = parse(pa.array([text, beside]))

    assert values[0].as_py() == value
    assert not wrong[0].as_py()
    assert wrong[1].as_py() is (beside == "abc")


@pytest.mark.parametrize("text", ["abc", "1,2,3", "1.234,5", "nan", "inf", "-Infinity", "0x10", "1 2", "--1", "1e999"])
def test_what_is_no_finite_number_is_wrong_and_null(text: str) -> None:
    values, wrong = parse(pa.array(["1,5", text, None]))

    assert values.to_pylist() == [1.5, None, None]
    assert wrong.to_pylist() == [False, True, False]


def test_numbers_that_came_as_numbers_stay_and_nan_is_wrong() -> None:
    values, wrong = parse(pa.array([1.5, math.nan, None, math.inf]))

    assert values.to_pylist() == [1.5, None, None, None]
    assert wrong.to_pylist() == [False, True, False, True]


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), max_size=20))
def test_every_float_survives_its_decimal_comma(values: list[float]) -> None:
    parsed, wrong = parse(pa.array([repr(v).replace(".", ",") for v in values], pa.string()))

    assert parsed.to_pylist() == values
    assert not any(wrong.to_pylist())


def test_sentinel_missing_and_out_of_range_are_told_apart() -> None:
    values, quality = judge(pa.array([0.0, 50.0, 50.1, -0.1, -200.0, None]), Metric("co", 0, 50), (-200.0,))

    assert values.to_pylist() == [0.0, 50.0, None, None, None, None]
    out, sentinel, missing = Quality.OUT_OF_RANGE, Quality.SENTINEL, Quality.MISSING
    assert quality.to_pylist() == [0, 0, out, out, sentinel, missing]


def test_a_metric_without_limits_takes_any_number() -> None:
    values, quality = judge(pa.array([-1e9, 1e9]), Metric("x"), ())

    assert values.to_pylist() == [-1e9, 1e9]
    assert quality.to_pylist() == [0, 0]


@given(st.text(max_size=6) | st.floats().map(repr) | st.sampled_from(["1e5", "1E5", "nan", "inf", "0x1", "1.5 m"]))
def test_what_is_said_to_be_a_word_is_no_number(text: str) -> None:
    _, wrong = parse(pa.array([text]))

    if is_word(text, SENSORS):
        assert wrong.to_pylist() == [True]
    assert not is_word(text, replace(SENSORS, affixes="m"))


PIECES = [
    "0",
    "12",
    "9" * 30,
    ".",
    ",",
    "+",
    "-",
    "e",
    "E",
    " ",
    "nan",
    "inf",
    "x",
    "1e400",
    "\u00a0",
    "\u0663",
    "_",
    "\x1c",
    "\n",
]


@given(st.lists(st.none() | st.lists(st.sampled_from(PIECES), max_size=4).map("".join), max_size=FEW))
def test_a_few_texts_are_read_as_many_are(texts: list[str | None]) -> None:
    few = [found.to_pylist() for found in parse(pa.array(texts, pa.string()))]
    odd = [found.to_pylist()[: len(texts)] for found in parse(pa.array(texts * (FEW + 1), pa.string()))]
    plain = [found.to_pylist()[: len(texts)] for found in parse(pa.array([*texts, *["1"] * 3 * FEW], pa.string()))]

    assert few == odd == plain
