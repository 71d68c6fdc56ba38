"""Items of a request: sorted by domain and lane, packed the same way every time."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from levada.core import packs
from levada.core.errors import BadRequestError
from levada.core.packs import MAX_PACK_BYTES, NDJSON_GZIP
from levada.domains.declaration import Time
from levada.ingest.http_packs import SPLIT, Rules, entries, groups, sort
from levada.ingest.http_request import Request
from levada.ingest.lanes import lane_of_item
from levada.ports import Entry
from tests.unit.ingest.support import DOMAINS, TINY, by_position, headers

NOW_S = 1_767_225_600.0
RULES = Rules(domains=DOMAINS, tenant="default", now_s=NOW_S, max_skew_s=600)


def request(*items: Any, domain: str | None = None) -> Request:
    texts = [item if isinstance(item, bytes) else json.dumps(item).encode() for item in items]
    return Request(texts, "key", domain, single=False)


def lines_of(entry: Entry) -> list[bytes]:
    return packs.inflate(packs.split(entry.data)[1], NDJSON_GZIP).splitlines()


def test_items_go_to_the_lane_of_their_series_and_keep_their_text() -> None:
    items = [{"domain": "tiny", "id": f"s{i % 11}", "a": i} for i in range(200)]

    found = sort(request(*items), RULES)
    sent = list(entries(found.accepted, "default", "key"))

    assert (found.count, found.refused) == (200, [])
    assert sorted(json.loads(line)["a"] for e in sent for line in lines_of(e)) == list(range(200))
    for entry in sent:
        mine = [json.loads(line) for line in lines_of(entry)]
        (lane,) = {lane_of_item(item, TINY, "default") for item in mine}
        assert packs.split(entry.data)[0].source == f"http/default/key#{lane:02d}"
        assert [item["a"] for item in mine] == sorted(item["a"] for item in mine)


def test_bad_items_are_refused_by_number_and_the_others_are_taken() -> None:
    found = sort(
        request({"domain": "tiny", "a": 1}, b"{broken", [1], {"domain": "weather"}, {"domain": 7}, {}, b"\xff"),
        RULES,
    )

    assert found.count == 1
    assert [r.index for r in found.refused] == [1, 2, 3, 4, 5, 6]
    assert found.refused[1].reason == "item=[1]: must be a JSON object"
    assert found.refused[2].reason == "domain='weather': must be one of air_quality, tiny"
    assert "domain=7" in found.refused[3].reason
    assert "domain=None" in found.refused[4].reason


def test_the_query_names_the_domain_of_items_that_name_none_and_one_domain_needs_no_name() -> None:
    by_query = sort(request({"id": "s", "a": 1}, {"domain": "air_quality", "T": 1}, domain="tiny"), RULES)
    alone = sort(request({"id": "s", "b": None}), replace(RULES, domains={"tiny": TINY}))

    assert sorted(domain for domain, _, _ in by_query.accepted) == ["air_quality", "tiny"]
    assert [domain for domain, _, _ in alone.accepted] == ["tiny"]


SHARED = next(
    i for i in range(1000) if lane_of_item({"id": i}, TINY, "t") == lane_of_item({}, DOMAINS["air_quality"], "t")
)
"""A series of tiny in the lane of all of air_quality."""


@given(ids=st.lists(st.tuples(st.sampled_from(["tiny", "air_quality"]), st.sampled_from([1, 2, SHARED])), max_size=40))
def test_the_same_request_makes_the_same_packs_and_positions_have_no_gaps(ids: list[tuple[str, int]]) -> None:
    """Two domains may share a lane: their packs are counted together."""
    items = [{"domain": domain, "id": str(i), "a": 1, "T": 1} for domain, i in ids]
    made = [list(entries(sort(request(*items), RULES).accepted, "default", "key")) for _ in range(2)]

    assert made[0] == made[1]
    positions: dict[str, list[int]] = {}
    for source, n in by_position(made[0]):
        positions.setdefault(source, []).append(n)
    assert all(sorted(found) == list(range(len(found))) for found in positions.values())
    assert sum(h.count for h in headers(made[0])) == len(items)
    assert len(by_position(made[0])) == len(made[0])


def test_packs_stay_within_rows_and_bytes() -> None:
    noise = random.Random(1)
    many = [{"domain": "tiny", "id": "s", "a": 1}] * 1201
    large = [{"domain": "tiny", "id": "s", "a": 1, "x": noise.randbytes(200_000).hex()} for _ in range(9)]

    rows = list(entries(sort(request(*many), RULES).accepted, "default", "k"))
    halves = list(entries(sort(request(*large), RULES).accepted, "default", "k"))

    assert [(h.position, h.count) for h in headers(rows)] == [(0, 500), (1, 500), (2, 201)]
    assert [h.position for h in headers(halves)] == list(range(len(halves)))
    assert all(len(e.data) <= MAX_PACK_BYTES for e in halves)
    assert [json.loads(line) for e in halves for line in lines_of(e)] == large


def test_an_item_too_large_for_a_record_is_413() -> None:
    item = {"domain": "tiny", "a": 1, "x": random.Random(1).randbytes(1_100_000).hex()}

    with pytest.raises(BadRequestError, match="too large for one stream record") as caught:
        list(entries(sort(request(item), RULES).accepted, "default", "k"))

    assert caught.value.status == 413


def at(offset_s: float, **more: Any) -> dict[str, Any]:
    """An item of tiny's clock-bearing twin, so many seconds from now."""
    time = datetime.fromtimestamp(NOW_S + offset_s, UTC)
    return {"domain": "clock", "t": time.strftime("%Y-%m-%d %H:%M:%S"), "id": "s", "a": 1} | more


CLOCK = replace(TINY, name="clock", time=Time(columns=("t",), formats=("%Y-%m-%d %H:%M:%S",)))
CLOCK_RULES = replace(RULES, domains={"clock": CLOCK})


def test_a_time_beyond_the_skew_is_refused_with_422_and_the_others_are_taken() -> None:
    found = sort(request(at(0), at(600), at(-3600), at(3601), at(-5)), CLOCK_RULES)

    assert found.count == 4
    assert [(r.index, r.status) for r in found.refused] == [(3, 422)]
    assert found.refused[0].reason == "its time is 3601 s ahead of now: at most 600 s are allowed"


def test_a_domain_may_allow_less_than_the_deployment_does() -> None:
    strict = replace(CLOCK_RULES, domains={"clock": replace(CLOCK, skew_s=10), "tiny": TINY})

    found = sort(request(at(9), at(11), at(500, domain="tiny", t="2026-01-01")), strict)

    assert [(r.index, r.reason) for r in found.refused] == [
        (0, "its time is 9 s ahead of now: beside items that are too far ahead"),
        (1, "its time is 11 s ahead of now: at most 10 s are allowed"),
    ]
    assert found.count == 1


def test_what_lies_ahead_beside_a_time_beyond_the_skew_waits_with_it() -> None:
    """Its group is taken whole or not at all; whoever is not ahead of now is never in that group."""
    found = sort(request(at(100), at(650), at(0), at(-1)), CLOCK_RULES)

    assert [r.index for r in found.refused] == [0, 1]
    assert "beside items that are too far ahead" in found.refused[0].reason


OFFSETS = st.one_of(st.integers(-100_000, 600), st.sampled_from([0, 30, 700, 720, 7200, 7300, 90_000]))


@given(
    offsets=st.lists(OFFSETS, max_size=30),
    later_s=st.integers(0, 100_000),
    sent=st.integers(0, 30),
    undated=st.booleans(),
)
def test_a_request_repeated_later_brings_every_item_that_it_accepts_exactly_once(
    offsets: list[int], later_s: int, sent: int, undated: bool
) -> None:
    """The first attempt is cut short after any pack and its answer is lost; meanwhile times that were too far ahead
    have come nearer (C1, C2). The fence takes the first pack under each position."""
    items = [at(offset, n=i) for i, offset in enumerate(offsets)]
    if undated:
        items.append({"domain": "clock", "id": "s", "a": 1, "n": len(items)})
    first = list(entries(sort(request(*items), CLOCK_RULES).accepted, "default", "key"))[:sent]
    again = sort(request(*items), replace(CLOCK_RULES, now_s=NOW_S + later_s))
    fence: dict[tuple[str, int], list[int]] = {}
    for entry in [*first, *entries(again.accepted, "default", "key")]:
        header = packs.split(entry.data)[0]
        fence.setdefault((header.source, header.position), [json.loads(line)["n"] for line in lines_of(entry)])

    applied = sorted(n for rows in fence.values() for n in rows)

    assert applied == sorted({*range(len(items))} - {r.index for r in again.refused})


@given(times=st.lists(st.none() | st.integers(0, 10_000), max_size=40), skew=st.integers(0, 700))
def test_groups_split_no_clock_that_is_right(times: list[int | None], skew: int) -> None:
    found = groups(times, skew)

    for group in range(SPLIT):
        mine = [t for t, g in zip(times, found, strict=True) if g == group and t is not None]
        assert not mine or max(mine) - min(mine) < max(skew, 1)
