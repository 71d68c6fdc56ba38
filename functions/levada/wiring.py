"""The composition root: the one place where ports meet adapters. Import builds nothing."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any, Protocol

from levada.config import Config

if TYPE_CHECKING:
    from levada.ports import (
        AlertSink,
        BlobStore,
        Clock,
        Functions,
        RecordSink,
        ServingStore,
        StreamTopology,
        Tokens,
        UploadUrls,
    )


class Deps(Protocol):
    """What a handler may ask for; an adapter is built when it is first asked for."""

    @property
    def config(self) -> Config: ...
    @property
    def clock(self) -> Clock: ...
    @property
    def blobs(self) -> BlobStore: ...
    @property
    def raw(self) -> RecordSink: ...
    @property
    def clean(self) -> RecordSink: ...
    @property
    def topology(self) -> StreamTopology: ...
    @property
    def serving(self) -> ServingStore: ...
    @property
    def tokens(self) -> Tokens: ...
    @property
    def functions(self) -> Functions: ...
    @property
    def urls(self) -> UploadUrls: ...
    @property
    def alerts(self) -> AlertSink: ...
    @property
    def memo(self) -> dict[str, Any]:
        """What this process remembers between invocations. Only ever a saving: it may be empty at any time."""


class SystemClock:
    def now_s(self) -> float:
        return time.time()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)

    def jitter(self) -> float:
        return random.random()


class AwsDeps:
    """Adapters for the endpoint and region of the environment."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.clock = SystemClock()
        self.memo: dict[str, Any] = {}

    def _client(self, service: str, **options: Any) -> Any:
        from levada.adapters.clients import make

        client = make(service, **options)
        if self.config.fault_every:
            from levada.adapters.faults import inject

            inject(client, self.config.fault_every)
        return client

    @cached_property
    def blobs(self) -> BlobStore:
        from levada.adapters.s3 import PARALLEL_PUTS, S3BlobStore

        self.config.need("bucket")
        return S3BlobStore(self._client("s3", max_pool_connections=PARALLEL_PUTS), self.config.bucket)

    @cached_property
    def _kinesis(self) -> Any:
        return self._client("kinesis")

    @cached_property
    def raw(self) -> RecordSink:
        from levada.adapters.kinesis import KinesisSink

        self.config.need("raw_stream")
        return KinesisSink(self._kinesis, self.config.raw_stream)

    @cached_property
    def clean(self) -> RecordSink:
        from levada.adapters.kinesis import KinesisSink

        self.config.need("clean_stream")
        return KinesisSink(self._kinesis, self.config.clean_stream)

    @cached_property
    def topology(self) -> StreamTopology:
        from levada.adapters.kinesis import KinesisTopology

        return KinesisTopology(self._kinesis)

    @cached_property
    def serving(self) -> ServingStore:
        from levada.adapters.dynamodb import PARALLEL_PUTS, DynamoServingStore

        self.config.need("table")
        client = self._client("dynamodb", max_pool_connections=PARALLEL_PUTS)
        return DynamoServingStore(client, self.config.table, self.clock.now_s)

    @cached_property
    def tokens(self) -> Tokens:
        from levada.adapters.tokens import DynamoTokens

        self.config.need("table")
        return DynamoTokens(self._client("dynamodb"), self.config.table)

    @cached_property
    def functions(self) -> Functions:
        from levada.adapters.functions import LambdaFunctions

        return LambdaFunctions(self._client)

    @cached_property
    def urls(self) -> UploadUrls:
        from levada.adapters.s3 import S3UploadUrls

        self.config.need("bucket")
        return S3UploadUrls(self._client("s3", signature_version="s3v4"), self.config.bucket)

    @cached_property
    def alerts(self) -> AlertSink:
        from levada.adapters.sns import NoSink, SnsSink

        topic = self.config.alerts_topic
        return SnsSink(self._client("sns"), topic) if topic else NoSink()


@cache
def _from_env() -> Deps:
    return AwsDeps(Config.from_env())


_override: Deps | None = None


def deps() -> Deps:
    """Built on the first invocation, kept for the life of the process."""
    return _override or _from_env()


@contextmanager
def using(replacement: Deps) -> Iterator[Deps]:
    """Run a block with other dependencies: tests, ``levada invoke``, the simulation."""
    global _override
    before, _override = _override, replacement
    try:
        yield replacement
    finally:
        _override = before
