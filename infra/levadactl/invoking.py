"""Run one stage's real handler on one event, in this process, on stores in memory."""

from __future__ import annotations

import importlib
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from levada.config import Config
from levada.core.access import OPEN
from levada.core.packs import is_pack, split
from levada.ingest.s3_event import parse as landed_keys
from levada.ports import Entry
from levada.wiring import using
from levadactl import cases, cases_of_tokens
from levadactl.errors import LevadactlError
from levadactl.memory import ManualClock, MemoryDeps

HANDLERS = {
    "ingest-files": "levada.ingest.files_handler",
    "ingest-http": "levada.ingest.http_handler",
    "clean": "levada.clean.handler",
    "aggregate": "levada.aggregate.handler",
    "archive": "levada.archive.handler",
    "query": "levada.query.handler",
}
STAGES = ("ingest", *HANDLERS)
"""``ingest`` is whichever of the two the event is for."""
NAMES = {"bucket": "lake", "table": "serving", "raw_stream": "raw", "clean_stream": "clean"}


@dataclass(frozen=True, slots=True)
class LocalContext:
    """What the handlers look at of a Lambda context."""

    function_name: str
    aws_request_id: str = "local"
    memory_limit_in_mb: int = 1769
    invoked_function_arn: str = "arn:aws:lambda:us-east-1:000000000000:function:local"

    def get_remaining_time_in_millis(self) -> int:
        return 120_000


def memory_deps(now_s: float | None = None, auth: str = OPEN) -> MemoryDeps:
    """Empty stores in memory; their clock stands at ``now_s`` (by default now).

    Args:
        auth: OPEN; or REQUIRED, and the table knows the tokens that event files carry.
    """
    clock = ManualClock(time.time() if now_s is None else now_s)
    deps = MemoryDeps(config=Config(**NAMES, auth=auth), clock=clock)  # type: ignore[arg-type]
    if auth != OPEN:
        deps.serving.put([one.to_item() for one in cases_of_tokens.tokens(clock.now_s())])
    return deps


def handler_of(stage: str, event: Mapping[str, Any]) -> str:
    """The module whose handler gets this event. Raises LevadactlError naming the stages there are."""
    if stage == "ingest":
        stage = "ingest-http" if "httpMethod" in event else "ingest-files"
    if stage not in HANDLERS:
        raise LevadactlError(f"stage {stage!r}: must be one of {', '.join(STAGES)}")
    return HANDLERS[stage]


def prepare(stage: str, event: Mapping[str, Any], deps: MemoryDeps) -> None:
    """Put there what the event takes for granted: the object that it names, or the windows that it asks for."""
    module = handler_of(stage, event)
    if module.endswith("files_handler"):
        for one in landed_keys(event):
            body = cases.landed(one.key)
            if body is not None:
                deps.blobs.objects[one.key] = body
    if stage in ("archive", "query"):
        run("aggregate", cases.event("aggregate/one_pack"), deps)
    if stage == "query":
        run("archive", {"source": "levada.demo", "detail": {"idle_after_s": 0}}, deps)


def run(stage: str, event: Mapping[str, Any], deps: MemoryDeps) -> Any:
    """The handler's answer; what it left behind stands in deps. Whatever it raises is raised."""
    handler = importlib.import_module(handler_of(stage, event)).handler
    with using(deps):
        return handler(dict(event), LocalContext(f"levada-{stage}"))


def left_behind(deps: MemoryDeps) -> dict[str, Any]:
    """Objects by key with their size, records on both streams, items in the serving table."""
    return {
        "objects": {key: len(body) for key, body in sorted(deps.blobs.objects.items())},
        "raw": [_record(entry) for entry in deps.raw.entries],
        "clean": [_record(entry) for entry in deps.clean.entries],
        "serving": [{"pk": pk, "sk": sk} for pk, sk in sorted(deps.serving.items)],
    }


def new(before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    """What stands in ``after`` and not in ``before``."""
    objects = {key: size for key, size in after["objects"].items() if before["objects"].get(key) != size}
    rest = {name: [one for one in after[name] if one not in before[name]] for name in ("raw", "clean", "serving")}
    return {"objects": objects, **rest}


def _record(entry: Entry) -> dict[str, Any]:
    found: dict[str, Any] = {"partition_key": entry.partition_key, "bytes": len(entry.data)}
    return found | ({"header": split(entry.data)[0].to_json()} if is_pack(entry.data) else {})
