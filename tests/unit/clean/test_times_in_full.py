"""The quick way for times with all their digits says what the exact way says (B12)."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from levada.clean import time_forms
from levada.clean.times import _exactly, _in_full, parse
from levada.domains.declaration import Time

FORMATS = ["%Y-%m-%dT%H:%M:%SZ", "%d-%m-%Y %H:%M:%S", "%Y-%m-%d %H:%M", "%Y%m%d"]
number = st.integers(0, 70)


@pytest.mark.parametrize("form", FORMATS)
@given(st.lists(st.tuples(st.integers(0, 9999), *[number] * 5), max_size=20))
def test_what_the_quick_way_takes_is_what_the_exact_way_makes_of_it(form: str, parts: list[tuple[int, ...]]) -> None:
    directives = ("%Y", "%m", "%d", "%H", "%M", "%S")
    texts = []
    for values in parts:
        text = form
        for directive, value in zip(directives, values, strict=True):
            text = text.replace(directive, f"{value:04d}" if directive == "%Y" else f"{value:02d}")
        texts.append(text)
    array = pa.array(texts, pa.string())

    quick, exact = (way(array, form).cast(pa.int64()).to_pylist() for way in (_in_full, _exactly))

    assert quick == [None if q is None else e for q, e in zip(quick, exact, strict=True)]
    plain = [v[0] >= 1000 and 1 <= v[1] <= 12 and 1 <= v[2] <= 28 and v[3] < 24 and max(v[4:]) < 60 for v in parts]
    assert [q is not None for q, sure in zip(quick, plain, strict=True) if sure] == [True] * sum(plain)


@pytest.mark.parametrize(
    ("text", "taken"),
    [
        ("2024-02-29T00:00:00Z", True),
        ("2023-02-29T00:00:00Z", False),
        ("2023-04-31T00:00:00Z", False),
        ("2023-04-30T23:59:59Z", True),
        ("2023-04-30T23:59:60Z", False),
        ("2023-04-30T24:00:00Z", False),
        ("2023-04-30T00:00:00Z\n", False),
        ("2023-04-3T00:00:00Z", False),
    ],
)
def test_days_that_are_none_are_not_taken_beside_ones_that_are(text: str, taken: bool) -> None:
    found = _in_full(pa.array(["2026-01-01T00:00:00Z", text]), FORMATS[0])

    assert pc.is_valid(found).to_pylist() == [True, taken]


def test_a_format_with_more_than_plain_parts_is_left_to_the_exact_way() -> None:
    spec = Time(columns=("t",), formats=("%d %b %Y",))

    times, wrong = parse([pa.array(["01 Feb 2004", None, "x"])], spec)

    assert [t and t.isoformat() for t in times.to_pylist()] == ["2004-02-01T00:00:00+00:00", None, None]
    assert wrong.to_pylist() == [False, False, True]


def test_text_in_a_dictionary_is_text() -> None:
    spec = Time(columns=("day", "hour"), formats=("%Y-%m-%d %H:%M",))
    days, hours = ["2004-03-10", None, "2004-03-10"], ["18:00", "19:00", None]

    plain = parse([pa.array(days), pa.array(hours)], spec)
    coded = parse([pa.array(days).dictionary_encode(), pa.array(hours).dictionary_encode()], spec)

    assert [a.to_pylist() for a in coded] == [a.to_pylist() for a in plain]
    assert plain[1].to_pylist() == [False, True, True]


def test_the_year_0_is_no_year_and_the_year_1_is_one() -> None:
    times, wrong = parse([pa.array(["0000-01-01", "0001-01-01"])], Time(columns=("t",), formats=("%Y-%m-%d",)))

    assert wrong.to_pylist() == [True, False]
    assert [t and t.year for t in times.to_pylist()] == [None, 1]


def stamps() -> st.SearchStrategy[str]:
    """ISO 8601 in full, of days that may not exist, and sometimes with something missing or out of range."""
    fraction = st.just("") | st.integers(0, 10**9).map(".{}".format)
    moment = st.tuples(st.sampled_from([0, 1, 999, 1000, 1969, 2024, 9999]), *[number] * 5)
    text = moment.map(lambda p: "{:04d}-{:02d}-{:02d}T{:02d}:{:02d}:{:02d}".format(*p))
    usual = st.datetimes().map(lambda at: at.replace(day=1, microsecond=0).isoformat(" "))
    late = st.integers(1, 31).flatmap(lambda day: usual.map(lambda one: f"{one[:8]}{day:02d}{one[10:]}"))
    zone = st.sampled_from(["", "Z", "+00:00", "-23:59", "+05:30", "+24:00", "+0530", "+14"])
    return st.tuples(text | late, fraction, zone).map("".join)


@given(st.lists(stamps(), max_size=6))
def test_a_time_in_full_is_the_same_beside_times_of_any_form_and_among_many(texts: list[str]) -> None:
    spec, beside = Time(columns=("t",), formats=("iso",)), ["2024-01-01", "soon"]
    alone = [parse([pa.array([text])], spec)[0][0].as_py() for text in texts]

    mixed = parse([pa.array([*texts, *beside])], spec)[0].to_pylist()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(time_forms, "FEW", 0)
        many = parse([pa.array(texts, pa.string())], spec)[0].to_pylist()

    assert mixed[: len(texts)] == many == alone
