"""What levada is measured against: a handler of the usual kind, and the bare limit of record-by-record decoding."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

import msgspec
from aws_lambda_powertools.utilities.batch import BatchProcessor, EventType, process_partial_response
from aws_lambda_powertools.utilities.data_classes.kinesis_stream_event import KinesisStreamRecord
from pybase64 import b64decode
from pydantic import BaseModel, Field


class Event(BaseModel):
    """The event as the usual handler declares it, limits included."""

    sensor_id: str
    time: datetime
    temperature: float = Field(ge=-40, le=60)
    humidity: float = Field(ge=0, le=100)


class _Nothing:
    """A Lambda context that nothing looks into."""


def usual_handler() -> Callable[[dict[str, Any]], tuple[int, int]]:
    """As Powertools' documentation has it: ``data_as_json``, then a model of it."""
    return _batch_processor(lambda record: Event.model_validate(record.kinesis.data_as_json()))


def tuned_handler() -> Callable[[dict[str, Any]], tuple[int, int]]:
    """The fastest of the variants: the model reads the bytes itself."""
    return _batch_processor(lambda record: Event.model_validate_json(record.kinesis.data_as_bytes()))


def _batch_processor(read: Callable[[KinesisStreamRecord], Event]) -> Callable[[dict[str, Any]], tuple[int, int]]:
    """A BatchProcessor with a pydantic model per record; made once, for one per invocation leaks."""
    processor = BatchProcessor(event_type=EventType.KinesisDataStreams)

    def handler(event: dict[str, Any]) -> tuple[int, int]:
        good: list[Event] = []

        def one(record: KinesisStreamRecord) -> None:
            good.append(read(record))

        context: Any = _Nothing()
        response = process_partial_response(event=event, record_handler=one, processor=processor, context=context)
        return len(good), len(response["batchItemFailures"])

    return handler


class Row(msgspec.Struct, gc=False):
    """The event with its types and nothing else: no limits, the time as text."""

    sensor_id: str
    time: str
    temperature: float
    humidity: float


def bare_limit() -> Callable[[dict[str, Any]], tuple[int, int]]:
    """base64 and msgspec for each record: no column, no check of time or limits, no reason for a bad one."""
    decode = msgspec.json.Decoder(Row).decode

    def handler(event: dict[str, Any]) -> tuple[int, int]:
        good: list[Row] = []
        bad = 0
        for record in event["Records"]:
            try:
                good.append(decode(b64decode(record["kinesis"]["data"])))
            except msgspec.DecodeError:
                bad += 1
        return len(good), bad

    return handler
