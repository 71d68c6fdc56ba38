"""The message that AWS sends to an on-failure destination when a batch is discarded.

https://docs.aws.amazon.com/lambda/latest/dg/kinesis-on-failure-destination.html
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from levadactl.triggers.model import Condition, Failed, Record, Returned


def iso_ms(at_s: float) -> str:
    """Epoch seconds as ``2026-01-02T03:04:05.678Z``."""
    return datetime.fromtimestamp(round(at_s * 1000) / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


def failure_body(
    *,
    records: Sequence[Record],
    shard_id: str,
    stream_arn: str,
    function_arn: str,
    condition: Condition,
    invoke_count: int,
    request_id: str,
    last: Returned | Failed | None,
    now_s: float,
) -> dict[str, Any]:
    """Metadata only: the records themselves stay in the stream until its retention ends.

    As on AWS, a batch that grew too old has no ``responseContext``, and a batch that was given back by a partial
    response has ``functionError: null``.
    """
    body: dict[str, Any] = {
        "requestContext": {
            "requestId": request_id,
            "functionArn": function_arn,
            "condition": condition.value,
            "approximateInvokeCount": invoke_count,
        }
    }
    if last is not None and condition is Condition.RETRIES:
        body["responseContext"] = {
            "statusCode": 200,
            "executedVersion": last.executed_version,
            "functionError": last.error if isinstance(last, Failed) else None,
        }
    return body | {
        "version": "1.0",
        "timestamp": iso_ms(now_s),
        "KinesisBatchInfo": _batch_info(records, shard_id, stream_arn),
    }


def _batch_info(records: Sequence[Record], shard_id: str, stream_arn: str) -> dict[str, Any]:
    return {
        "shardId": shard_id,
        "startSequenceNumber": records[0].sequence_number,
        "endSequenceNumber": records[-1].sequence_number,
        "approximateArrivalOfFirstRecord": iso_ms(records[0].arrival_s),
        "approximateArrivalOfLastRecord": iso_ms(records[-1].arrival_s),
        "batchSize": len(records),
        "streamArn": stream_arn,
    }
