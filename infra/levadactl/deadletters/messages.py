"""Messages of the dead letter queue: batches that a stream trigger gave up, asynchronous calls that failed. Pure."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import unquote_plus

from levadactl.deadletters.letters import ID_DIGITS
from levadactl.deadletters.ports import Message


@dataclass(frozen=True, slots=True)
class Discarded:
    """One batch that was given up; its records are in the stream as long as that keeps them."""

    message: Message
    id: str
    function: str
    condition: str
    stream: str
    """ARN."""
    shard: str
    """Shard id."""
    first: str
    """Sequence number, as the stream writes it."""
    last: str
    size: int
    """Records."""
    first_s: float
    """Arrival of its first record, seconds since 1970-01-01 UTC."""
    last_s: float

    @property
    def stream_name(self) -> str:
        return self.stream.rpartition("/")[2]


@dataclass(frozen=True, slots=True)
class FailedCall:
    """One asynchronous invocation that failed for good."""

    message: Message
    id: str
    function: str
    condition: str
    event: Mapping[str, Any]
    at_s: float

    @property
    def keys(self) -> list[str]:
        """The landed objects that the event speaks of."""
        records = self.event.get("Records")
        found = records if isinstance(records, list) else []
        return [unquote_plus(one["s3"]["object"]["key"]) for one in found if isinstance(one, dict) and "s3" in one]


@dataclass(slots=True)
class Inbox:
    """What the queue holds."""

    batches: list[Discarded] = field(default_factory=list)
    calls: list[FailedCall] = field(default_factory=list)
    foreign: list[Message] = field(default_factory=list)
    """Messages of somebody else: never touched."""


def sort(messages: Iterable[Message]) -> Inbox:
    """Tell the messages apart."""
    inbox = Inbox()
    for message in messages:
        try:
            body = json.loads(message.body)
            if "KinesisBatchInfo" in body:
                inbox.batches.append(_discarded(message, body))
            elif isinstance(body.get("requestPayload"), dict):
                inbox.calls.append(_call(message, body))
            else:
                inbox.foreign.append(message)
        except (AttributeError, KeyError, TypeError, ValueError):
            inbox.foreign.append(message)
    inbox.batches.sort(key=lambda b: (b.stream, b.shard, int(b.first), int(b.last)))
    inbox.calls.sort(key=lambda c: (c.at_s, c.id))
    return inbox


def _discarded(message: Message, body: Mapping[str, Any]) -> Discarded:
    info, context = body["KinesisBatchInfo"], body["requestContext"]
    first, last = str(info["startSequenceNumber"]), str(info["endSequenceNumber"])
    if int(last) < int(first):
        raise ValueError(f"batch from {first} to {last}")
    return Discarded(
        message=message,
        id=_id(context["functionArn"], info["streamArn"], info["shardId"], first, last),
        function=_function(context["functionArn"]),
        condition=str(context["condition"]),
        stream=str(info["streamArn"]),
        shard=str(info["shardId"]),
        first=first,
        last=last,
        size=int(info["batchSize"]),
        first_s=_seconds(info["approximateArrivalOfFirstRecord"]),
        last_s=_seconds(info["approximateArrivalOfLastRecord"]),
    )


def _call(message: Message, body: Mapping[str, Any]) -> FailedCall:
    context = body["requestContext"]
    return FailedCall(
        message=message,
        id=_id(context["functionArn"], str(context.get("requestId", message.id))),
        function=_function(context["functionArn"]),
        condition=str(context["condition"]),
        event=body["requestPayload"],
        at_s=_seconds(body["timestamp"]),
    )


def _function(arn: str) -> str:
    """Name of the function, without the version that AWS puts behind it."""
    return arn.split(":function:")[-1].partition(":")[0]


def _seconds(text: str) -> float:
    at = datetime.fromisoformat(text)
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()


def _id(*parts: str) -> str:
    return hashlib.sha256("\x1f".join(parts).encode()).hexdigest()[:ID_DIGITS]
