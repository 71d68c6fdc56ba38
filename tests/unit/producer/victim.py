"""A program to kill: numbers its events, sends them to a stream that is a file, says how far it has come.

``python -m tests.unit.producer.victim FOLDER EVENTS``. The stream fails now and then.
"""

from __future__ import annotations

import os
import struct
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random

from levada.core.errors import UnavailableError
from levada.ports import Entry
from levada.producer import Limits
from levada.producer.connect import on_sink
from tests.unit.producer.hostile import SENSORS, event

_LENGTHS = struct.Struct(">II")


class FileStream:
    """Records appended to a file. Half a record at its end never arrived."""

    def __init__(self, path: Path) -> None:
        self._path = path
        whole = sum(_LENGTHS.size + len(entry.partition_key) + len(entry.data) for entry in read(path))
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.ftruncate(self._file, whole)
        self._dice = Random(whole)

    def put(self, entries: Sequence[Entry]) -> list[str | None]:
        lost, refused = (self._dice.random() < 0.02 for _ in range(2))
        for entry in entries[1:] if refused else entries:
            os.write(self._file, _written(entry))
        if lost:
            raise UnavailableError("the answer did not arrive")
        return [("refused" if refused and i == 0 else None) for i in range(len(entries))]


def _written(entry: Entry) -> bytes:
    key = entry.partition_key.encode()
    return _LENGTHS.pack(len(key), len(entry.data)) + key + entry.data


def read(path: Path) -> Iterator[Entry]:
    """Whole records of the file, in order."""
    data = path.read_bytes() if path.exists() else b""
    at = 0
    while at + _LENGTHS.size <= len(data):
        key, body = _LENGTHS.unpack_from(data, at)
        at += _LENGTHS.size
        if at + key + body > len(data):
            return
        yield Entry(data[at : at + key].decode(), data[at + key : at + key + body])
        at += key + body


def main(folder: Path, events: int) -> None:
    limits = Limits(pack_rows=10, interval_s=0.1)
    with on_sink(FileStream(folder / "stream"), SENSORS, spool=folder / "spool", limits=limits) as producer:
        for i in range(producer.mark or 0, events):
            producer.send(event(i), mark=i + 1)
            if i % 20 == 0:
                sys.stdout.write(f"{i}\n")
                sys.stdout.flush()
        while not producer.flush():
            pass
    sys.stdout.write("end\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
