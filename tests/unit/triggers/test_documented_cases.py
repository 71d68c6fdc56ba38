"""What AWS documents of Kinesis event source mappings, rule by rule; each test's name is the rule.

https://docs.aws.amazon.com/lambda/latest/dg/with-kinesis.html and the pages below it.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest

from levadactl.triggers import (
    Backoff,
    Condition,
    Harness,
    Invoke,
    Mapping,
    NotDrainedError,
    Start,
    Throttled,
    Unavailable,
)
from levadactl.triggers.failure_record import iso_ms
from tests.unit.triggers.handlers import bodies, fine, raising, reporting

QUEUE = "arn:aws:sqs:us-east-1:000000000000:dead-letters"
REPORT = Mapping(report_batch_item_failures=True, maximum_retry_attempts=2, on_failure_destination=QUEUE)


def answering(answer: Any) -> Any:
    return lambda event, context: answer


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param({"batchItemFailures": []}, id="an empty batchItemFailures list"),
        pytest.param({"batchItemFailures": None}, id="a null batchItemFailures list"),
        pytest.param({}, id="an empty EventResponse"),
        pytest.param(None, id="a null EventResponse"),
        pytest.param("", id="an empty string"),
        pytest.param([], id="an empty list"),
        pytest.param({"statusCode": 200}, id="an object without the list"),
    ],
)
def test_lambda_treats_a_batch_as_a_complete_success_if_the_function_returns(answer: object) -> None:
    harness = Harness(answering(answer), REPORT)
    harness.put("a", "b")

    harness.run_until_drained()

    assert harness.batches == [[b"a", b"b"]]
    assert harness.discarded == []


@pytest.mark.parametrize(
    "failure",
    [
        pytest.param({"itemIdentifier": ""}, id="an empty string itemIdentifier"),
        pytest.param({"itemIdentifier": None}, id="a null itemIdentifier"),
        pytest.param({"identifier": "1"}, id="an itemIdentifier with a bad key name"),
        pytest.param({"itemIdentifier": "1"}, id="an itemIdentifier that is not in the batch"),
        pytest.param({"itemIdentifier": 1}, id="an itemIdentifier that is no string"),
        pytest.param("1", id="an entry that is no object"),
    ],
)
def test_lambda_treats_a_batch_as_a_complete_failure_if_the_function_returns(failure: object) -> None:
    harness = Harness(answering({"batchItemFailures": [failure]}), REPORT)
    harness.put("a", "b")

    harness.run_until_drained()

    assert harness.batches == [[b"a", b"b"]] * 3
    assert [len(d.records) for d in harness.discarded] == [2]


def test_one_bad_entry_fails_the_whole_batch_even_beside_a_good_one() -> None:
    def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
        number = event["Records"][1]["kinesis"]["sequenceNumber"]
        return {"batchItemFailures": [{"itemIdentifier": number}, {"itemIdentifier": ""}]}

    harness = Harness(handler, REPORT)
    harness.put("a", "b")

    harness.run_until_drained()

    assert harness.batches == [[b"a", b"b"]] * 3


def test_the_lowest_sequence_number_is_the_checkpoint_and_everything_from_it_comes_again() -> None:
    harness = Harness(reporting(b"c", b"e"), REPORT)
    harness.put("a", "b", "c", "d", "e")

    harness.step()
    harness.run_until_drained()

    assert harness.batches[:2] == [[b"a", b"b", b"c", b"d", b"e"], [b"c", b"d", b"e"]]


def test_partial_responses_are_not_processed_unless_the_mapping_asks_for_them() -> None:
    harness = Harness(reporting(b"a"), Mapping())
    harness.put("a", "b")

    harness.run_until_drained()

    assert harness.batches == [[b"a", b"b"]]
    assert harness.discarded == []


def test_without_reporting_any_answer_is_a_success() -> None:
    harness = Harness(answering({"statusCode": 500}), Mapping())
    harness.put("a")

    harness.run_until_drained()

    assert len(harness.invocations) == 1


def test_a_function_error_retries_the_entire_batch_and_blocks_the_shard_until_it_expires() -> None:
    harness = Harness(raising(), Mapping(batch_size=2, maximum_record_age_s=60))
    harness.put("a", "poison")
    harness.advance(30)
    harness.put("b")

    harness.run_until_drained()

    assert len(harness.batches) > 2
    assert harness.batches[:-1] == [[b"a", b"poison"]] * (len(harness.batches) - 1)
    assert harness.batches[-1] == [b"b"]
    assert [(d.condition, len(d.records)) for d in harness.discarded] == [(Condition.AGE, 2)]


def test_with_the_defaults_a_batch_is_retried_for_ever() -> None:
    harness = Harness(raising(), Mapping())
    harness.put("poison")

    with pytest.raises(NotDrainedError, match="1 records still wait"):
        harness.run_until_drained(max_invocations=50)


def test_maximum_retry_attempts_counts_retries_not_invocations() -> None:
    harness = Harness(raising(), Mapping(maximum_retry_attempts=3))
    harness.put("poison")

    harness.run_until_drained()

    assert len(harness.invocations) == 4
    assert [d.condition for d in harness.discarded] == [Condition.RETRIES]


def test_no_retries_means_one_invocation() -> None:
    harness = Harness(raising(), Mapping(maximum_retry_attempts=0))
    harness.put("poison")

    harness.run_until_drained()

    assert len(harness.invocations) == 1


def test_after_discarding_lambda_continues_with_the_batches_behind() -> None:
    harness = Harness(raising(), Mapping(maximum_retry_attempts=0, batch_size=1))
    harness.put("poison", "a")

    harness.run_until_drained()

    assert harness.batches == [[b"poison"], [b"a"]]


def test_bisect_splits_a_failed_batch_in_two_and_isolates_the_bad_record() -> None:
    harness = Harness(raising(), Mapping(bisect_on_error=True, maximum_retry_attempts=0))
    harness.put("a", "b", "poison", "d")

    harness.run_until_drained()

    assert harness.batches == [[b"a", b"b", b"poison", b"d"], [b"a", b"b"], [b"poison", b"d"], [b"poison"], [b"d"]]
    assert [r.data for d in harness.discarded for r in d.records] == [b"poison"]


def test_splitting_a_batch_does_not_count_towards_the_retry_quota() -> None:
    harness = Harness(raising(), Mapping(bisect_on_error=True, maximum_retry_attempts=2))
    harness.put("a", "b", "c", "poison")

    harness.run_until_drained()

    assert [len(batch) for batch in harness.batches] == [4, 2, 2, 1, 1, 1, 1]
    assert harness.batches[-3:] == [[b"poison"]] * 3


def test_with_partial_responses_bisect_splits_at_the_returned_sequence_number_and_retries_only_the_rest() -> None:
    harness = Harness(
        reporting(b"poison"),
        Mapping(bisect_on_error=True, report_batch_item_failures=True, maximum_retry_attempts=0),
    )
    harness.put("a", "poison", "c", "d")

    harness.run_until_drained()

    assert harness.batches[:2] == [[b"a", b"poison", b"c", b"d"], [b"poison", b"c", b"d"]]
    assert [r.data for d in harness.discarded for r in d.records] == [b"poison"]


def test_a_failed_invocation_is_bisected_regardless_of_reporting() -> None:
    mapping = Mapping(bisect_on_error=True, report_batch_item_failures=True, maximum_retry_attempts=0)
    harness = Harness(raising(), mapping)
    harness.put("a", "poison")

    harness.run_until_drained()

    assert harness.batches == [[b"a", b"poison"], [b"a"], [b"poison"]]


def test_throttles_are_retried_until_the_function_can_be_called_and_use_up_no_retry() -> None:
    calls: list[Invoke] = []

    def throttle(command: Invoke) -> Throttled | Unavailable | None:
        calls.append(command)
        return (Throttled() if len(calls) % 2 else Unavailable("lost")) if len(calls) <= 6 else None

    harness = Harness(fine, Mapping(maximum_retry_attempts=0), intercept=throttle)
    harness.put("a")

    harness.run_until_drained()

    assert len(harness.invocations) == 7
    assert harness.discarded == []
    assert {call.attempt for call in calls} == {1}


def test_throttled_records_are_discarded_when_they_exceed_the_maximum_age() -> None:
    harness = Harness(fine, Mapping(maximum_record_age_s=60), intercept=lambda command: Throttled())
    harness.put("a")

    harness.run_until_drained()

    assert [d.condition for d in harness.discarded] == [Condition.AGE]
    assert harness.discarded[0].body["requestContext"]["approximateInvokeCount"] == 0


def test_retries_wait_longer_and_longer() -> None:
    harness = Harness(raising(), Mapping(maximum_retry_attempts=4), backoff=Backoff(first_s=1, factor=2, max_s=5))
    harness.put("poison")

    harness.run_until_drained()

    times = [invocation.at_s for invocation in harness.invocations]
    assert [b - a for a, b in pairwise(times)] == [1, 2, 4, 5]


def test_records_older_than_the_maximum_age_are_discarded_before_the_function_sees_them() -> None:
    harness = Harness(fine, Mapping(maximum_record_age_s=60, on_failure_destination=QUEUE))
    harness.put("old")
    harness.clock.advance(61)
    harness.put("new")

    harness.run_until_drained()

    assert harness.batches == [[b"new"]]
    (message,) = harness.messages
    assert message["requestContext"]["condition"] == "RecordAgeExceeded"
    assert message["requestContext"]["approximateInvokeCount"] == 0
    assert "responseContext" not in message


def test_a_record_exactly_as_old_as_the_maximum_age_is_still_delivered() -> None:
    harness = Harness(fine, Mapping(maximum_record_age_s=60))
    harness.put("a")
    harness.clock.advance(60)

    harness.run_until_drained()

    assert harness.batches == [[b"a"]]


def test_records_that_expire_from_the_stream_are_not_retried_any_more() -> None:
    harness = Harness(raising(), Mapping())
    harness.put("poison")

    harness.run_until_drained()

    assert harness.invocations[-1].at_s - harness.invocations[0].at_s <= harness.stream.retention_s


def test_the_on_failure_message_is_the_documented_one() -> None:
    harness = Harness(raising(), Mapping(maximum_retry_attempts=1, on_failure_destination=QUEUE))
    start_s = harness.clock()
    first = harness.put("poison")[0]
    harness.clock.advance(0.5)
    last = harness.put("b")[0]

    harness.run_until_drained()

    (discard,) = harness.discarded
    assert discard.destination == QUEUE
    assert discard.body == {
        "requestContext": {
            "requestId": "00000000-0000-4000-8000-000000000002",
            "functionArn": "arn:aws:lambda:us-east-1:000000000000:function:function",
            "condition": "RetryAttemptsExhausted",
            "approximateInvokeCount": 2,
        },
        "responseContext": {"statusCode": 200, "executedVersion": "$LATEST", "functionError": "Unhandled"},
        "version": "1.0",
        "timestamp": iso_ms(harness.clock()),
        "KinesisBatchInfo": {
            "shardId": "shardId-000000000000",
            "startSequenceNumber": first.sequence_number,
            "endSequenceNumber": last.sequence_number,
            "approximateArrivalOfFirstRecord": iso_ms(start_s),
            "approximateArrivalOfLastRecord": iso_ms(start_s + 0.5),
            "batchSize": 2,
            "streamArn": harness.stream.arn,
        },
    }
    assert discard.body["timestamp"].endswith("Z")
    assert len(discard.body["timestamp"]) == len("2019-11-14T00:38:06.021Z")


def test_a_batch_given_up_after_partial_responses_has_no_function_error() -> None:
    harness = Harness(reporting(b"poison"), REPORT)
    harness.put("a", "poison")

    harness.run_until_drained()

    (message,) = harness.messages
    assert message["responseContext"] == {"statusCode": 200, "executedVersion": "$LATEST", "functionError": None}
    assert message["KinesisBatchInfo"]["batchSize"] == 1


def test_without_a_destination_discarded_records_are_only_dropped() -> None:
    harness = Harness(raising(), Mapping(maximum_retry_attempts=0))
    harness.put("poison")

    harness.run_until_drained()

    assert [d.destination for d in harness.discarded] == [None]
    assert harness.messages == []


def test_a_batch_is_invoked_when_it_reaches_the_batch_size() -> None:
    harness = Harness(fine, Mapping(batch_size=2, batching_window_s=300))
    harness.put("a", "b", "c")

    harness.run_due()

    assert harness.batches == [[b"a", b"b"]]


def test_a_batch_is_invoked_when_the_batching_window_is_over() -> None:
    harness = Harness(fine, Mapping(batch_size=100, batching_window_s=5))
    start_s = harness.clock()
    harness.put("a")
    harness.advance(4.5)
    harness.put("b")
    assert harness.batches == []

    harness.run_until_drained()

    assert harness.batches == [[b"a", b"b"]]
    assert harness.invocations[0].at_s == start_s + 5


def test_a_batch_is_invoked_when_it_reaches_the_payload_limit_of_6_mb() -> None:
    harness = Harness(fine, Mapping(batch_size=10_000, batching_window_s=300))
    for _ in range(5):
        harness.put(b"x" * 1_000_000)
    assert harness.batches == []

    harness.run_due()

    assert [len(batch) for batch in harness.batches] == [4]


def test_by_default_the_function_is_invoked_as_soon_as_records_are_available() -> None:
    harness = Harness(fine, Mapping())
    harness.put("a")

    harness.run_due()

    assert harness.batches == [[b"a"]]
    assert harness.invocations[0].at_s == harness.clock()


def test_each_batch_contains_records_from_a_single_shard() -> None:
    harness = Harness(fine, Mapping(), shards=4)
    for n in range(40):
        harness.put(f"{n}", partition_key=f"key-{n}")

    harness.run_until_drained()

    assert len({invocation.shard_id for invocation in harness.invocations}) == 4
    for invocation in harness.invocations:
        assert {r["eventID"].split(":")[0] for r in invocation.event["Records"]} == {invocation.shard_id}


def test_with_a_parallelization_factor_records_of_a_partition_key_stay_in_order() -> None:
    harness = Harness(fine, Mapping(batch_size=3, parallelization_factor=4))
    for n in range(60):
        harness.put(f"{n}", partition_key=f"key-{n % 20}")

    harness.run_until_drained()

    seen = [(r.partition_key, int(r.data)) for invocation in harness.invocations for r in invocation.records]
    for key in {key for key, _ in seen}:
        numbers = [n for k, n in seen if k == key]
        assert numbers == sorted(numbers)
    assert len({invocation.lane for invocation in harness.invocations}) == 4


def test_with_a_parallelization_factor_one_lane_does_not_wait_for_another() -> None:
    harness = Harness(raising(), Mapping(batch_size=1, parallelization_factor=2, maximum_retry_attempts=50))
    harness.put("poison", partition_key="a")
    for n in range(20):
        harness.put(f"{n}", partition_key=f"key-{n}")

    harness.run_due()

    assert harness.batches.count([b"poison"]) == 1
    assert 0 < len(harness.batches) - 1 < 20


def test_trim_horizon_starts_at_the_oldest_record() -> None:
    earlier = Harness(fine)
    earlier.put("old")

    harness = Harness(fine, Mapping(), stream=earlier.stream, clock=earlier.clock)
    harness.put("new")
    harness.run_until_drained()

    assert harness.batches == [[b"old", b"new"]]


def test_latest_starts_with_records_that_arrive_after_the_mapping() -> None:
    earlier = Harness(fine)
    earlier.put("old")
    earlier.clock.advance(1)

    harness = Harness(fine, Mapping(starting_position=Start.LATEST), stream=earlier.stream, clock=earlier.clock)
    harness.put("new")
    harness.run_until_drained()

    assert harness.batches == [[b"new"]]


def test_at_timestamp_starts_with_the_first_record_of_that_time() -> None:
    earlier = Harness(fine)
    earlier.put("old")
    earlier.clock.advance(10.25)
    start_s = earlier.clock()
    earlier.put("new")

    mapping = Mapping(starting_position=Start.AT_TIMESTAMP, starting_timestamp_s=start_s)
    harness = Harness(fine, mapping, stream=earlier.stream, clock=earlier.clock)
    harness.run_until_drained()

    assert harness.batches == [[b"new"]]


def test_records_that_no_filter_wants_are_not_delivered_and_the_iterator_advances_past_them() -> None:
    mapping = Mapping(filter_patterns=({"data": {"kind": ["buy"]}}, {"partitionKey": [{"prefix": "vip"}]}))
    harness = Harness(fine, mapping)
    harness.put({"kind": "sell"}, {"kind": "buy"}, "no json")
    last = harness.put("no json, but metadata", partition_key="vip-1")[0]
    harness.put({"kind": "sell"})

    harness.run_until_drained()

    assert [len(batch) for batch in harness.batches] == [2]
    assert harness.machine.waiting == 0
    assert int(harness.machine.checkpoint("shardId-000000000000") or 0) > int(last.sequence_number)


def test_a_timeout_is_a_function_error() -> None:
    def handler(event: dict[str, Any], context: Any) -> None:
        raise TimeoutError(f"Task timed out after {context.get_remaining_time_in_millis() / 1000:.2f} seconds")

    harness = Harness(handler, Mapping(maximum_retry_attempts=1, on_failure_destination=QUEUE))
    harness.put("a")

    harness.run_until_drained()

    assert len(harness.invocations) == 2
    assert harness.messages[0]["responseContext"]["functionError"] == "Unhandled"


def test_an_answer_that_is_no_json_is_a_function_error() -> None:
    harness = Harness(answering({1, 2}), Mapping(maximum_retry_attempts=0))
    harness.put("a")

    harness.run_until_drained()

    assert [len(d.records) for d in harness.discarded] == [1]


def test_the_event_carries_the_records_as_documented() -> None:
    harness = Harness(fine)
    number = harness.put("Hello, this is a test.", partition_key="1")[0].sequence_number

    harness.run_until_drained()

    assert bodies(harness.invocations[0].event) == [b"Hello, this is a test."]
    assert harness.invocations[0].event["Records"] == [
        {
            "kinesis": {
                "kinesisSchemaVersion": "1.0",
                "partitionKey": "1",
                "sequenceNumber": number,
                "data": "SGVsbG8sIHRoaXMgaXMgYSB0ZXN0Lg==",
                "approximateArrivalTimestamp": harness.clock(),
            },
            "eventSource": "aws:kinesis",
            "eventVersion": "1.0",
            "eventID": f"shardId-000000000000:{number}",
            "eventName": "aws:kinesis:record",
            "invokeIdentityArn": "arn:aws:iam::000000000000:role/lambda-role",
            "awsRegion": "us-east-1",
            "eventSourceARN": harness.stream.arn,
        }
    ]


def test_after_a_split_the_parent_is_drained_before_its_children_start_at_their_first_record() -> None:
    harness = Harness(raising(), Mapping(batch_size=1, maximum_retry_attempts=2))
    harness.put("poison", "last of the parent")
    children = harness.stream.split_shard("shardId-000000000000")
    for n in range(10):
        harness.put(f"{n}", partition_key=f"key-{n}")

    harness.run_until_drained()

    shards = [invocation.shard_id for invocation in harness.invocations]
    assert set(shards[:4]) == {"shardId-000000000000"}
    assert set(shards[4:]) == set(children)
    assert len(shards) == 14


def test_after_a_merge_both_parents_are_drained_before_the_child_starts() -> None:
    harness = Harness(fine, Mapping(batch_size=1), shards=2)
    for n in range(10):
        harness.put(f"{n}", partition_key=f"key-{n}")
    child = harness.stream.merge_shards("shardId-000000000000", "shardId-000000000001")
    harness.put("child")

    harness.run_until_drained()

    shards = [invocation.shard_id for invocation in harness.invocations]
    assert shards.count(child) == 1
    assert shards[-1] == child
    assert len(shards) == 11


def test_the_iterator_age_is_the_age_of_the_last_record_when_the_function_has_finished() -> None:
    harness = Harness(fine, Mapping(batching_window_s=10))
    harness.put("a")
    harness.advance(4)
    harness.put("b")

    harness.run_until_drained()

    assert harness.machine.stats("shardId-000000000000").iterator_age_s == pytest.approx(6, abs=0.01)
