"""A Kinesis batch to columns: order, shards, what is none."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from levada.core.errors import ConfigError
from levada.core.kinesis_event import parse

FIRST = 49_590_338_271_490_256_608_559_692_538_361_571_095_921_575_989_136_588_898


def _record(sequence: int, *, shard: int = 0, data: str | None = None) -> dict[str, Any]:
    return {
        "eventID": f"shardId-{shard:012d}:{sequence}",
        "eventSourceARN": "arn",
        "kinesis": {
            "sequenceNumber": str(sequence),
            "partitionKey": f"k{sequence}",
            "approximateArrivalTimestamp": sequence % 1000 + 0.5,
            "data": base64.b64encode(str(sequence).encode()).decode() if data is None else data,
        },
    }


@given(st.permutations(list(range(8, 13))), st.sampled_from([0, FIRST]))
def test_records_come_out_in_the_order_of_their_numbers(order: list[int], first: int) -> None:
    batch = parse({"Records": [_record(first + i) for i in order]})

    assert batch is not None
    expected = [first + i for i in sorted(order)]
    assert [int(s) for s in batch.sequences] == expected
    assert [int(d) for d in batch.data] == expected
    assert [k[1:] for k in batch.partition_keys] == batch.sequences
    assert batch.record(0).sequence == expected[0]


@pytest.mark.parametrize("at", [0, 510, 511, 512, 700, 1298])
@pytest.mark.parametrize("lengthened", [False, True])
def test_two_records_that_changed_places_come_out_in_order_wherever_they_stand(at: int, lengthened: bool) -> None:
    first = FIRST if not lengthened else 10**20 - at - 1  # the number behind ``at`` has one digit more
    order = list(range(1300))
    order[at], order[at + 1] = order[at + 1], order[at]

    batch = parse({"Records": [_record(first + i) for i in order]})

    assert batch is not None
    assert [int(s) - first for s in batch.sequences] == list(range(1300))


@pytest.mark.parametrize("at", [0, 700, 1299])
def test_one_record_of_another_shard_is_found_wherever_it_stands(at: int) -> None:
    records = [_record(FIRST + i, shard=3 if i == at else 2) for i in range(1300)]

    with pytest.raises(ConfigError, match=r"mixes shards \['shardId-000000000002', 'shardId-000000000003'\]"):
        parse({"Records": records})


def test_line_breaks_in_base64_do_not_matter() -> None:
    batch = parse({"Records": [_record(1, data="YWJj\nZGVm"), _record(2)]})

    assert batch is not None
    assert batch.data == [b"abcdef", b"2"]


@pytest.mark.parametrize(
    "records",
    [[{}], [{"kinesis": {}}], [_record(1) | {"eventID": 7}], [_record(1, data="a")], [None]],
    ids=["empty", "no fields", "event id is no text", "not base64", "no object"],
)
def test_what_is_no_kinesis_record_is_said_to_be_none(records: list[Any]) -> None:
    with pytest.raises(ConfigError, match="not of Kinesis"):
        parse({"Records": records})


def test_no_records_is_no_batch() -> None:
    assert parse({"Records": []}) is None


@pytest.mark.parametrize("name", ["partitionKey", "approximateArrivalTimestamp"])
def test_a_field_that_a_later_record_lacks_is_missed_by_whoever_asks_for_it(name: str) -> None:
    records = [_record(i) for i in range(3)]
    del records[2]["kinesis"][name]
    batch = parse({"Records": records})
    assert batch is not None
    column = batch.partition_keys if name == "partitionKey" else batch.arrived_s

    assert column[1] in ("k1", 1.5)
    for ask in (lambda: column[2], lambda: list(column), lambda: batch.record(2)):
        with pytest.raises(ConfigError, match=f"not of Kinesis: KeyError '{name}'"):
            ask()


def test_arrivals_and_keys_are_the_same_one_by_one_and_together() -> None:
    batch = parse({"Records": [_record(i) for i in (1, 0, 2)]})
    assert batch is not None

    one_by_one = [(batch.arrived_s[i], batch.partition_keys[i]) for i in range(len(batch))]

    assert one_by_one == [(0.5, "k0"), (1.5, "k1"), (2.5, "k2")]
    assert list(zip(batch.arrived_s, batch.partition_keys, strict=True)) == one_by_one
    assert (batch.arrived_s[-1], len(batch.arrived_s)) == (2.5, 3)
