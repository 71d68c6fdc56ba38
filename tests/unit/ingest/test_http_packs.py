"""Items of a request: sorted by domain and lane, packed the same way every time."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from levada.core import packs
from levada.core.errors import BadRequestError
from levada.core.packs import MAX_PACK_BYTES, NDJSON_GZIP
from levada.ingest.http_packs import entries, sort
from levada.ingest.http_request import Request
from levada.ingest.lanes import lane_of_item
from levada.ports import Entry
from tests.unit.ingest.support import DOMAINS, TINY, by_position, headers


def request(*items: Any, domain: str | None = None) -> Request:
    texts = [item if isinstance(item, bytes) else json.dumps(item).encode() for item in items]
    return Request(texts, "key", domain, single=False)


def lines_of(entry: Entry) -> list[bytes]:
    return packs.inflate(packs.split(entry.data)[1], NDJSON_GZIP).splitlines()


def test_items_go_to_the_lane_of_their_series_and_keep_their_text() -> None:
    items = [{"domain": "tiny", "id": f"s{i % 11}", "a": i} for i in range(200)]

    found = sort(request(*items), DOMAINS, "default")
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
        request({"domain": "tiny"}, b"{broken", [1], {"domain": "weather"}, {"domain": 7}, {}, b"\xff"),
        DOMAINS,
        "default",
    )

    assert found.count == 1
    assert [r.index for r in found.refused] == [1, 2, 3, 4, 5, 6]
    assert found.refused[1].reason == "item=[1]: must be a JSON object"
    assert found.refused[2].reason == "domain='weather': must be one of air_quality, tiny"
    assert "domain=7" in found.refused[3].reason
    assert "domain=None" in found.refused[4].reason


def test_the_query_names_the_domain_of_items_that_name_none_and_one_domain_needs_no_name() -> None:
    by_query = sort(request({"id": "s"}, {"domain": "air_quality"}, domain="tiny"), DOMAINS, "default")
    alone = sort(request({"id": "s"}), {"tiny": TINY}, "default")

    assert sorted(domain for domain, _ in by_query.accepted) == ["air_quality", "tiny"]
    assert [domain for domain, _ in alone.accepted] == ["tiny"]


SHARED = next(
    i for i in range(1000) if lane_of_item({"id": i}, TINY, "t") == lane_of_item({}, DOMAINS["air_quality"], "t")
)
"""A series of tiny in the lane of all of air_quality."""


@given(ids=st.lists(st.tuples(st.sampled_from(["tiny", "air_quality"]), st.sampled_from([1, 2, SHARED])), max_size=40))
def test_the_same_request_makes_the_same_packs_and_positions_have_no_gaps(ids: list[tuple[str, int]]) -> None:
    """Two domains may share a lane: their packs are counted together."""
    items = [{"domain": domain, "id": str(i)} for domain, i in ids]
    made = [list(entries(sort(request(*items), DOMAINS, "t").accepted, "t", "key")) for _ in range(2)]

    assert made[0] == made[1]
    positions: dict[str, list[int]] = {}
    for source, n in by_position(made[0]):
        positions.setdefault(source, []).append(n)
    assert all(sorted(found) == list(range(len(found))) for found in positions.values())
    assert sum(h.count for h in headers(made[0])) == len(items)
    assert len(by_position(made[0])) == len(made[0])


def test_packs_stay_within_rows_and_bytes() -> None:
    noise = random.Random(1)
    many = [{"domain": "tiny", "id": "s"}] * 1201
    large = [{"domain": "tiny", "id": "s", "x": noise.randbytes(200_000).hex()} for _ in range(9)]

    rows = list(entries(sort(request(*many), DOMAINS, "t").accepted, "t", "k"))
    halves = list(entries(sort(request(*large), DOMAINS, "t").accepted, "t", "k"))

    assert [(h.position, h.count) for h in headers(rows)] == [(0, 500), (1, 500), (2, 201)]
    assert [h.position for h in headers(halves)] == list(range(len(halves)))
    assert all(len(e.data) <= MAX_PACK_BYTES for e in halves)
    assert [json.loads(line) for e in halves for line in lines_of(e)] == large


def test_an_item_too_large_for_a_record_is_413() -> None:
    item = {"domain": "tiny", "x": random.Random(1).randbytes(1_100_000).hex()}

    with pytest.raises(BadRequestError, match="too large for one stream record") as caught:
        list(entries(sort(request(item), DOMAINS, "t").accepted, "t", "k"))

    assert caught.value.status == 413
