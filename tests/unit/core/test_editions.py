"""The record of a day that was made anew (D22): what it replaces, and what it names."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from levada.core import editions, keys
from levada.core.editions import NONE, Edition
from levada.core.errors import ConfigError
from levada.core.keys import Span
from levada.core.positions import ShardToken
from levadactl.memory import MemoryBlobStore

TOKEN = ShardToken(1_700_000_000, 3)
OTHER = ShardToken(1_700_000_000, 4)
DOMAIN, DATE = "sensor", "2004-03-10"


def gold(generation: int, token: ShardToken = TOKEN) -> str:
    return keys.gold(DOMAIN, DATE, token, generation)


@given(
    st.integers(1, 999_999),
    st.dictionaries(st.sampled_from([str(TOKEN), str(OTHER)]), st.integers(0, 10**56 - 1)),
    st.dictionaries(st.sampled_from([str(TOKEN), str(OTHER)]), st.integers(0, 10**9)),
    st.booleans(),
)
def test_a_record_is_read_as_it_was_written(
    number: int, raw: dict[str, int], generations: dict[str, int], finished: bool
) -> None:
    one = Edition(number, raw, generations, frozenset({"gold/x"}), finished)

    assert Edition.from_bytes(one.to_bytes()) == one


def test_a_record_of_a_later_version_is_refused() -> None:
    with pytest.raises(ConfigError, match="edition v=9"):
        Edition.from_bytes(b'{"v":9}')


def test_of_the_stages_work_it_replaces_what_lies_up_to_its_positions() -> None:
    edition = Edition(1, {str(TOKEN): 20}, {str(TOKEN): 7})

    spans = [Span(TOKEN, "1", "20"), Span(TOKEN, "1", "21"), Span(OTHER, "1", "2")]
    assert [edition.replaces(one) for one in spans] == [True, False, False]
    assert [editions.shows_gold(edition, gold(n)) for n in (1, 7, 8)] == [False, False, True]
    assert editions.shows_gold(edition, gold(1, OTHER))


def test_of_editions_only_the_objects_that_the_record_names_count() -> None:
    names = [editions.name("gold", DOMAIN, DATE, n, body) for n, body in ((1, b"a"), (2, b"b"), (2, b"c"), (3, b"d"))]
    edition = Edition(2, objects=frozenset({names[1]}))

    assert [editions.shows_gold(edition, name) for name in names] == [False, True, False, False]
    assert [editions.number_of(name) for name in names] == [1, 2, 2, 3]
    assert not any(editions.shows_gold(NONE, name) for name in names)
    assert edition.replaces_gold(editions.token_of(names[0]), 0)
    assert not edition.replaces_gold(editions.token_of(names[1]), 0)


def test_who_lists_no_object_of_an_edition_asks_for_no_record() -> None:
    class Silent(MemoryBlobStore):
        def get(self, key: str) -> tuple[bytes, str]:
            raise AssertionError(f"asked for {key}")

    assert editions.of_listed(Silent(), DOMAIN, DATE, [gold(1), gold(2)]) == NONE
    assert editions.gold_shown(Silent(), DOMAIN, DATE, []) == []


def test_a_name_that_is_not_levadas_is_refused_where_it_matters() -> None:
    with pytest.raises(ConfigError, match=r"not an object of gold"):
        editions.shows_gold(Edition(1), f"gold/domain={DOMAIN}/date={DATE}/mine.parquet")
