"""Positions and fences: what has been applied stays applied, in any order (B19, D27)."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from levada.core.errors import ConfigError
from levada.core.intervals import IntervalSet
from levada.core.keys import Span
from levada.core.packs import MAX_NUMBER
from levada.core.positions import START, PackFences, RowFences, ShardToken, pad_sequence, position

INTERVALS = st.lists(st.tuples(st.integers(0, 60), st.integers(1, 8)).map(lambda p: (p[0], p[0] + p[1])))


@given(INTERVALS)
def test_an_interval_set_is_the_set_of_its_numbers_whatever_the_order(intervals: list[tuple[int, int]]) -> None:
    built, model = IntervalSet(), set[int]()
    for start, end in intervals:
        assert built.add(start, end) is not (set(range(start, end)) <= model)
        model |= set(range(start, end))

    assert {n for n in range(80) if n in built} == model
    assert len(built) == len(model)
    spans = built.spans()
    assert all(before[1] < after[0] for before, after in pairwise(spans)), "disjoint, not adjacent"
    assert IntervalSet(json.loads(json.dumps(spans))) == built


@given(INTERVALS, INTERVALS)
def test_update_is_union(left: list[tuple[int, int]], right: list[tuple[int, int]]) -> None:
    both = IntervalSet(left)
    both.update(IntervalSet(right))

    assert both == IntervalSet([*right, *left])


@pytest.mark.parametrize("bad", [(-1, 1), (3, 3), (4, 2)])
def test_an_empty_or_negative_interval_is_refused(bad: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="0 <= start < end"):
        IntervalSet([bad])


def test_a_pack_is_applied_once_even_when_a_gap_is_filled_late() -> None:
    fences = PackFences()

    assert [fences.apply("s", n, 10) for n in (0, 1, 3, 1, 3, 2, 2)] == [True, True, True, False, False, True, False]


def test_a_child_shard_inherits_both_parents_fences() -> None:
    left, right, child = PackFences(), PackFences(), PackFences()
    left.apply("a", 0, 10)
    right.apply("a", 1, 20)
    right.apply("b", 5, 30)

    child.inherit(left)
    child.inherit(right)

    assert not child.apply("a", 0, 40)
    assert not child.apply("a", 1, 40)
    assert not child.apply("b", 5, 40)
    assert child.apply("b", 4, 40)


def test_fences_of_sources_that_nobody_touches_expire_by_the_hour_and_others_stay() -> None:
    fences = PackFences()
    fences.apply("old", 0, 3_600)
    fences.apply("new", 0, 7_200)
    fences.apply("old but touched", 0, 3_600)
    fences.apply("old but touched", 1, 7_300)

    fences.expire(before_s=7_199)
    assert fences.applied("old").spans() == [[0, 1]], "not before the hour is over"

    fences.expire(before_s=7_201)
    assert not fences.applied("old").spans()
    assert fences.applied("new").spans() == [[0, 1]]
    assert fences.applied("old but touched").spans() == [[0, 2]]


def test_fences_survive_the_way_into_a_checkpoint_and_back() -> None:
    packs, rows = PackFences(), RowFences()
    packs.apply("s#01", 7, 100)
    rows.add("t#d#x#01", START, (pad_sequence(9), 4), 100)

    assert PackFences.from_bytes(packs.to_bytes()) == packs
    assert RowFences.from_bytes(rows.to_bytes()) == rows


STEPS = st.lists(st.tuples(st.sampled_from("abcdefg"), st.integers(0, 12), st.integers(0, 40), st.booleans()))


@given(STEPS, STEPS)
def test_fences_are_a_set_of_pairs_whatever_is_saved_inherited_and_expired(
    mine: list[tuple[str, int, int, bool]], theirs: list[tuple[str, int, int, bool]]
) -> None:
    """Against a plain set and a dict of times; a step may save and load, or expire."""

    def build(steps: list[tuple[str, int, int, bool]]) -> tuple[PackFences, set[tuple[str, int]], dict[str, int]]:
        fences, pairs, touched = PackFences(), set[tuple[str, int]](), dict[str, int]()
        for source, n, hour, saved in steps:
            assert fences.apply(source, n, hour * 3600) is ((source, n) not in pairs)
            pairs.add((source, n))
            touched[source] = max(hour * 3600, touched.get(source, 0))
            if saved:
                fences = PackFences.from_bytes(fences.to_bytes())
        return fences, pairs, touched

    fences, pairs, touched = build(mine)
    other, other_pairs, other_touched = build(theirs)
    fences.inherit(other)
    both = {source: max(touched.get(source, 0), other_touched.get(source, 0)) for source in touched | other_touched}
    fences.expire(20 * 3600 + 1800)

    for source in "abcdefg":
        expected = {n for name, n in pairs | other_pairs if name == source and both[source] >= 20 * 3600}
        assert {n for n in range(14) if n in fences.applied(source)} == expected
    assert PackFences.from_bytes(fences.to_bytes()) == fences


@pytest.mark.parametrize("data", [b"", b"abc", bytes(4 + 37)])
def test_bytes_that_are_no_fences_stop_the_stage(data: bytes) -> None:
    with pytest.raises(ConfigError, match="fences of"):
        PackFences.from_bytes(data)


def test_the_largest_position_of_a_pack_fits() -> None:
    fences = PackFences()
    fences.apply("s", MAX_NUMBER - 1, 100)

    assert MAX_NUMBER - 1 in PackFences.from_bytes(fences.to_bytes()).applied("s")


STRETCHES = st.lists(st.tuples(st.integers(0, 9), st.integers(-1, 3), st.integers(0, 9), st.integers(0, 3)))


@given(STRETCHES, st.integers(0, 9), st.integers(-1, 3))
def test_a_row_fence_knows_exactly_the_rows_of_what_came(
    stretches: list[tuple[int, int, int, int]], sequence: int, row: int
) -> None:
    """Against a plain set of positions, whatever order, overlap and gap."""
    fences, model = RowFences(), set[tuple[str, int]]()
    every = [(pad_sequence(s), r) for s in range(10) for r in range(-1, 4)]
    for first, first_row, last, last_row in stretches:
        after, until = (pad_sequence(first), first_row), (pad_sequence(last), last_row)
        if after < until:
            fences.add("lane", after, until, 1)
            model |= {at for at in every if after < at <= until}

    fences = RowFences.from_bytes(fences.to_bytes())
    at = (pad_sequence(sequence), row)
    assert any(after < at <= until for after, until in fences.applied("lane")) is (at in model)
    assert fences.end("lane") == max(model, default=START)
    here = (pad_sequence(sequence), row - 1) if row >= 0 else START
    assert bool(fences.seen("lane", here, at)) is (any(here < one <= at for one in model))
    assert not fences.seen("another", START, at)


def test_records_of_a_lane_that_come_in_order_make_one_stretch_and_a_lost_one_leaves_a_gap() -> None:
    a, b, c, d = ((pad_sequence(n), n) for n in (3, 5, 7, 9))
    fences = RowFences()
    fences.add("lane", START, a, 1)
    fences.add("lane", a, b, 1)
    assert fences.applied("lane") == [(START, b)]

    fences.add("lane", c, d, 1)
    assert fences.applied("lane") == [(START, b), (c, d)]
    assert not fences.seen("lane", b, c), "what was given up is still new"

    fences.add("lane", b, c, 1)
    assert fences.applied("lane") == [(START, d)]


@pytest.mark.parametrize(
    ("sequence", "row"), [("x", 0), (-1, 0), (10**56, 0), ("", 0), ("7", -2), ("7", 1 << 32), ("7", "1"), (None, 0)]
)
def test_what_is_no_position_is_refused(sequence: Any, row: Any) -> None:
    with pytest.raises((ValueError, TypeError)):
        position(sequence, row)


@given(st.integers(0, 10**56 - 1), st.integers(0, 10**56 - 1))
def test_padded_sequence_numbers_sort_as_numbers(a: int, b: int) -> None:
    assert (pad_sequence(a) < pad_sequence(str(b))) is (a < b)


def test_a_name_is_a_position_and_can_be_read_back() -> None:
    span = Span(ShardToken.of(1_700_000_000, "shardId-000000000007"), pad_sequence(5), pad_sequence(12))

    assert span.name.startswith("6553f100-000000000007-")
    assert Span.parse(span.name) == span


@pytest.mark.parametrize("bad", ["shard-7", "shardId-", "shardId-x", ""])
def test_a_strange_shard_id_is_refused(bad: str) -> None:
    with pytest.raises(ValueError, match="shardId-000000000000"):
        ShardToken.of(1, bad)
