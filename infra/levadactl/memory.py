"""The ports in memory: small honest stores with a switch for failure. For tests, ``levada invoke`` and the test kit."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, BinaryIO

from levada.config import Config
from levada.core.access import OPEN, PK
from levada.core.errors import ConflictError, UnavailableError
from levada.core.positions import ShardToken
from levada.ports import Blob, Entry, Notice


class MemoryBlobStore:
    """Objects in a dict, with S3's conditional puts."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.modified_s: dict[str, float] = {}
        """When they were put; what a test has put past this store is from 1970."""
        self.now_s: Callable[[], float] = lambda: 0.0
        self.down = False
        """Set it to make every call fail the way an unreachable store does."""
        self.puts = 0

    def _check(self) -> None:
        if self.down:
            raise UnavailableError("memory store is down")

    def put(self, key: str, body: bytes) -> None:
        self._check()
        self.puts += 1
        self.objects[key] = bytes(body)
        self.modified_s[key] = self.now_s()

    def put_all(self, objects: Iterable[tuple[str, bytes]]) -> None:
        for key, body in objects:
            self.put(key, body)

    def put_if(self, key: str, body: bytes, *, etag: str | None) -> str:
        self._check()
        there = _etag(self.objects[key]) if key in self.objects else None
        if there != etag:
            raise ConflictError(f"put {key}: is {there}, not {etag}")
        self.put(key, body)
        return _etag(body)

    def get(self, key: str) -> tuple[bytes, str]:
        self._check()
        body = self.objects[key]
        return body, _etag(body)

    def get_all(self, keys: Iterable[str]) -> Iterator[bytes]:
        for key in keys:
            yield self.get(key)[0]

    def open(self, key: str, *, offset: int = 0) -> BinaryIO:
        self._check()
        return io.BytesIO(self.objects[key][offset:])

    def list(self, prefix: str) -> Iterator[Blob]:
        self._check()
        found = sorted((key, body) for key, body in self.objects.items() if key.startswith(prefix))
        yield from [Blob(key, len(body), _etag(body), int(self.modified_s.get(key, 0))) for key, body in found]

    def delete(self, keys: Iterable[str]) -> None:
        self._check()
        for key in keys:
            self.objects.pop(key, None)
            self.modified_s.pop(key, None)


def _etag(body: bytes) -> str:
    return f'"{hashlib.md5(body, usedforsecurity=False).hexdigest()}"'


class MemorySink:
    """A stream that only remembers what was put on it, in order."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.refuse: set[int] = set()
        """Numbers of entries, counted over all calls from 0, to refuse once with a throughput error."""
        self.down = False
        self._seen = 0

    def put(self, entries: Sequence[Entry]) -> list[str | None]:
        if self.down:
            raise UnavailableError("memory stream is down")
        answers: list[str | None] = []
        for entry in entries:
            refused = self._seen in self.refuse
            self._seen += 1
            answers.append("ProvisionedThroughputExceededException" if refused else None)
            if not refused:
                self.entries.append(entry)
        return answers


class MemoryTopology:
    """Streams without a service: creation time and parents as told."""

    def __init__(self, created_s: int = 1_700_000_000) -> None:
        self.created = created_s
        self.parents_of: dict[ShardToken, Sequence[ShardToken]] = {}

    def created_s(self, arn: str) -> int:  # noqa: ARG002  # the port's argument
        return self.created

    def parents(self, arn: str, token: ShardToken) -> Sequence[ShardToken]:  # noqa: ARG002  # the port's argument
        return self.parents_of.get(token, ())


class MemoryFunctions:
    """Functions by name: a call runs at once, a start is only remembered (run it with ``run``)."""

    def __init__(self) -> None:
        self.handlers: dict[str, Callable[[dict[str, Any]], Any]] = {}
        self.started: list[tuple[str, dict[str, Any]]] = []
        self.slow = False
        """Set it to make every call take longer than its caller waits."""
        self.down = False

    def start(self, function: str, event: Mapping[str, Any]) -> None:
        if self.down:
            raise UnavailableError("memory functions are down")
        self.started.append((function, json.loads(json.dumps(event))))

    def call(self, function: str, event: Mapping[str, Any], *, timeout_s: float) -> Any:
        if self.down:
            raise UnavailableError("memory functions are down")
        answer = self.handlers[function](json.loads(json.dumps(event)))
        if self.slow:
            raise TimeoutError(f"{function}: no answer within {timeout_s} s")
        return json.loads(json.dumps(answer))

    def run(self) -> list[Any]:
        """Run what was started, and what that starts; the answers."""
        answers = []
        while self.started:
            function, event = self.started.pop(0)
            answers.append(self.handlers[function](event))
        return answers


class MemoryUrls:
    """URLs that nobody can use but that say what they are for."""

    def put_url(self, key: str, *, expires_s: int) -> str:
        return f"memory://{key}?expires={expires_s}"


class MemoryServingStore:
    """Items in a dict by (pk, sk). Those that have expired stay there and are not read, as with a lazy TTL."""

    def __init__(self) -> None:
        self.items: dict[tuple[str, str], dict[str, Any]] = {}
        self.down = False
        self.now_s: Callable[[], float] = lambda: 0.0

    def put(self, items: Sequence[Mapping[str, Any]]) -> None:
        self.check()
        for item in items:
            self.items[item["pk"], item["sk"]] = {k: v for k, v in item.items() if v is not None}

    def put_newer(self, items: Sequence[Mapping[str, Any]]) -> None:
        self.check()
        for item in items:
            there = self.items.get((item["pk"], item["sk"]))
            if there is None or there["version"] < item["version"]:
                self.put([item])

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
        self.check()
        found = [
            sk
            for (p, sk), i in self.items.items()
            if p == pk
            and first <= sk <= last
            and self._is_read(i)
            and (ending_after is None or i.get("end", ending_after) > ending_after)
        ]
        found.sort(reverse=newest_first)
        yield from (dict(self.items[pk, sk]) for sk in found[:limit])

    def by_time(
        self,
        list_pk: str,
        *,
        first: str = "",
        last: str = "\uffff",
        newest_first: bool = False,
        limit: int | None = None,
    ) -> Iterator[dict[str, Any]]:
        self.check()
        mine = [i for i in self.items.values() if i.get("list_pk") == list_pk and self._is_read(i)]
        found = [i for i in mine if first <= i["list_sk"] <= last]
        found.sort(key=lambda item: (item["list_sk"], item["sk"]), reverse=newest_first)
        yield from (dict(item) for item in found[:limit])

    def _is_read(self, item: Mapping[str, Any]) -> bool:
        return "expires_at" not in item or item["expires_at"] > self.now_s()

    def check(self) -> None:
        if self.down:
            raise UnavailableError("memory table is down")


class MemoryTokens:
    """Tokens among the items of a store in memory."""

    def __init__(self, serving: MemoryServingStore) -> None:
        self.serving = serving
        self.asked = 0

    def find(self, digest: str) -> dict[str, Any] | None:
        self.asked += 1
        self.serving.check()
        item = self.serving.items.get((PK, digest))
        return None if item is None else dict(item)


class MemoryAlertSink:
    """A topic that only remembers what was published, in order."""

    def __init__(self) -> None:
        self.notices: list[Notice] = []
        self.down = False

    def publish(self, notice: Notice) -> None:
        if self.down:
            raise UnavailableError("memory topic is down")
        self.notices.append(notice)


class ManualClock:
    """Time that stands still until it is moved; a sleep moves it."""

    def __init__(self, now_s: float = 1_767_225_600.0) -> None:
        self.time_s = now_s

    def now_s(self) -> float:
        return self.time_s

    def sleep(self, seconds: float) -> None:
        self.time_s += seconds

    def jitter(self) -> float:
        return 0.5


@dataclass(slots=True, kw_only=True)
class MemoryDeps:
    """``levada.wiring.Deps`` in memory."""

    config: Config = field(default_factory=lambda: Config(auth=OPEN))
    clock: ManualClock = field(default_factory=ManualClock)
    blobs: MemoryBlobStore = field(default_factory=MemoryBlobStore)
    raw: MemorySink = field(default_factory=MemorySink)
    clean: MemorySink = field(default_factory=MemorySink)
    topology: MemoryTopology = field(default_factory=MemoryTopology)
    serving: MemoryServingStore = field(default_factory=MemoryServingStore)
    functions: MemoryFunctions = field(default_factory=MemoryFunctions)
    urls: MemoryUrls = field(default_factory=MemoryUrls)
    alerts: MemoryAlertSink = field(default_factory=MemoryAlertSink)
    memo: dict[str, Any] = field(default_factory=dict)
    tokens: MemoryTokens = field(init=False)

    def __post_init__(self) -> None:
        self.tokens = MemoryTokens(self.serving)
        self.blobs.now_s = self.serving.now_s = self.clock.now_s
