"""Logs and metrics of the handlers: Powertools, built on first use, on stderr so that stdout stays the function's."""

from __future__ import annotations

import sys
from functools import cache
from typing import Any

from aws_lambda_powertools import Logger


class _Stderr:
    """sys.stderr as it is at the moment of writing: a process may have another one later than when it first logged."""

    def write(self, text: str) -> int:
        return sys.stderr.write(text)

    def flush(self) -> None:
        sys.stderr.flush()


@cache
def logger(service: str) -> Logger:
    """One structured logger per service; the level is POWERTOOLS_LOG_LEVEL."""
    return Logger(service=service, stream=_Stderr())  # type: ignore[arg-type]  # write and flush are all it calls


def log(service: str, context: object, **fields: Any) -> None:
    """One line per invocation: what was done, with the request id."""
    request = getattr(context, "aws_request_id", "")
    logger(service).info("done", extra={"request_id": request, **fields})
