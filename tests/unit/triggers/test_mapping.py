"""The configuration: what the Lambda API lists, and what no mapping can have."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from levadactl.triggers import Mapping, MappingError, Start

ARN = "arn:aws:kinesis:eu-west-1:123456789012:stream/readings"
FUNCTION = "arn:aws:lambda:eu-west-1:123456789012:function:clean:live"
MINIMAL = {"EventSourceArn": ARN, "FunctionArn": FUNCTION, "StartingPosition": "TRIM_HORIZON"}


def test_every_setting_is_read_from_the_api() -> None:
    mapping = Mapping.from_api(
        {
            "UUID": "u",
            "EventSourceArn": ARN,
            "FunctionArn": FUNCTION,
            "BatchSize": 500,
            "MaximumBatchingWindowInSeconds": 5,
            "StartingPosition": "AT_TIMESTAMP",
            "StartingPositionTimestamp": datetime(2026, 1, 1, tzinfo=UTC),
            "ParallelizationFactor": 4,
            "BisectBatchOnFunctionError": True,
            "MaximumRetryAttempts": 7,
            "MaximumRecordAgeInSeconds": 3600,
            "DestinationConfig": {"OnFailure": {"Destination": "arn:aws:sqs:eu-west-1:123456789012:dead"}},
            "FunctionResponseTypes": ["ReportBatchItemFailures"],
            "FilterCriteria": {"Filters": [{"Pattern": '{"data": {"a": [1]}}'}]},
            "State": "Enabled",
        }
    )

    assert mapping == Mapping(
        uuid="u",
        stream_arn=ARN,
        function_name=FUNCTION,
        batch_size=500,
        batching_window_s=5,
        starting_position=Start.AT_TIMESTAMP,
        starting_timestamp_s=1_767_225_600.0,
        parallelization_factor=4,
        bisect_on_error=True,
        maximum_retry_attempts=7,
        maximum_record_age_s=3600,
        on_failure_destination="arn:aws:sqs:eu-west-1:123456789012:dead",
        report_batch_item_failures=True,
        filter_patterns=({"data": {"a": [1]}},),
    )
    assert (mapping.stream_name, mapping.region, mapping.account) == ("readings", "eu-west-1", "123456789012")
    assert mapping.function_arn == FUNCTION


def test_what_is_left_out_has_the_default_of_aws() -> None:
    mapping = Mapping.from_api(MINIMAL)

    assert mapping == Mapping(stream_arn=ARN, function_name=FUNCTION)
    assert (mapping.batch_size, mapping.maximum_retry_attempts, mapping.maximum_record_age_s) == (100, -1, -1)


def test_texts_are_read_as_the_numbers_and_flags_that_templates_mean() -> None:
    texts = {"BatchSize": "25", "BisectBatchOnFunctionError": "true", "MaximumBatchingWindowInSeconds": "1"}

    mapping = Mapping.from_api(MINIMAL | texts)

    assert (mapping.batch_size, mapping.bisect_on_error, mapping.batching_window_s) == (25, True, 1.0)


def test_a_consumer_is_read_as_its_stream() -> None:
    assert Mapping.from_api(MINIMAL | {"EventSourceArn": f"{ARN}/consumer/c:1"}).stream_arn == ARN


@pytest.mark.parametrize(("state", "enabled"), [("Enabled", True), ("Disabled", False), ("Creating", True)])
def test_the_state_says_whether_it_is_enabled(state: str, enabled: bool) -> None:
    assert Mapping.from_api(MINIMAL | {"State": state}).enabled is enabled


@pytest.mark.parametrize(
    ("field", "value", "allowed"),
    [
        ("BatchSize", 0, "1..10000"),
        ("BatchSize", 10_001, "1..10000"),
        ("BatchSize", 1.5, "a whole number"),
        ("BatchSize", "many", "a number"),
        ("MaximumBatchingWindowInSeconds", 301, "0..300"),
        ("ParallelizationFactor", 11, "1..10"),
        ("MaximumRetryAttempts", -2, "-1..10000"),
        ("MaximumRecordAgeInSeconds", 59, "60..604800 (or -1: forever)"),
        ("MaximumRecordAgeInSeconds", 604_801, "60..604800 (or -1: forever)"),
        ("StartingPosition", "NOW", "TRIM_HORIZON, LATEST, AT_TIMESTAMP"),
        ("StartingPosition", None, "TRIM_HORIZON, LATEST, AT_TIMESTAMP"),
        ("StartingPosition", "AT_TIMESTAMP", "epoch seconds with AT_TIMESTAMP"),
        ("StartingPositionTimestamp", 5, "nothing otherwise"),
        ("StartingPositionTimestamp", "soon", "epoch seconds or a datetime"),
        ("BisectBatchOnFunctionError", "maybe", "true or false"),
        ("EventSourceArn", "arn:aws:sqs:us-east-1:000000000000:q", "the ARN of a Kinesis stream"),
        ("FunctionArn", "", "a name or an ARN"),
        ("TumblingWindowInSeconds", 30, "not supported here"),
        ("FilterCriteria", {"Filters": [{"Pattern": '{"a": [1]}'}] * 11}, "at most 10 filters"),
    ],
)
def test_a_wrong_value_is_refused_with_field_value_and_what_is_allowed(field: str, value: Any, allowed: str) -> None:
    with pytest.raises(MappingError) as caught:
        Mapping.from_api(MINIMAL | {field: value})

    assert allowed in str(caught.value)
    assert "is not allowed; allowed: " in str(caught.value)


def test_a_bare_function_name_gets_the_streams_account_and_region() -> None:
    mapping = Mapping(stream_arn=ARN, function_name="clean")

    assert mapping.function_arn == "arn:aws:lambda:eu-west-1:123456789012:function:clean"
