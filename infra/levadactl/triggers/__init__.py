"""Stream triggers: a faithful Kinesis event source mapping, for tests and for the embedded stack.

Run a handler under it with ``Harness``; drive ``Machine`` yourself for anything stranger (docs/stream-triggers.md).
"""

from __future__ import annotations

from levadactl.triggers.errors import MappingError, NotDrainedError, StreamError
from levadactl.triggers.event import Envelope
from levadactl.triggers.machine import Machine
from levadactl.triggers.mapping import FOREVER, Mapping
from levadactl.triggers.memory import Entry, MemoryStream
from levadactl.triggers.model import (
    Answer,
    Backoff,
    Command,
    Condition,
    Discard,
    Failed,
    Invoke,
    Position,
    Read,
    Record,
    Returned,
    ShardInfo,
    Start,
    Throttled,
    Unavailable,
)
from levadactl.triggers.testkit import HandlerContext, Harness, Invocation, VirtualClock

__all__ = [
    "FOREVER",
    "Answer",
    "Backoff",
    "Command",
    "Condition",
    "Discard",
    "Entry",
    "Envelope",
    "Failed",
    "HandlerContext",
    "Harness",
    "Invocation",
    "Invoke",
    "Machine",
    "Mapping",
    "MappingError",
    "MemoryStream",
    "NotDrainedError",
    "Position",
    "Read",
    "Record",
    "Returned",
    "ShardInfo",
    "Start",
    "StreamError",
    "Throttled",
    "Unavailable",
    "VirtualClock",
]
