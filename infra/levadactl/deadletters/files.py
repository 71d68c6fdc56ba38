"""Files that were refused, and calls of functions that failed: tried in process, and sent to the function again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, BinaryIO
from urllib.parse import quote_plus

from levada.core.positions import ShardToken
from levada.ingest import files
from levada.ports import Blob, BlobStore, Entry
from levadactl.deadletters.letters import Letter
from levadactl.deadletters.ports import Ports

PASSED = (files.LOADED, files.DUPLICATE)
HOUR_S = 3600.0


class _Overlay:
    """A store that is read through; what is written stays in memory."""

    def __init__(self, inner: BlobStore) -> None:
        self._inner = inner
        self._written: dict[str, bytes] = {}

    def put(self, key: str, body: bytes) -> None:
        self._written[key] = body

    def put_all(self, objects: Iterable[tuple[str, bytes]]) -> None:
        self._written.update(objects)

    def put_if(self, key: str, body: bytes, *, etag: str | None) -> str:  # noqa: ARG002  # nobody else writes here
        self._written[key] = body
        return hashlib.sha256(body).hexdigest()

    def get(self, key: str) -> tuple[bytes, str]:
        if key in self._written:
            return self._written[key], hashlib.sha256(self._written[key]).hexdigest()
        return self._inner.get(key)

    def get_all(self, keys: Iterable[str]) -> Iterator[bytes]:
        return (self.get(key)[0] for key in keys)

    def open(self, key: str, *, offset: int = 0) -> BinaryIO:
        return self._inner.open(key, offset=offset)

    def list(self, prefix: str) -> Iterator[Blob]:
        return self._inner.list(prefix)

    def delete(self, keys: Iterable[str]) -> None:
        for key in keys:
            self._written.pop(key, None)


class _NoSink:
    """Takes everything and keeps nothing."""

    def put(self, entries: Sequence[Entry]) -> list[str | None]:
        return [None] * len(entries)


@dataclass(frozen=True, slots=True)
class _Topology:
    ports: Ports

    def created_s(self, arn: str) -> int:
        return self.ports.streams.created_s(arn)

    def parents(self, arn: str, token: ShardToken) -> Sequence[ShardToken]:  # noqa: ARG002  # the port's arguments
        return ()


def key_of(letter: Letter) -> str:
    """The landed object that a letter of the ingest stage speaks of."""
    return str(json.loads(letter.payload)["key"])


def attempt(letter: Letter, ports: Ports) -> str:
    """Load the file into nothing. Empty when it would be loaded now, else why not."""
    deps = files.FilesDeps(
        blobs=_Overlay(ports.blobs),
        sink=_NoSink(),
        topology=_Topology(ports),
        clock=ports.clock,
        domains=ports.domains,
        tenant=ports.config.tenant,
        raw_stream=ports.config.raw_stream,
        pack_rows=ports.config.pack_rows,
        fence_horizon_h=ports.config.fence_horizon_h,
    )
    return _failure(files.load(key_of(letter), deps, remaining_s=lambda: HOUR_S).to_json())


def load_again(letter: Letter, ports: Ports) -> str:
    """Let the function load the file. Empty when it has, else why not. Raises InvokeError when it failed."""
    at = datetime.fromtimestamp(letter.arrived_us / 1e6, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    place = {"bucket": {"name": ports.config.bucket}, "object": {"key": quote_plus(key_of(letter), safe="/")}}
    record = {"eventSource": "aws:s3", "eventName": "ObjectCreated:Put", "eventTime": at, "s3": place}
    answer = ports.functions.invoke(ports.ingest_files, {"Records": [record]})
    return _failure(answer["files"][0])


def _failure(outcome: Mapping[str, Any]) -> str:
    if outcome["status"] in PASSED:
        return ""
    reason = str(outcome.get("reason") or outcome["status"])
    return reason.partition(":")[0]
