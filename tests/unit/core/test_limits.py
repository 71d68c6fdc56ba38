"""Limits with validity periods (D15): which one holds, what may not overlap, and two people who set them at once."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from levada.core import keys, limits
from levada.core.errors import BadRequestError, ConfigError, ConflictError
from levada.core.limits import CONTROL, SPECIFICATION, Limit, Limits, Register
from levadactl.memory import MemoryBlobStore

DAY_US = 86_400_000_000
PRESS = {"site": "ulm", "unit": "press-1", "series": "thickness"}


def limit(low: float = 1, high: float = 3, *, start: int = 0, end: int | None = None, **parts: Any) -> Limit:
    parts = {"kind": SPECIFICATION, "metric": "mm"} | parts
    until = None if end is None else end * DAY_US
    return Limit(**parts, lower=low, target=2, upper=high, from_us=start * DAY_US, until_us=until)


def test_the_limit_that_holds_at_the_time_is_found_from_included_until_excluded() -> None:
    found = Limits((limit(1, 3, start=0, end=10), limit(0, 4, start=10)))

    assert found.for_(PRESS, "mm", -1) is None
    assert found.for_(PRESS, "mm", 0) == (1, 2, 3)
    assert found.for_(PRESS, "mm", 10 * DAY_US - 1) == (1, 2, 3)
    assert found.for_(PRESS, "mm", 10 * DAY_US) == (0, 2, 4)
    assert found.for_(PRESS, "kg", 0) is None


@pytest.mark.parametrize(
    ("weaker", "stronger"),
    [
        ({}, {"site": "ulm"}),
        ({"site": "ulm"}, {"unit": "press-1"}),
        ({"site": "ulm", "unit": "press-1"}, {"series": "thickness"}),
        ({"series": "thickness"}, {"series": "thickness", "site": "ulm"}),
    ],
)
def test_the_limit_that_says_more_about_the_series_wins(weaker: dict[str, Any], stronger: dict[str, Any]) -> None:
    """The order in which they were set does not matter."""
    one, other = limit(1, 3, **weaker), limit(0, 9, **stronger)

    for items in ((one, other), (other, one)):
        assert Limits(items).for_(PRESS, "mm", 0) == (0, 2, 9)


def test_a_limit_of_another_series_does_not_hold() -> None:
    assert Limits((limit(series="width"),)).for_(PRESS, "mm", 0) is None


def test_limits_of_both_kinds_hold_side_by_side() -> None:
    register = Register()
    register.add(limit(1, 3))
    register.add(limit(0, 4, kind=CONTROL))

    assert register.of(SPECIFICATION).for_(PRESS, "mm", 0) == (1, 2, 3)
    assert register.of(CONTROL).for_(PRESS, "mm", 0) == (0, 2, 4)


def test_periods_that_overlap_are_refused_naming_both() -> None:
    """D15: limits with validity periods that must not overlap."""
    register = Register()
    register.add(limit(1, 3, start=0, end=10))

    with pytest.raises(BadRequestError) as caught:
        register.add(limit(0, 9, start=9, end=12))

    assert caught.value.status == 409
    assert "[1970-01-10T00:00:00Z, 1970-01-13T00:00:00Z)" in str(caught.value)
    assert "[1970-01-01T00:00:00Z, 1970-01-11T00:00:00Z)" in str(caught.value)
    assert len(register.limits) == 1


@given(st.tuples(*[st.integers(0, 6)] * 4))
def test_two_periods_overlap_exactly_when_some_day_lies_in_both(ends: tuple[int, int, int, int]) -> None:
    (a, b), (c, d) = sorted(ends[:2]), sorted(ends[2:])
    if a == b or c == d:
        return
    together = set(range(a, b)) & set(range(c, d))

    assert limit(start=a, end=b).overlaps(limit(start=c, end=d)) == bool(together)


def test_an_open_period_overlaps_everything_behind_its_beginning() -> None:
    assert limit(start=3).overlaps(limit(start=100, end=101))
    assert not limit(start=3).overlaps(limit(start=1, end=3))


def test_periods_that_touch_and_other_places_are_accepted() -> None:
    register = Register()
    for one in (limit(start=0, end=10), limit(start=10), limit(start=0, series="width"), limit(metric="kg")):
        register.add(one)

    assert len(register.limits) == 4


def test_a_limit_can_be_ended_and_followed_by_another() -> None:
    register = Register()
    register.add(limit(1, 3, start=0))
    ended = register.end(limit().place, 5 * DAY_US)
    register.add(limit(0, 9, start=5))

    assert ended.until_us == 5 * DAY_US
    assert [one.upper for one in register.limits] == [3, 9]
    with pytest.raises(BadRequestError, match="no limit"):
        register.end(limit(metric="kg").place, 5 * DAY_US)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"kind": "soft"}, "kind='soft': must be specification or control"),
        ({"metric": "*"}, "the name of one metric"),
        ({"lower": None, "upper": None}, "given, or upper, or both"),
        ({"lower": 5.0}, "below upper=3"),
        ({"target": 7.0}, "target=7.0 between them"),
        ({"upper": float("nan")}, "upper=nan: must be a finite number"),
        ({"until_us": 0}, "after from="),
    ],
)
def test_what_makes_no_sense_is_refused_naming_field_and_value(change: dict[str, object], words: str) -> None:
    with pytest.raises(BadRequestError, match=words.replace("*", r"\*")):
        replace(limit(), **change)  # type: ignore[arg-type]


def test_limits_survive_the_lake_and_an_unset_register_is_empty() -> None:
    blobs, register = MemoryBlobStore(), Register()
    register.add(limit(1, 3, start=0, end=10, unit="press-1"))
    register.add(Limit(kind=CONTROL, metric="mm", upper=0.1))
    limits.store(blobs, "sensor", "a/b", register)

    assert list(blobs.objects) == [keys.limits("sensor", "a/b")] == ["settings/limits/domain=sensor/a%2Fb.json"]
    assert limits.load(blobs, "sensor", "a/b").limits == register.limits
    assert limits.load(blobs, "sensor", "other").limits == []


def test_of_two_who_set_limits_at_once_the_second_is_told() -> None:
    blobs = MemoryBlobStore()
    mine, theirs = limits.load(blobs, "sensor", "t"), limits.load(blobs, "sensor", "t")
    mine.add(limit(1, 3))
    theirs.add(limit(0, 9))
    limits.store(blobs, "sensor", "t", mine)

    with pytest.raises(ConflictError):
        limits.store(blobs, "sensor", "t", theirs)
    assert limits.load(blobs, "sensor", "t").of(SPECIFICATION).for_(PRESS, "mm", 0) == (1, 2, 3)


@pytest.mark.parametrize(
    "body", [b"[]", b"{", b'{"v":2,"limits":[]}', json.dumps({"v": 1, "limits": [{"kind": "x"}]}).encode()]
)
def test_an_object_that_was_broken_by_hand_is_no_limits(body: bytes) -> None:
    with pytest.raises(ConfigError, match="limits"):
        Register.from_bytes(body)


def test_a_function_asks_again_after_a_minute() -> None:
    blobs, memo = MemoryBlobStore(), dict[str, Any]()
    assert not limits.recent(blobs, memo, "sensor", "t", 1000.0).limits
    register = Register()
    register.add(limit())
    limits.store(blobs, "sensor", "t", register)

    assert not limits.recent(blobs, memo, "sensor", "t", 1059.0).limits
    assert limits.recent(blobs, memo, "sensor", "t", 1060.0).limits == [limit()]


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(1, 8)), max_size=5), st.integers(0, 10), st.integers(1, 15))
def test_a_period_is_cut_into_pieces_of_one_limit_each(spans: list[tuple[int, int]], start: int, length: int) -> None:
    register, high = Register(), 3.0
    for begin, days in spans:
        try:
            register.add(limit(1, high, start=begin, end=begin + days))
        except BadRequestError:
            continue
        high += 1
    found = register.of(SPECIFICATION)
    pieces = list(found.pieces(PRESS, "mm", start * DAY_US, (start + length) * DAY_US))

    held = {day: bounds for day in range(start, start + length) if (bounds := found.for_(PRESS, "mm", day * DAY_US))}
    assert {day: b for s, e, b in pieces for day in range(s // DAY_US, e // DAY_US)} == held
    assert all(one[1] <= other[0] for one, other in pairwise(pieces))
