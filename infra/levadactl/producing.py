"""Lines of a file, or of standard input, through the producer; a file goes on where the spool says it stopped."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from levada.producer import Producer
from levadactl.errors import LevadactlError

HEAD_BYTES = 4096
"""What a file is known by, beside its path: a file that only grows stays the same one."""


@dataclass(slots=True)
class Produced:
    """What one run did."""

    events: int = 0
    empty: int = 0
    """Lines without anything in them."""
    resumed_at_byte: int = 0


def from_stream(lines: BinaryIO, producer: Producer, on_events: Callable[[float], None] = lambda _: None) -> Produced:
    """Send each line to the end. Raises SpoolFullError, ConfigError, LevadactlError for a line that is too long."""
    done = Produced()
    for line in lines:
        _send(line, producer, done, None, on_events)
    return done


def from_file(path: Path, producer: Producer, on_events: Callable[[float], None] = lambda _: None) -> Produced:
    """Send the lines that the spool has not taken from this file before. Raises as ``from_stream`` does."""
    head = _head(path, HEAD_BYTES)
    mark = producer.mark if isinstance(producer.mark, dict) else {}
    known = mark.get("path") == str(path.resolve()) and mark.get("head") == _head(path, mark.get("head_bytes", 0))[0]
    done = Produced(resumed_at_byte=int(mark["offset"]) if known else 0)
    with path.open("rb") as file:
        file.seek(done.resumed_at_byte)
        offset = done.resumed_at_byte
        for line in file:
            offset += len(line)
            mark = {"path": str(path.resolve()), "head": head[0], "head_bytes": head[1], "offset": offset}
            _send(line, producer, done, mark, on_events)
    return done


def _head(path: Path, size: int) -> tuple[str, int]:
    """(sha256 of the first bytes, hex; how many there were)."""
    with path.open("rb") as file:
        data = file.read(size)
    return hashlib.sha256(data).hexdigest(), len(data)


def _send(line: bytes, producer: Producer, done: Produced, mark: object, on_events: Callable[[float], None]) -> None:
    if not line.strip():
        done.empty += 1
        return
    try:
        producer.send_line(line, mark=mark)
    except ValueError as err:
        raise LevadactlError(f"event {done.events + done.empty + 1} of this run: {err}") from err
    done.events += 1
    on_events(1)
