"""Positions and fences: what has been applied stays applied, in any order (B19, D27)."""

from __future__ import annotations

import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from levada.core.errors import ConfigError
from levada.core.keys import Span
from levada.core.packs import MAX_NUMBER
from levada.core.positions import IntervalSet, PackFences, RowFences, ShardToken, pad_sequence

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
    assert len(fences) == 3

    fences.expire(before_s=7_201)
    assert not fences.applied("old").spans()
    assert fences.applied("new").spans() == [[0, 1]]
    assert fences.applied("old but touched").spans() == [[0, 2]]


def test_fences_survive_the_way_into_a_checkpoint_and_back() -> None:
    packs, rows = PackFences(), RowFences()
    packs.apply("s#01", 7, 100)
    rows.advance("t#d#x#01", (pad_sequence(9), 4), 100)

    assert PackFences.from_bytes(packs.to_bytes()) == packs
    assert RowFences.from_json(json.loads(json.dumps(rows.to_json()))) == rows


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
    with pytest.raises(ConfigError, match="pack fences"):
        PackFences.from_bytes(data)


def test_the_largest_position_of_a_pack_fits() -> None:
    fences = PackFences()
    fences.apply("s", MAX_NUMBER - 1, 100)

    assert MAX_NUMBER - 1 in PackFences.from_bytes(fences.to_bytes()).applied("s")


def test_a_row_fence_never_goes_back() -> None:
    fences = RowFences()
    fences.advance("lane", (pad_sequence(10), 5), 1)
    fences.advance("lane", (pad_sequence(9), 9), 2)

    assert fences.mark("lane") == (pad_sequence(10), 5)
    assert fences.mark("another") < (pad_sequence(0), 0)


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
