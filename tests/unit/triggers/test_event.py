"""The event: an independent parser accepts it, and its size is known before it is built."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from levadactl.triggers import Envelope, Harness, Record
from levadactl.triggers.event import FRAME_BYTES, encode
from tests.unit.triggers.handlers import fine

ENVELOPE = Envelope("shardId-000000000007", "arn:aws:kinesis:us-east-1:000000000000:stream/s", "us-east-1", "role/é")

some_records = st.builds(
    Record,
    st.integers(0, 10**56 - 1).map(str),
    st.text(min_size=1, max_size=20),
    st.binary(max_size=50),
    st.integers(0, 2_000_000_000_000).map(lambda ms: ms / 1000),
)


@given(st.lists(some_records, min_size=1, max_size=5))
def test_the_size_of_an_event_is_the_sum_of_its_records_commas_and_frame(records: list[Record]) -> None:
    constant = ENVELOPE.constant_bytes()
    sizes = [ENVELOPE.record_bytes(record, constant) for record in records]

    assert len(encode(ENVELOPE.event(records))) == FRAME_BYTES + sum(sizes) + len(sizes) - 1


def test_powertools_parser_accepts_the_event() -> None:
    from aws_lambda_powertools.utilities.data_classes import KinesisStreamEvent

    harness = Harness(fine)
    harness.put({"a": 1}, {"a": 2}, partition_key="ключ")
    harness.run_until_drained()

    (first, second) = KinesisStreamEvent(harness.invocations[0].event).records

    assert first.kinesis.data_as_json() == {"a": 1}
    assert second.kinesis.partition_key == "ключ"
    assert first.event_id == f"shardId-000000000000:{first.kinesis.sequence_number}"
    assert first.event_source_arn == harness.stream.arn
