"""Where generated lines go: a file, the raw stream, the HTTP API. Each takes the same lines in the same batches."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Protocol

from levada.core import packs
from levada.core.errors import UnavailableError
from levada.domains.declaration import Domain
from levada.ports import Clock, RecordSink
from levada.producer import Limits, Producer
from levadactl.errors import LevadactlError

BATCH_LINES = 500
ATTEMPTS = 6
NEVER_S = 1e12


class Outlet(Protocol):
    """A place for lines."""

    def take(self, lines: Sequence[bytes]) -> None:
        """Lines that are due at the same time. Raises UnavailableError, LevadactlError."""

    def close(self) -> Mapping[str, Any]:
        """Nothing more will come. Returns what the outlet has counted."""


class FileOutlet:
    """NDJSON; compressed where the name ends in .gz or .zst. A part of a file is never left under its name."""

    def __init__(self, path: Path) -> None:
        self._path, self._part = path, path.with_name(f".{path.name}.part")
        path.parent.mkdir(parents=True, exist_ok=True)
        self._files = ExitStack()
        self._file = self._files.enter_context(_opened(self._part, path.suffix))
        self._lines = 0

    def take(self, lines: Sequence[bytes]) -> None:
        self._file.write(b"".join(line + b"\n" for line in lines))
        self._lines += len(lines)

    def close(self) -> Mapping[str, Any]:
        self._files.close()
        self._part.replace(self._path)
        return {"file": str(self._path), "bytes": self._path.stat().st_size}


def _opened(path: Path, suffix: str) -> Any:
    if suffix == ".gz":
        return gzip.GzipFile(path, "wb", compresslevel=6, mtime=0)
    if suffix == ".zst":
        import zstandard

        return zstandard.open(path, "wb", cctx=zstandard.ZstdCompressor(level=3))
    return path.open("wb")


class StreamOutlet:
    """Packs of a producer whose session is the plan's: the same plan gives the same packs, and counts once."""

    def __init__(self, sink: RecordSink, clock: Clock, domain: Domain, session: str, tenant: str) -> None:
        limits = Limits(interval_s=NEVER_S)  # packs are cut by the plan, never by a clock
        self._producer = Producer(sink, clock, domain, tenant=tenant, limits=limits, new_session=lambda: session)

    def take(self, lines: Sequence[bytes]) -> None:
        for line in lines:
            self._producer.send_line(line)
        if not self._producer.flush():
            raise UnavailableError(f"the stream does not answer; {self._producer.stats.waiting} events were not sent")

    def close(self) -> Mapping[str, Any]:
        self._producer.close()
        stats = self._producer.stats
        return {"packs": stats.packs, "bytes": stats.bytes, "retries": stats.retries}


Post = Callable[[str, bytes, Mapping[str, str]], tuple[int, Mapping[str, Any]]]
"""(path with query, body, headers) → (status, answer). Raises UnavailableError when nothing answers."""


class HttpOutlet:
    """``POST /v1/events/batch``, NDJSON under gzip, each request with a key of its own: repeating it counts once."""

    def __init__(self, post: Post, clock: Clock, domain: Domain, session: str) -> None:
        self._post, self._clock, self._domain, self._session = post, clock, domain, session
        self._requests = self._accepted = self._refused = self._retries = 0

    def take(self, lines: Sequence[bytes]) -> None:
        for start in range(0, len(lines), BATCH_LINES):
            self._send(lines[start : start + BATCH_LINES])

    def _send(self, lines: Sequence[bytes]) -> None:
        headers = {
            "Content-Type": "application/x-ndjson",
            "Content-Encoding": "gzip",
            "Idempotency-Key": f"generate-{self._session}-{self._requests}",
        }
        self._requests += 1
        body = packs.compress(b"\n".join(lines) + b"\n", packs.NDJSON_GZIP)
        for attempt in range(ATTEMPTS):
            try:
                status, answer = self._post(f"/v1/events/batch?domain={self._domain.name}", body, headers)
            except UnavailableError as err:
                status, answer = 503, {"error": str(err)}
            if status < 300 or "total" in answer:
                self._accepted += int(answer["success"])
                self._refused += int(answer["failed"])
                return
            if status not in (429, 500, 502, 503, 504):
                raise LevadactlError(f"HTTP {status}: {answer.get('error', answer)}")
            self._retries += 1
            self._clock.sleep(0.2 * 2**attempt * (0.5 + self._clock.jitter() / 2))
        raise UnavailableError(f"HTTP {status}: {answer.get('error', answer)}; tried {ATTEMPTS} times")

    def close(self) -> Mapping[str, Any]:
        return {
            "requests": self._requests,
            "accepted": self._accepted,
            "refused": self._refused,
            "retries": self._retries,
        }
