"""What each place does with what the template asks for: the one list behind ``levada doctor`` and the docs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Answer = Literal["yes", "ignored", "missing", "levada", "n/a"]
"""``yes`` honoured · ``ignored`` accepted without effect · ``missing`` not there, so behind a condition or not used ·
``levada`` done by levada in the place's stead · ``n/a`` the place runs one function at a time."""

PLACES = ("embedded", "localstack", "sam-local", "aws")
NAMES = {
    "embedded": "the embedded stack (MiniStack)",
    "localstack": "LocalStack",
    "sam-local": "sam local",
    "aws": "AWS",
}


@dataclass(frozen=True, slots=True)
class Feature:
    """One thing that the template asks for, and what comes of it at each place."""

    what: str
    embedded: Answer
    localstack: Answer
    sam_local: Answer
    aws: Answer
    so: str
    """What levada does because of the places that do not honour it."""

    def at(self, place: str) -> Answer:
        answers: Mapping[str, Answer] = {
            "embedded": self.embedded,
            "localstack": self.localstack,
            "sam-local": self.sam_local,
            "aws": self.aws,
        }
        return answers[place]


FEATURES = (
    Feature("Kinesis batches, in order per shard", "levada", "yes", "n/a", "yes", "own stream triggers where embedded"),
    Feature("batch size and batching window", "levada", "yes", "n/a", "yes", ""),
    Feature(
        "bisect of a failing batch", "levada", "ignored", "n/a", "yes", "bad records are quarantined, never raised"
    ),
    Feature("partial batch response", "levada", "yes", "n/a", "yes", "always empty: a batch is done or comes again"),
    Feature("retry limit, on-failure destination of a stream", "levada", "yes", "n/a", "yes", "`levada dlq`"),
    Feature("maximum record age of a stream", "levada", "yes", "n/a", "yes", ""),
    Feature("parallelization factor", "levada", "ignored", "n/a", "yes", "always 1: a shard has one checkpoint"),
    Feature("resharding (parents drained first)", "levada", "ignored", "n/a", "yes", "fences are inherited"),
    Feature("S3 notification with a prefix", "yes", "yes", "n/a", "yes", ""),
    Feature("schedules (rate)", "yes", "yes", "n/a", "yes", ""),
    Feature("EventBridge Scheduler (ScheduleV2)", "yes", "ignored", "n/a", "yes", "not used: Schedule instead"),
    Feature("REST API", "yes", "yes", "yes", "yes", ""),
    Feature("gzip bodies over HTTP", "ignored", "yes", "yes", "yes", "send them uncompressed where embedded"),
    Feature("HTTP API (HttpApi)", "missing", "missing", "yes", "yes", "not used: Api instead"),
    Feature("layers", "yes", "ignored", "yes", "yes", "not used: every artifact is whole"),
    Feature("dead letters of asynchronous calls", "yes", "yes", "n/a", "yes", ""),
    Feature("memory size, CPU share", "ignored", "ignored", "yes", "yes", "sizes are measured by `make sizes`"),
    Feature("timeout", "yes", "yes", "yes", "yes", ""),
    Feature("the function's own Python and packages", "ignored", "yes", "yes", "yes", "`make sizes` imports artifacts"),
    Feature("250 MiB limit", "ignored", "yes", "ignored", "yes", "budgets in `make sizes`"),
    Feature("IAM roles, bucket policy", "ignored", "ignored", "n/a", "yes", "calls are compared with roles by a test"),
    Feature("encryption of bucket, streams, queue", "ignored", "ignored", "n/a", "yes", ""),
    Feature("stream retention", "ignored", "ignored", "n/a", "yes", ""),
    Feature("log retention", "ignored", "ignored", "n/a", "yes", ""),
    Feature("time to live of table items", "levada", "yes", "n/a", "yes", "readers filter by time everywhere"),
    Feature("alarms on function and queue metrics", "ignored", "ignored", "n/a", "yes", "condition HasOperations"),
    Feature("metrics from logs (EMF), dashboard", "missing", "missing", "n/a", "yes", "condition HasOperations"),
    Feature("Glue catalog", "yes", "missing", "n/a", "yes", "condition HasCatalog"),
    Feature("updates of a deployed stack", "yes", "ignored", "n/a", "yes", "a new stack where LocalStack would not"),
)


def table(place: str) -> list[tuple[str, Answer, str]]:
    """(what, answer, what levada does because of it) of one place, in the order of the list."""
    return [(one.what, one.at(place), one.so if one.at(place) not in ("yes", "n/a") else "") for one in FEATURES]


def ignored(place: str) -> list[str]:
    """What this place takes without doing it, or does not have."""
    return [one.what for one in FEATURES if one.at(place) in ("ignored", "missing")]


def markdown() -> str:
    """The table for the docs: every feature at every place."""
    lines = [f"| | {' | '.join(NAMES[place] for place in PLACES)} | so |", "|---|" + "---|" * (len(PLACES) + 1)]
    lines += [f"| {f.what} | {' | '.join(f.at(place) for place in PLACES)} | {f.so} |" for f in FEATURES]
    return "\n".join(lines) + "\n"
