"""Logs and metrics of the handlers: Powertools, built on first use, on stderr so that stdout stays the function's.

One line per invocation is both: the structured log, and CloudWatch's embedded metric format (EMF), in which a log line
names those of its own fields that are metrics. CloudWatch makes metrics of them; elsewhere they are fields like others.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable
from functools import cache
from typing import Any

from aws_lambda_powertools import Logger

NAMESPACE = "levada"
METRICS = {
    "records": "Count",
    "rows": "Count",
    "rows_read": "Count",
    "bad_rows": "Count",
    "duplicates": "Count",
    "duplicate_rows": "Count",
    "late": "Count",
    "quarantined": "Count",
    "published": "Count",
    "closed": "Count",
    "open": "Count",
    "lag_s": "Seconds",
}
"""Fields of the log line that are metrics, with CloudWatch's unit; only numbers count."""


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
    """One line per invocation: what was done, with the request id. Numbers under the names in METRICS are metrics."""
    request = getattr(context, "aws_request_id", "")
    extra = {"request_id": request, **fields}
    if found := [name for name, value in fields.items() if name in METRICS and type(value) in (int, float)]:
        extra["function"] = getattr(context, "function_name", "") or service
        extra["_aws"] = directive(found, round(time.time() * 1000))
    logger(service).info("done", extra=extra)


@cache
def announce_kernels(service: str, why_not: str, twin: str = "numpy") -> None:
    """One line per process: whether the compiled kernels do the work, or their twin and why (a reason, or "")."""
    if why_not:
        logger(service).warning("kernels", extra={"kernels": twin, "reason": why_not})
    else:
        logger(service).info("kernels", extra={"kernels": "compiled"})


def directive(names: Iterable[str], now_ms: int) -> dict[str, Any]:
    """What tells CloudWatch which fields of this line are metrics, by function.

    Source: CloudWatch User Guide, "Specification: Embedded metric format".
    """
    metrics = [{"Name": name, "Unit": METRICS[name]} for name in names]
    return {
        "Timestamp": now_ms,
        "CloudWatchMetrics": [{"Namespace": NAMESPACE, "Dimensions": [["function"]], "Metrics": metrics}],
    }


def lag_s(arrived_s: Iterable[float]) -> float:
    """Age of the oldest record of a batch when it is done, seconds: how far behind its stream a stage is."""
    return round(max(0.0, time.time() - min(arrived_s)), 3)
