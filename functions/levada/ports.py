"""What the stages need from the outside, said in their own words."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol

if TYPE_CHECKING:
    from levada.core.positions import ShardToken


@dataclass(frozen=True, slots=True)
class Blob:
    """An object's listing entry."""

    key: str
    size: int
    """Bytes."""
    etag: str
    modified_s: int
    """When it was written last, seconds since 1970."""


class BlobStore(Protocol):
    """Whole objects by key. Every method raises UnavailableError when a retry may help."""

    def put(self, key: str, body: bytes) -> None:
        """Replace the object at key, or make it."""

    def put_all(self, objects: Iterable[tuple[str, bytes]]) -> None:
        """``put`` each of them, in any order or at once; when it raises, some may be there."""

    def put_if(self, key: str, body: bytes, *, etag: str | None) -> str:
        """Replace the object only while its ETag is etag; make it only when etag is None and none is there.

        Returns the new ETag. Raises ConflictError when the condition does not hold.
        """

    def get(self, key: str) -> tuple[bytes, str]:
        """(body, ETag). Raises KeyError when there is no such object."""

    def get_all(self, keys: Iterable[str]) -> Iterator[bytes]:
        """The bodies of these objects in the order given, fetched side by side. Raises KeyError as get does."""

    def open(self, key: str, *, offset: int = 0) -> BinaryIO:
        """The object's bytes from offset on, as a stream to read in pieces. Raises KeyError as get does."""

    def list(self, prefix: str) -> Iterator[Blob]:
        """Objects under prefix, in ascending order of key."""

    def delete(self, keys: Iterable[str]) -> None:
        """Remove objects; those that are not there do not matter."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One record to put on a stream."""

    partition_key: str
    data: bytes


class Clock(Protocol):
    """Time and chance, so that a test can decide both."""

    def now_s(self) -> float:
        """Seconds since 1970-01-01 UTC."""

    def sleep(self, seconds: float) -> None:
        """Wait."""

    def jitter(self) -> float:
        """A number in [0, 1), another one each time."""


class RecordSink(Protocol):
    """A stream to write to."""

    def put(self, entries: Sequence[Entry]) -> list[str | None]:
        """At most 500 entries and 5 MB. For each entry None, or the error code of its refusal.

        Raises UnavailableError when the call as a whole failed: nothing is known of any entry then.
        """


class StreamTopology(Protocol):
    """What a stream says of itself."""

    def created_s(self, arn: str) -> int:
        """When the stream was created: whole seconds since 1970-01-01 UTC. Raises UnavailableError."""

    def parents(self, arn: str, token: ShardToken) -> Sequence[ShardToken]:
        """The shards that this one was split or merged from; none for a stream's first shards."""


class UploadUrls(Protocol):
    """Leave for somebody without credentials to put one object."""

    def put_url(self, key: str, *, expires_s: int) -> str:
        """A URL that takes a PUT of the object's bytes for so many seconds."""


class Functions(Protocol):
    """Functions of this deployment, by name."""

    def start(self, function: str, event: Mapping[str, Any]) -> None:
        """Have it run by itself, at least once, at any time from now on. Raises UnavailableError."""

    def call(self, function: str, event: Mapping[str, Any], *, timeout_s: float) -> Any:
        """Run it and wait for its answer.

        Raises:
            TimeoutError: it takes longer, and goes on all the same.
            UnavailableError: it could not be reached, or failed.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """What subscribers are told."""

    id: str
    """The same each time that the same news is told: whoever must not act twice remembers it."""
    subject: str
    """At most 100 printable ASCII characters."""
    body: str
    """JSON text."""
    attributes: Mapping[str, str]
    """What a subscription may filter by."""


class AlertSink(Protocol):
    """Where alerts are told."""

    def publish(self, notice: Notice) -> None:
        """At least once: a notice may be told again after a failure. Raises UnavailableError."""


class Items(Protocol):
    """Items by partition key and sort key, to read; those whose ``expires_at`` (seconds since 1970) is over are not."""

    def query(
        self,
        pk: str,
        *,
        first: str = "",
        last: str = "\uffff",
        newest_first: bool = False,
        ending_after: int | None = None,
        limit: int | None = None,
    ) -> Iterator[dict[str, Any]]:
        """Items of a partition with first <= sk <= last, in order of sk or its reverse.

        Args:
            ending_after: only those whose ``end`` is greater. It saves what comes back, not what is looked at.
        """


class Tokens(Protocol):
    """Tokens of the HTTP API, to look up."""

    def find(self, digest: str) -> dict[str, Any] | None:
        """The item of the token with this SHA-256 (hex), also one that has expired. Raises UnavailableError."""


class ServingStore(Items, Protocol):
    """Point reads: items by partition key and sort key; every write may be repeated."""

    def put(self, items: Sequence[Mapping[str, Any]]) -> None:
        """Write items (``pk``, ``sk`` and more); one with the same keys is replaced. Raises UnavailableError."""

    def put_newer(self, items: Sequence[Mapping[str, Any]]) -> None:
        """Write items that have a ``version`` (text that sorts), each only where none or an older one is there.

        Raises UnavailableError; some may be written then.
        """

    def by_time(
        self,
        list_pk: str,
        *,
        first: str = "",
        last: str = "\uffff",
        newest_first: bool = False,
        limit: int | None = None,
    ) -> Iterator[dict[str, Any]]:
        """Items that have this ``list_pk``, with first <= ``list_sk`` <= last, in order of that or its reverse.

        An item that was just written may be missing, or stand where it stood before, for a moment.
        """

    def check(self) -> None:
        """Raises UnavailableError when the store cannot be reached."""
