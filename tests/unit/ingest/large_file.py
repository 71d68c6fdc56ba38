"""``python -m tests.unit.ingest.large_file FOLDER``: load FOLDER/lake/landing/tiny/file.csv, all ports in the folder.

A process of its own, to be killed and started again; prints its peak of resident memory and what became of the file.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

from bench.harness import hide_pandas, peak_mib
from levada.core.errors import ConflictError
from levada.ports import Blob, Entry

hide_pandas()  # no function's artifact has it

from levada.ingest import files  # noqa: E402
from levadactl.memory import ManualClock, MemoryTopology  # noqa: E402
from tests.unit.ingest.support import DOMAINS, KEY  # noqa: E402


class FolderStore:
    """Objects as files. One process at a time uses it, so a comparison before a replacement is a conditional put."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def put(self, key: str, body: bytes) -> None:
        path = self._root / key
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f"{path.name}.part")
        part.write_bytes(body)
        part.replace(path)

    def put_all(self, objects: Iterable[tuple[str, bytes]]) -> None:
        for key, body in objects:
            self.put(key, body)

    def put_if(self, key: str, body: bytes, *, etag: str | None) -> str:
        there = self.get(key)[1] if (self._root / key).exists() else None
        if there != etag:
            raise ConflictError(key)
        self.put(key, body)
        return hashlib.sha256(body).hexdigest()

    def get(self, key: str) -> tuple[bytes, str]:
        try:
            body = (self._root / key).read_bytes()
        except FileNotFoundError:
            raise KeyError(key) from None
        return body, hashlib.sha256(body).hexdigest()

    def get_all(self, keys: Iterable[str]) -> Iterator[bytes]:
        return (self.get(key)[0] for key in keys)

    def open(self, key: str, *, offset: int = 0) -> BinaryIO:
        file = (self._root / key).open("rb", buffering=0)
        file.seek(offset)
        return file

    def list(self, prefix: str) -> Iterator[Blob]:
        path = self._root / prefix
        if path.is_file():
            stat = path.stat()
            yield Blob(prefix, stat.st_size, f"{stat.st_size}-{stat.st_mtime_ns}", int(stat.st_mtime))

    def delete(self, keys: Iterable[str]) -> None:
        for key in keys:
            (self._root / key).unlink(missing_ok=True)


class FileSink:
    """A stream as one file of records, each behind its length; what was cut short by a kill is no record."""

    def __init__(self, path: Path) -> None:
        whole = sum(4 + len(data) for data in records(path)) if path.exists() else 0
        self._file = path.open("ab")
        self._file.truncate(whole)

    def put(self, entries: Sequence[Entry]) -> list[str | None]:
        for entry in entries:
            self._file.write(len(entry.data).to_bytes(4, "big") + entry.data)
        self._file.flush()
        return [None] * len(entries)


def records(path: Path) -> Iterator[bytes]:
    """The records of a FileSink, in order."""
    with path.open("rb") as file:
        while len(head := file.read(4)) == 4:
            data = file.read(int.from_bytes(head, "big"))
            if len(data) < int.from_bytes(head, "big"):
                return
            yield data


def main(folder: Path) -> None:
    deps = files.FilesDeps(
        blobs=FolderStore(folder / "lake"),
        sink=FileSink(folder / "stream"),
        topology=MemoryTopology(),
        clock=ManualClock(),
        domains=DOMAINS,
        tenant="default",
        raw_stream="raw",
        pack_rows=500,
        fence_horizon_h=48,
    )
    outcome = files.load(KEY, deps, remaining_s=lambda: 900.0)
    sys.stdout.write(json.dumps({"outcome": outcome.to_json(), "peak_mib": peak_mib()}))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
