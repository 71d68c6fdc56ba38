"""The calls of the runner: find mappings and shards, read records, invoke functions, send failure messages."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from levadactl.triggers.errors import MappingError
from levadactl.triggers.event import encode
from levadactl.triggers.mapping import Mapping
from levadactl.triggers.model import Answer, Failed, Read, Record, Returned, ShardInfo, Throttled, Unavailable

CALL_ERRORS = (BotoCoreError, ClientError, OSError)
"""What a call to an endpoint that is down, restarting, or refusing raises."""
_REFUSED = frozenset(
    {
        "AWS.SimpleQueueService.NonExistentQueue",
        "QueueDoesNotExist",
        "NotFound",
        "NotFoundException",
        "AccessDenied",
        "AccessDeniedException",
        "AuthorizationError",
        "InvalidParameterValue",
    }
)
_DETAIL_CHARS = 300


@dataclass(frozen=True, slots=True)
class Clients:
    """boto3 clients, or anything with the same calls."""

    kinesis: Any
    lambda_: Any
    sqs: Any
    sns: Any


@dataclass(frozen=True, slots=True)
class Source:
    """A mapping with its stream as they are now."""

    mapping: Mapping
    created_s: int
    """Creation time of the stream: one that was deleted and made again is another stream."""
    retention_s: float
    shards: tuple[ShardInfo, ...]

    @property
    def key(self) -> str:
        """Under which positions are kept."""
        return f"{self.mapping.function_arn}|{self.mapping.stream_arn}@{self.created_s}"


@dataclass(slots=True)
class Discovery:
    """What one look at the Lambda API found."""

    sources: list[Source] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class ReadPage:
    """Records and how to go on; ``end``: a closed shard has no more."""

    records: list[Record]
    iterator: str | None
    end: bool
    behind_ms: int


def code_of(err: BaseException | None) -> str:
    """The error code of a refused call, else the error's class."""
    if isinstance(err, ClientError):
        return str(err.response.get("Error", {}).get("Code", "ClientError"))
    return type(err).__name__


def said(err: BaseException | None) -> str:
    """For logs: a code where that says it all, else the class and the text."""
    return code_of(err) if isinstance(err, CALL_ERRORS) else f"{code_of(err)}: {err}"


class Aws:
    """Blocking calls for worker threads; holds no state but a cache of queue URLs."""

    def __init__(self, clients: Clients, settings: Sequence[dict[str, Any]] = ()) -> None:
        """``settings``: for each function, fields that the endpoint does not echo (see docs/stream-triggers.md)."""
        self._clients = clients
        self._settings = settings
        self._queue_urls: dict[str, str] = {}

    def discover(self) -> Discovery:
        """All mappings with a Kinesis source and their shards, whatever their State (only a setting disables one)."""
        found = Discovery()
        streams: dict[str, tuple[int, float, tuple[ShardInfo, ...]]] = {}
        for entry in self._mappings():
            try:
                mapping = Mapping.from_api(self._filled(entry))
            except MappingError as err:
                found.problems.append(f"{entry.get('FunctionArn')}: {err}")
                continue
            arn = mapping.stream_arn
            try:
                if arn not in streams:
                    streams[arn] = self._stream(arn)
            except ClientError as err:
                found.problems.append(f"{arn}: {code_of(err)}")
                continue
            created_s, retention_s, shards = streams[arn]
            found.sources.append(Source(mapping, created_s, retention_s, shards))
        return found

    def read(self, stream_arn: str, read: Read, iterator: str | None) -> ReadPage:
        """One page from ``iterator``, or from a new one when it is None."""
        kinesis = self._clients.kinesis
        if iterator is None:
            asked: dict[str, Any] = {
                "StreamARN": stream_arn,
                "ShardId": read.shard_id,
                "ShardIteratorType": read.position.kind,
            }
            if read.position.sequence_number is not None:
                asked["StartingSequenceNumber"] = read.position.sequence_number
            if read.position.timestamp_s is not None:
                asked["Timestamp"] = datetime.fromtimestamp(read.position.timestamp_s, UTC)
            iterator = kinesis.get_shard_iterator(**asked)["ShardIterator"]
        answer = kinesis.get_records(ShardIterator=iterator, Limit=read.limit)
        following = answer.get("NextShardIterator")
        records = [_record(raw) for raw in answer["Records"]]
        return ReadPage(records, following, following is None, int(answer.get("MillisBehindLatest") or 0))

    def invoke(self, function_name: str, event: dict[str, Any]) -> Answer:
        """Call a function and wait; never raises for what the endpoint or the network does."""
        try:
            answer = self._clients.lambda_.invoke(
                FunctionName=function_name, InvocationType="RequestResponse", Payload=encode(event)
            )
            body: bytes = answer["Payload"].read()
        except ClientError as err:
            if code_of(err) in ("TooManyRequestsException", "ThrottlingException"):
                return Throttled(code_of(err))
            return Unavailable(code_of(err))
        except CALL_ERRORS as err:
            return Unavailable(code_of(err))
        request_id = (answer.get("ResponseMetadata") or {}).get("RequestId")
        version = str(answer.get("ExecutedVersion") or "$LATEST")
        if answer.get("FunctionError"):
            detail = body[:_DETAIL_CHARS].decode("utf-8", "replace")
            return Failed(str(answer["FunctionError"]), request_id, version, detail)
        return Returned(_payload(body), request_id, version)

    def send(self, destination: str, body: dict[str, Any]) -> bool:
        """Send a failure message to a queue or topic; False: refused for good; raises when it may yet work."""
        text = json.dumps(body)
        service = destination.split(":")[2]
        try:
            if service == "sqs":
                self._clients.sqs.send_message(QueueUrl=self._queue_url(destination), MessageBody=text)
            elif service == "sns":
                self._clients.sns.publish(TopicArn=destination, Message=text)
            else:
                return False
        except ClientError as err:
            self._queue_urls.pop(destination, None)
            if code_of(err) in _REFUSED:
                return False
            raise
        return True

    def _queue_url(self, arn: str) -> str:
        if arn not in self._queue_urls:
            *_, account, name = arn.split(":")
            answer = self._clients.sqs.get_queue_url(QueueName=name, QueueOwnerAWSAccountId=account)
            self._queue_urls[arn] = str(answer["QueueUrl"])
        return self._queue_urls[arn]

    def _mappings(self) -> Iterable[dict[str, Any]]:
        asked: dict[str, Any] = {}
        while True:
            answer = self._clients.lambda_.list_event_source_mappings(**asked)
            for entry in answer["EventSourceMappings"]:
                if ":kinesis:" in str(entry.get("EventSourceArn")):
                    yield entry
            if not answer.get("NextMarker"):
                return
            asked["Marker"] = answer["NextMarker"]

    def _filled(self, entry: dict[str, Any]) -> dict[str, Any]:
        arn = str(entry.get("FunctionArn") or "")
        # The embedded stack deploys its mappings disabled to keep the emulator's own poller quiet: State says nothing.
        filled = entry | {"Enabled": True}
        for setting in self._settings:
            named = setting.get("FunctionName") in (arn, arn.split(":function:")[-1])
            if named and setting.get("EventSourceArn", entry["EventSourceArn"]) == entry["EventSourceArn"]:
                filled = setting | {k: v for k, v in filled.items() if v is not None}
                filled["Enabled"] = setting.get("Enabled", True)
        return filled

    def _stream(self, arn: str) -> tuple[int, float, tuple[ShardInfo, ...]]:
        kinesis = self._clients.kinesis
        summary = kinesis.describe_stream_summary(StreamARN=arn)["StreamDescriptionSummary"]
        created = summary["StreamCreationTimestamp"]
        created_s = int(created.timestamp() if isinstance(created, datetime) else created)
        shards: list[ShardInfo] = []
        asked: dict[str, Any] = {"StreamARN": arn}
        while True:
            answer = kinesis.list_shards(**asked)
            shards += [_shard(raw) for raw in answer["Shards"]]
            if not answer.get("NextToken"):
                return created_s, float(summary["RetentionPeriodHours"]) * 3600, tuple(shards)
            asked = {"NextToken": answer["NextToken"]}


def load_settings(raw: Any) -> list[dict[str, Any]]:
    """Check the content of a ``--mappings`` file: a list of objects, each with FunctionName."""
    if not isinstance(raw, list) or not all(isinstance(one, dict) and one.get("FunctionName") for one in raw):
        raise MappingError("--mappings", type(raw).__name__, "a JSON list of objects with FunctionName")
    return raw


def _payload(body: bytes) -> Any:
    try:
        return json.loads(body) if body else None
    except ValueError:
        return body.decode("utf-8", "replace")


def _record(raw: dict[str, Any]) -> Record:
    at: datetime = raw["ApproximateArrivalTimestamp"]
    return Record(raw["SequenceNumber"], raw["PartitionKey"], raw["Data"], round(at.timestamp(), 3))


def _shard(raw: dict[str, Any]) -> ShardInfo:
    parents = (raw.get("ParentShardId"), raw.get("AdjacentParentShardId"))
    return ShardInfo(raw["ShardId"], tuple(parent for parent in parents if parent))
