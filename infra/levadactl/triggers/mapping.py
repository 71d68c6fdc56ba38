"""The configuration of an event source mapping, read from the Lambda API and checked against AWS's limits.

https://docs.aws.amazon.com/lambda/latest/api/API_CreateEventSourceMapping.html
"""

from __future__ import annotations

import re
from collections.abc import Mapping as AbstractMapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from levadactl.triggers.errors import MappingError
from levadactl.triggers.filters import MAX_FILTERS, Pattern, parse_pattern
from levadactl.triggers.model import Start

FOREVER = -1
_STREAM_ARN = re.compile(r"arn:[\w-]+:kinesis:(?P<region>[\w-]*):(?P<account>\d*):stream/(?P<name>[\w.-]+)")
DEFAULT_STREAM_ARN = "arn:aws:kinesis:us-east-1:000000000000:stream/memory"


@dataclass(frozen=True, slots=True, kw_only=True)
class Mapping:
    """One event source mapping; every field has AWS's default. A wrong value raises MappingError."""

    stream_arn: str = DEFAULT_STREAM_ARN
    function_name: str = "function"
    """Name or ARN, as it is handed to Invoke."""
    batch_size: int = 100
    batching_window_s: float = 0.0
    """Gather records for up to so many seconds before invoking; 0 = invoke with what there is."""
    starting_position: Start = Start.TRIM_HORIZON
    starting_timestamp_s: float | None = None
    """Epoch seconds; with AT_TIMESTAMP only."""
    parallelization_factor: int = 1
    bisect_on_error: bool = False
    maximum_retry_attempts: int = FOREVER
    maximum_record_age_s: int = FOREVER
    on_failure_destination: str | None = None
    """ARN of an SQS queue or SNS topic."""
    report_batch_item_failures: bool = False
    filter_patterns: tuple[Pattern, ...] = ()
    """Decoded patterns; a record that meets any of them is delivered."""
    enabled: bool = True
    uuid: str = ""

    def __post_init__(self) -> None:
        if not _STREAM_ARN.match(self.stream_arn):
            raise MappingError("EventSourceArn", self.stream_arn, "the ARN of a Kinesis stream")
        if not self.function_name:
            raise MappingError("FunctionName", self.function_name, "a name or an ARN")
        _within("BatchSize", self.batch_size, 1, 10_000)
        _within("MaximumBatchingWindowInSeconds", self.batching_window_s, 0, 300)
        _within("ParallelizationFactor", self.parallelization_factor, 1, 10)
        _within("MaximumRetryAttempts", self.maximum_retry_attempts, -1, 10_000)
        if self.maximum_record_age_s != FOREVER:
            _within("MaximumRecordAgeInSeconds", self.maximum_record_age_s, 60, 604_800, " (or -1: forever)")
        if self.starting_position not in tuple(Start):
            raise MappingError("StartingPosition", self.starting_position, ", ".join(Start))
        if (self.starting_position == Start.AT_TIMESTAMP) != (self.starting_timestamp_s is not None):
            allowed = "epoch seconds with AT_TIMESTAMP, nothing otherwise"
            raise MappingError("StartingPositionTimestamp", self.starting_timestamp_s, allowed)
        if len(self.filter_patterns) > MAX_FILTERS:
            raise MappingError("FilterCriteria.Filters", len(self.filter_patterns), f"at most {MAX_FILTERS} filters")
        for pattern in self.filter_patterns:
            parse_pattern(pattern)

    @property
    def stream_name(self) -> str:
        """Name in the stream's ARN."""
        return self._arn_part("name")

    @property
    def region(self) -> str:
        """Region in the stream's ARN."""
        return self._arn_part("region")

    @property
    def account(self) -> str:
        """Account in the stream's ARN."""
        return self._arn_part("account")

    @property
    def function_arn(self) -> str:
        """The function's ARN; a bare name is taken to be in the stream's account and region."""
        if self.function_name.startswith("arn:"):
            return self.function_name
        return f"arn:aws:lambda:{self.region}:{self.account}:function:{self.function_name}"

    def _arn_part(self, part: str) -> str:
        found = _STREAM_ARN.match(self.stream_arn)
        return found[part] if found else ""

    @classmethod
    def from_api(cls, entry: AbstractMapping[str, Any]) -> Mapping:
        """From one entry of ``list_event_source_mappings``; texts such as "5" or "true" are accepted for numbers.

        A consumer's ARN (enhanced fan-out) is read as its stream. Tumbling windows are refused.
        """
        if _number(entry, "TumblingWindowInSeconds", 0):
            raise MappingError("TumblingWindowInSeconds", entry["TumblingWindowInSeconds"], "0: not supported here")
        source = str(entry.get("EventSourceArn") or "")
        found = _STREAM_ARN.match(source)
        destination = ((entry.get("DestinationConfig") or {}).get("OnFailure") or {}).get("Destination")
        filters = (entry.get("FilterCriteria") or {}).get("Filters") or []
        response_types = entry.get("FunctionResponseTypes") or []
        return cls(
            stream_arn=found[0] if found else source,
            function_name=str(entry.get("FunctionArn") or entry.get("FunctionName") or ""),
            batch_size=_whole(entry, "BatchSize", 100),
            batching_window_s=_number(entry, "MaximumBatchingWindowInSeconds", 0),
            starting_position=_start(entry.get("StartingPosition")),
            starting_timestamp_s=_timestamp(entry.get("StartingPositionTimestamp")),
            parallelization_factor=_whole(entry, "ParallelizationFactor", 1),
            bisect_on_error=_flag(entry, "BisectBatchOnFunctionError", False),
            maximum_retry_attempts=_whole(entry, "MaximumRetryAttempts", FOREVER),
            maximum_record_age_s=_whole(entry, "MaximumRecordAgeInSeconds", FOREVER),
            on_failure_destination=str(destination) if destination else None,
            report_batch_item_failures="ReportBatchItemFailures" in response_types,
            filter_patterns=tuple(parse_pattern(f.get("Pattern", "")) for f in filters),
            enabled=_flag(entry, "Enabled", str(entry.get("State", "Enabled")) not in ("Disabled", "Disabling")),
            uuid=str(entry.get("UUID") or ""),
        )


def _within(field: str, value: float, low: int, high: int, also: str = "") -> None:
    if isinstance(value, bool) or not low <= value <= high:
        raise MappingError(field, value, f"{low}..{high}{also}")


def _number(entry: AbstractMapping[str, Any], field: str, default: float) -> float:
    value = entry.get(field)
    if value is None:
        return default
    try:
        return float(value)
    except (TypeError, ValueError):
        raise MappingError(field, value, "a number") from None


def _whole(entry: AbstractMapping[str, Any], field: str, default: int) -> int:
    number = _number(entry, field, default)
    if number != int(number):
        raise MappingError(field, entry.get(field), "a whole number")
    return int(number)


def _flag(entry: AbstractMapping[str, Any], field: str, default: bool) -> bool:
    value = entry.get(field)
    if value is None:
        return default
    if isinstance(value, bool):
        return value
    if str(value).lower() in ("true", "false"):
        return str(value).lower() == "true"
    raise MappingError(field, value, "true or false")


def _start(value: object) -> Start:
    try:
        return Start(str(value))
    except ValueError:
        raise MappingError("StartingPosition", value, ", ".join(Start)) from None


def _timestamp(value: object) -> float | None:
    if value is None:
        return None
    if isinstance(value, datetime):
        return value.timestamp()
    try:
        return float(str(value))
    except ValueError:
        raise MappingError("StartingPositionTimestamp", value, "epoch seconds or a datetime") from None
