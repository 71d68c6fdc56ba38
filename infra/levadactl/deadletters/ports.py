"""What ``levada dlq`` needs of a place, in its own words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from levada.clean.reading import Rules
from levada.config import Config
from levada.core.kinesis_event import StreamRecord
from levada.domains.declaration import Domain
from levada.ports import BlobStore, Clock, RecordSink
from levadactl.errors import LevadactlError


class RedriveError(LevadactlError):
    """A dead letter cannot be dealt with as asked; the message says which and why."""


class InvokeError(LevadactlError):
    """A function failed; the message holds its own words."""


@dataclass(frozen=True, slots=True)
class Message:
    """One message of the queue, hidden from others for a while."""

    id: str
    receipt: str
    body: str


class Queue(Protocol):
    """The dead letter queue."""

    def receive(self) -> Sequence[Message]:
        """Every message that nobody else holds at the moment."""

    def held(self) -> int:
        """About how many messages somebody holds at the moment."""

    def release(self, messages: Sequence[Message]) -> None:
        """Let others see these again."""

    def delete(self, message: Message) -> None: ...


class Streams(Protocol):
    """Streams by name or ARN."""

    def created_s(self, arn: str) -> int:
        """When the stream was made, whole seconds since 1970-01-01 UTC."""

    def read(self, arn: str, shard_id: str, first: str, last: str) -> list[StreamRecord]:
        """What the shard still has of this range of sequence numbers (as the stream writes them), both included."""

    def since(self, arn: str, at_s: float) -> Iterator[StreamRecord]:
        """Every record of every shard that arrived then or later."""


class Functions(Protocol):
    """Deployed functions by name."""

    def invoke(self, function: str, event: Mapping[str, Any]) -> Any:
        """Call one and wait for its answer. Raises InvokeError when it fails."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """A place, as far as dead letters are concerned."""

    blobs: BlobStore
    raw: RecordSink
    clean: RecordSink
    streams: Streams
    queue: Queue
    functions: Functions
    clock: Clock
    config: Config
    """Of the deployed clean function."""
    domains: Mapping[str, Domain]
    """Those that are enabled there now."""
    ingest_files: str = ""
    """Name of the function that loads files."""

    @property
    def rules(self) -> Rules:
        """How clean would read a record now."""
        latest_s = int(self.clock.now_s()) + self.config.max_skew_s
        return Rules(domains=self.domains, tenant=self.config.tenant, latest_us=latest_s * 1_000_000)
