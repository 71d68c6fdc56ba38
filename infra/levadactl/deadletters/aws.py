"""The ports of dead letters at a place: streams, queue and functions through boto3."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from levada.adapters.errors import ours
from levada.adapters.kinesis import KinesisSink
from levada.config import Config
from levada.core.kinesis_event import StreamRecord
from levada.domains.registry import enabled
from levada.wiring import SystemClock
from levadactl.deadletters.ports import InvokeError, Message, Ports
from levadactl.loading import Lake

if TYPE_CHECKING:
    from levadactl.places import Place

HIDDEN_S = 300
"""How long a received message is hidden from others, should this process end before it gives them back."""
EMPTY_ANSWERS = 2
"""A queue is spread over servers: one empty answer does not mean that nothing is there."""
GONE = frozenset({"InvalidArgumentException", "ResourceNotFoundException"})
MAX_DETAIL = 300


class KinesisStreams:
    """Reading back from streams."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self._created: dict[str, int] = {}

    def created_s(self, arn: str) -> int:
        name = _name(arn)
        if name not in self._created:
            with ours(f"describe {name}"):
                answer = self._client.describe_stream_summary(StreamName=name)["StreamDescriptionSummary"]
            self._created[name] = int(answer["StreamCreationTimestamp"].timestamp())
        return self._created[name]

    def read(self, arn: str, shard_id: str, first: str, last: str) -> list[StreamRecord]:
        name, found = _name(arn), []
        for record in self._records(name, shard_id, self._iterator_at(name, shard_id, first)):
            if record.sequence > int(last):
                break
            if record.sequence >= int(first):
                found.append(record)
        return found

    def since(self, arn: str, at_s: float) -> Iterator[StreamRecord]:
        name = _name(arn)
        with ours(f"list shards of {name}"):
            pages = list(self._client.get_paginator("list_shards").paginate(StreamName=name))
        for page in pages:
            for shard in page["Shards"]:
                start = {"ShardIteratorType": "AT_TIMESTAMP", "Timestamp": datetime.fromtimestamp(at_s, UTC)}
                yield from self._records(name, shard["ShardId"], self._iterator(name, shard["ShardId"], start))

    def _iterator_at(self, name: str, shard_id: str, first: str) -> str | None:
        """From a sequence number on; from the oldest record when the stream has forgotten that one."""
        start = {"ShardIteratorType": "AT_SEQUENCE_NUMBER", "StartingSequenceNumber": first}
        return self._iterator(name, shard_id, start) or self._iterator(
            name, shard_id, {"ShardIteratorType": "TRIM_HORIZON"}
        )

    def _iterator(self, name: str, shard_id: str, start: Mapping[str, Any]) -> str | None:
        with ours(f"read {name}/{shard_id}"):
            try:
                answer = self._client.get_shard_iterator(StreamName=name, ShardId=shard_id, **start)
            except ClientError as err:
                if err.response["Error"]["Code"] in GONE:
                    return None
                raise
        return str(answer["ShardIterator"])

    def _records(self, name: str, shard_id: str, iterator: str | None) -> Iterator[StreamRecord]:
        while iterator:
            with ours(f"read {name}/{shard_id}"):
                page = self._client.get_records(ShardIterator=iterator, Limit=1000)
            for raw in page["Records"]:
                arrived_us = round(raw["ApproximateArrivalTimestamp"].timestamp() * 1_000_000)
                yield StreamRecord(int(raw["SequenceNumber"]), arrived_us, raw["Data"], raw["PartitionKey"])
            if not page.get("MillisBehindLatest"):
                return
            iterator = page.get("NextShardIterator")


class SqsQueue:
    """The dead letter queue."""

    def __init__(self, client: Any, url: str) -> None:
        self._client, self._url = client, url

    def receive(self) -> Sequence[Message]:
        found: dict[str, Message] = {}
        empty = 0
        while empty < EMPTY_ANSWERS:
            with ours("receive dead letters"):
                answer = self._client.receive_message(
                    QueueUrl=self._url, MaxNumberOfMessages=10, VisibilityTimeout=HIDDEN_S, WaitTimeSeconds=0
                )
            got = [Message(m["MessageId"], m["ReceiptHandle"], m["Body"]) for m in answer.get("Messages", [])]
            empty = 0 if got else empty + 1
            found.update({message.id: message for message in got})
        return list(found.values())

    def held(self) -> int:
        name = "ApproximateNumberOfMessagesNotVisible"
        with ours("count dead letters"):
            answer = self._client.get_queue_attributes(QueueUrl=self._url, AttributeNames=[name])
        return int(answer["Attributes"][name])

    def release(self, messages: Sequence[Message]) -> None:
        for message in messages:
            with ours("release dead letters"):
                self._client.change_message_visibility(
                    QueueUrl=self._url, ReceiptHandle=message.receipt, VisibilityTimeout=0
                )

    def delete(self, message: Message) -> None:
        with ours("delete a dead letter"):
            self._client.delete_message(QueueUrl=self._url, ReceiptHandle=message.receipt)


class LambdaFunctions:
    """Deployed functions."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def invoke(self, function: str, event: Mapping[str, Any]) -> Any:
        try:
            answer = self._client.invoke(FunctionName=function, Payload=json.dumps(event).encode())
            payload: bytes = answer["Payload"].read()
        except (ClientError, BotoCoreError) as err:
            raise InvokeError(f"{function}: {err}") from err
        if answer.get("FunctionError"):
            raise InvokeError(f"{function} failed: {payload.decode(errors='replace')[:MAX_DETAIL]}")
        return json.loads(payload or b"null")


def ports_of(place: Place) -> Ports:
    """Everything, as it is deployed there now."""
    kinesis, lambda_ = place.client("kinesis"), place.client("lambda")
    function = lambda_.get_function_configuration(FunctionName=place.function("clean"))
    config = Config.from_env(function.get("Environment", {}).get("Variables", {}))
    return Ports(
        blobs=Lake.of(place).blobs,
        raw=KinesisSink(kinesis, place.raw_stream),
        clean=KinesisSink(kinesis, place.clean_stream),
        streams=KinesisStreams(kinesis),
        queue=SqsQueue(place.client("sqs"), place.dead_letters_url),
        functions=LambdaFunctions(lambda_),
        clock=SystemClock(),
        config=config,
        domains=enabled(config.domains_enabled),
        ingest_files=place.function("ingest-files"),
    )


def _name(arn: str) -> str:
    return arn.rpartition("/")[2]
