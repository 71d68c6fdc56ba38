"""Errors of the stream triggers, below the command line's own base.

LevadactlError
├── MappingError       a setting of an event source mapping that no mapping can have
├── StreamError        what Kinesis would answer to a call it refuses (has a ``code``)
├── RunnerError        the runner cannot start: another one holds the state file, or a file is unreadable
└── NotDrainedError    the test kit's limit was reached before the stream was empty
"""

from __future__ import annotations

from levadactl.errors import LevadactlError


class MappingError(LevadactlError, ValueError):
    """A setting is wrong; the text names the field, the value, and what is allowed."""

    def __init__(self, field: str, value: object, allowed: str) -> None:
        super().__init__(f"{field}: {value!r} is not allowed; allowed: {allowed}")
        self.field = field
        self.value = value
        self.allowed = allowed


class StreamError(LevadactlError):
    """A refused call to the in-memory stream; ``code`` is the Kinesis error code."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message


class RunnerError(LevadactlError):
    """The runner cannot start, or cannot use one of its files."""


class NotDrainedError(LevadactlError):
    """The harness stopped at its limit of steps while records were still waiting."""
