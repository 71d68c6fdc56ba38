"""Files that were refused and calls that failed: tried in process, sent to the function again, told apart."""

from __future__ import annotations

import json
from typing import Any

import pytest

from levada.domains.declaration import Domain
from levada.ingest import files
from levadactl.deadletters import listing, messages
from levadactl.deadletters.ports import InvokeError, Message
from levadactl.deadletters.sending import Choice
from levadactl.deadletters.sending import redrive as run
from tests.unit.deadletters.fakes import FIXED, Pipeline
from tests.unit.deadletters.steps import dry, outstanding

KEY = "landing/sim/may.csv"
BODY = b"sensor,t,a,b\ns1,2025-06-01T00:00:00Z,1,2\n"


def refused(pipeline: Pipeline) -> None:
    """A file lands while its domain is not enabled."""
    pipeline.memory.blobs.put(KEY, BODY)
    assert load(pipeline, {}) == "refused"


def load(pipeline: Pipeline, domains: dict[str, Domain]) -> str:
    memory = pipeline.memory
    deps = files.FilesDeps(
        blobs=memory.blobs,
        sink=memory.raw,
        topology=memory.topology,
        clock=memory.clock,
        domains=domains,
        tenant="default",
        raw_stream="raw",
        pack_rows=500,
        fence_horizon_h=48,
    )
    return files.load(KEY, deps, remaining_s=lambda: 900, arrived_us=1_767_225_600_000_000).status


def test_a_refused_file_is_tried_without_a_trace_and_then_loaded_by_the_function() -> None:
    pipeline = Pipeline({})
    refused(pipeline)
    assert dry(pipeline).files.failing == {"unknown_domain": 1}
    pipeline.domains = FIXED
    before = dict(pipeline.memory.blobs.objects)

    assert dry(pipeline).files.passing == 1
    assert pipeline.memory.blobs.objects == before

    pipeline.functions.answers = [{"files": [{"key": KEY, "status": "loaded"}]}]
    report = run(pipeline.ports, Choice(), dry_run=False)
    assert (report.files.sent, report.files.failing) == (1, {})
    ((function, event),) = pipeline.functions.calls
    assert function == "levada-ingest-files"
    assert event["Records"][0]["s3"]["object"]["key"] == KEY
    assert event["Records"][0]["eventTime"] == "2026-01-01T00:00:00.000Z"
    assert not outstanding(pipeline)


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        ({"files": [{"key": KEY, "status": "refused", "reason": "no_header: line 1"}]}, "no_header"),
        ({"files": [{"key": KEY, "status": "gone"}]}, "gone"),
        (InvokeError("timed out"), "function_failed"),
    ],
)
def test_a_file_that_is_refused_again_stays(answer: Any, why: str) -> None:
    pipeline = Pipeline({})
    refused(pipeline)
    pipeline.functions.answers = [answer]

    report = run(pipeline.ports, Choice(), dry_run=False)

    assert (report.files.sent, report.files.failing) == (0, {why: 1})
    assert len(outstanding(pipeline)) == 1


def test_a_file_whose_content_was_loaded_under_another_name_needs_nothing() -> None:
    pipeline = Pipeline({})
    pipeline.memory.blobs.put(KEY, b"no,columns\n")
    assert load(pipeline, FIXED) == "refused"
    (letter,) = outstanding(pipeline)
    sha256 = json.loads(letter.payload)["sha256"]
    ledger = f"checkpoints/ingest/sim/default/{sha256}.json"

    pipeline.memory.blobs.put(ledger, json.dumps({"done": False}).encode())
    assert len(outstanding(pipeline)) == 1
    pipeline.memory.blobs.put(ledger, json.dumps({"done": True}).encode())
    assert not outstanding(pipeline)


def failed_call(event: dict[str, Any]) -> dict[str, Any]:
    return {
        "version": "1.0",
        "timestamp": "2026-01-01T00:00:00.000Z",
        "requestContext": {
            "requestId": "r-1",
            "functionArn": "arn:aws:lambda:us-east-1:000000000000:function:levada-ingest-files:$LATEST",
            "condition": "RetriesExhausted",
            "approximateInvokeCount": 3,
        },
        "requestPayload": event,
        "responseContext": {"statusCode": 200, "executedVersion": "$LATEST", "functionError": "Unhandled"},
        "responsePayload": {"errorMessage": "Task timed out"},
    }


EVENT = {
    "Records": [{"eventSource": "aws:s3", "s3": {"bucket": {"name": "lake"}, "object": {"key": "landing/a+b.csv"}}}]
}


def test_a_failed_call_is_made_again_and_its_message_goes_when_it_worked() -> None:
    pipeline = Pipeline(FIXED)
    pipeline.queue.send(failed_call(EVENT))
    (one,) = listing.overview(pipeline.ports)["calls"]
    assert (one["function"], one["keys"], one["condition"]) == (
        "levada-ingest-files",
        ["landing/a b.csv"],
        "RetriesExhausted",
    )
    assert listing.show(pipeline.ports, one["id"])["event"] == EVENT
    assert dry(pipeline).calls.selected == 1
    pipeline.functions.answers = [InvokeError("again"), {"files": []}]

    first = run(pipeline.ports, Choice(reason="RetriesExhausted"), dry_run=False)
    assert (first.calls.sent, first.calls.failing, len(pipeline.queue.messages)) == (0, {"function_failed": 1}, 1)
    second = run(pipeline.ports, Choice(), dry_run=False)

    assert (second.calls.sent, len(pipeline.queue.messages)) == (1, 0)
    assert pipeline.functions.calls == [("levada-ingest-files", EVENT)] * 2


@pytest.mark.parametrize("body", ["no json", "[1]", "{}", '{"KinesisBatchInfo":{}}', '{"requestPayload":{"a":1}}'])
def test_messages_of_somebody_else_are_counted_and_left(body: str) -> None:
    pipeline = Pipeline(FIXED)
    pipeline.queue.send(body)

    assert messages.sort([Message("1", "r", body)]).foreign
    run(pipeline.ports, Choice(), dry_run=False)
    assert len(pipeline.queue.messages) == 1
    assert not pipeline.queue.hidden
    assert listing.overview(pipeline.ports)["other_messages"] == 1
