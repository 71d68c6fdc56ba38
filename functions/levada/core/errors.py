"""Every error this package raises on purpose, split by the one question: would a retry help?

LevadaError
├── BadRecordError          no retry will make it readable: quarantine it, go on
├── BadRequestError         the caller of an HTTP route must change the request: answer 4xx
├── UnavailableError        a service may answer later: raise, so that the whole batch is retried
│   └── ConflictError       somebody else committed first: read again, then decide
└── ConfigError             the deployment is wrong: stop at once, loudly
"""

from __future__ import annotations


class LevadaError(Exception):
    """Base of this package's errors; catch it only at an entry point."""


class BadRecordError(LevadaError):
    """A record that can never be read.

    ``reason`` is a short fixed slug (it becomes a metric dimension and a column of the quarantine);
    ``detail`` is free text for whoever looks at the record.
    """

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason
        self.detail = detail


class BadRequestError(LevadaError):
    """An HTTP request that must not be repeated unchanged; ``status`` is the 4xx to answer."""

    def __init__(self, detail: str, *, status: int = 400) -> None:
        super().__init__(detail)
        self.status = status


class UnavailableError(LevadaError):
    """A service refused or timed out; the same call may succeed later."""


class ConflictError(UnavailableError):
    """A conditional put lost: the object is no longer the one that was read."""


class ConfigError(LevadaError, ValueError):
    """A setting is missing or out of range, or names something that is not there."""
