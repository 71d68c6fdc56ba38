"""Numbers and times out of text: the compiled kernels say to the last bit what is said without them (B12, B13)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from levada.clean import numbers, times
from levada.core import native
from levada.core.native import texts as kernels
from levada.core.records import TIME
from levada.domains.declaration import Time

compiled = pytest.mark.skipif(bool(native.problem()), reason=native.problem())
PLAIN = ["1.5"] * 12 * numbers.FEW
"""So many that some odd texts beside them are few."""


def bits(found: tuple[pa.Array, pa.Array]) -> tuple[list[int | None], list[bool]]:
    """Zero and minus zero are two."""
    values, wrong = found
    return values.view(pa.int64()).to_pylist(), wrong.to_pylist()


def without_kernels(read: Any, *given: Any) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(native, "library", lambda: None)
        return read(*given)


pieces = st.sampled_from(
    ["0", "7", "12", "9" * 17, ".", ",", "+", "-", "e", "E5", " ", "nan", "x", "\u0663", "\x00", "\n"]
)
decimals = st.decimals(allow_nan=False, allow_infinity=False).map(str) | st.floats().map(repr)
written = st.none() | decimals | st.integers().map(str) | st.lists(pieces, max_size=5).map("".join)


@compiled
@given(st.lists(written, max_size=numbers.FEW), st.integers(0, 9))
def test_numbers_are_the_same_to_the_last_bit_with_kernels_and_without(some: list[str | None], start: int) -> None:
    column = pa.array([*some, *PLAIN, *some], pa.string())[start:]

    assert bits(numbers.parse(column)) == bits(without_kernels(numbers.parse, column))


@compiled
@given(st.lists(st.from_regex(r"\A-?[0-9]{1,18}(\.[0-9]{1,17})?\Z"), min_size=1))
def test_a_decimal_becomes_the_nearest_float(some: list[str]) -> None:
    column = pa.array([*some, *PLAIN], pa.string())

    values, wrong = numbers.parse(column)

    assert [value.hex() for value in values.to_pylist()[: len(some)]] == [float(text).hex() for text in some]
    assert not wrong.true_count


@compiled
@pytest.mark.parametrize("text", ["1", "-0", "0.1", "007", "1234567890123.456", "9007199254740992", "-12.50"])
def test_what_is_plain_the_kernel_reads_itself(text: str) -> None:
    def nobody(odd: pa.Array) -> tuple[pa.Array, pa.Array]:
        raise AssertionError(odd.to_pylist())

    found = kernels.read(pa.array([text, None, "warm"]), kernels.NUMBER, pa.float64(), nobody)

    assert found is not None
    assert found[0].to_pylist() == [float(text), None, None]
    assert found[1].to_pylist() == [False, False, True]


@compiled
@pytest.mark.parametrize("text", ["9007199254740993", "1e5", "", " 1", "1,5", "1.", ".5", "+1", "-", "1" * 30, "--1"])
def test_what_is_not_plain_is_read_by_others(text: str) -> None:
    seen: list[str] = []

    def others(odd: pa.Array) -> tuple[pa.Array, pa.Array]:
        seen.extend(odd.to_pylist())
        return pa.array([None, 7.0][-len(odd) :], pa.float64()), pa.array([True, False][-len(odd) :])

    found = kernels.read(pa.array([text, "2.5", text]), kernels.NUMBER, pa.float64(), others)

    assert seen == [text, text]
    assert found is not None
    assert [column.to_pylist() for column in found] == [[None, 2.5, 7.0], [True, False, False]]


@compiled
def test_a_column_of_other_texts_is_left_to_others_as_a_whole() -> None:
    def nobody(odd: pa.Array) -> tuple[pa.Array, pa.Array]:
        raise AssertionError(odd.to_pylist())

    column = pa.array(["1e5"] * (kernels.MOST + 1))

    assert kernels.read(column, kernels.NUMBER, pa.float64(), nobody) is None
    assert kernels.read(column.cast(pa.large_string()), kernels.NUMBER, pa.float64(), nobody) is None
    assert kernels.read(pa.array([], pa.string()), kernels.NUMBER, pa.float64(), nobody) is None
    assert numbers.parse(column)[0].to_pylist() == [1e5] * len(column)


SPECS = [
    Time(columns=("t",), formats=("%Y-%m-%dT%H:%M:%SZ",)),
    Time(columns=("t",), formats=("iso",)),
    Time(columns=("t",), formats=("iso",), zone="Europe/Lisbon"),
    Time(columns=("t",), formats=("%Y-%m-%d %H:%M",)),
    Time(columns=("t",), formats=("%d.%m.%Y", "%Y-%m-%d")),
    Time(columns=("t",), formats=("%Y-%S-%d %H:%M:%m",)),
    Time(columns=("t",), formats=("%Y-%d-%m", "%Y-%m-%d")),
    Time(columns=("t",), formats=("%Y%m%d%H%M%S",)),
    Time(columns=("t",), formats=("%d-%m-%Y %H:%M",), zone="Asia/Kolkata"),
    Time(columns=("t",), formats=(" %Y-%m-%d",)),
    Time(columns=("t",), formats=("%d µ %m µ %Y",)),
]
FORMS = sorted({form for spec in SPECS for form in spec.formats if form != "iso"})


@st.composite
def stamps(draw: st.DrawFn) -> str:
    """A time of one of the forms, of a day that may not exist, or with a part that is out of range or written short."""
    text = draw(st.sampled_from([*FORMS, "%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M:%S.5+01:00"]))
    for part, low, high in (("Y", 999, 9999), ("m", 0, 13), ("d", 0, 32), ("H", 0, 24), ("M", 0, 60), ("S", 0, 61)):
        value = draw(st.integers(low, high) | st.sampled_from([2, 4, 2023, 2024, 29, 30, 31]))
        text = text.replace(f"%{part}", f"{value:04d}" if part == "Y" else f"{value:02d}" if value != 9 else "9")
    return draw(st.sampled_from(["", " ", "x"])) + text if draw(st.integers(0, 9)) == 0 else text


@compiled
@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: f"{' or '.join(spec.formats)} {spec.zone}")
@given(st.lists(st.none() | stamps() | st.sampled_from(["", "soon"]), max_size=12), st.integers(0, 9))
def test_times_are_the_same_with_kernels_and_without(spec: Time, some: list[str | None], start: int) -> None:
    form = "%Y-%m-%dT%H:%M:%SZ" if spec.formats[0] == "iso" else spec.formats[0]
    usual = [datetime(2024, 2, 1 + i % 29, i % 24, i % 60, tzinfo=UTC).strftime(form) for i in range(100)]
    column = pa.array([*some, *usual, *some], pa.string())[start:]

    for given_ in (column, column.dictionary_encode()):
        assert bits(times.parse([given_], spec)) == bits(without_kernels(times.parse, [given_], spec))


@compiled
@given(st.lists(st.datetimes(datetime(1000, 1, 1), datetime(9999, 12, 31, 23, 59, 59)), min_size=1))  # noqa: DTZ001
def test_every_second_of_the_calendar_is_its_own(some: Sequence[datetime]) -> None:
    whole = [one.replace(microsecond=0, tzinfo=UTC) for one in some]
    form = kernels.time_form("%Y-%m-%dT%H:%M:%SZ", alone=True)
    assert form is not None

    def nobody(odd: pa.Array) -> tuple[pa.Array, pa.Array]:
        raise AssertionError(odd.to_pylist())

    column = pa.array([one.isoformat().replace("+00:00", "Z") for one in whole])
    found = kernels.read(column, form, TIME, nobody)

    assert found is not None
    assert found[0].equals(pa.array(whole, TIME))


@pytest.mark.parametrize(
    "form", ["%d %b %Y", "%Y-%m", "%Y-%m-%d %H:%M %p", "%Y-%m-%d %", "%Y-%Y-%m-%d", "%y-%m-%d", "%s"]
)
def test_a_format_with_more_than_plain_parts_has_no_form(form: str) -> None:
    assert kernels.time_form(form, alone=True) is None
