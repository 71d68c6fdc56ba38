"""Files in events/ are as built, keep the shape that AWS documents, and run: an independent parser accepts each one."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from aws_lambda_powertools.utilities.parser.models import (
    APIGatewayProxyEventModel,
    EventBridgeModel,
    KinesisDataStreamModel,
    S3Model,
)
from pydantic import BaseModel, ValidationError

from levada.core.errors import LevadaError
from levadactl import cases, eventfiles, events, invoking
from levadactl.case import SHARD, Case
from tests.conftest import EVENTS, ROOT, load_event

MODELS: dict[str, type[BaseModel]] = {
    "IngestFilesFunction": S3Model,
    "IngestHttpFunction": APIGatewayProxyEventModel,
    "CleanFunction": KinesisDataStreamModel,
    "AggregateFunction": KinesisDataStreamModel,
    "ArchiveFunction": EventBridgeModel,
    "QueryFunction": APIGatewayProxyEventModel,
}
OTHER = {"not_of_s3", "not_of_kinesis"}
"""Events of another service than the function's."""
every_case = pytest.mark.parametrize("case", cases.CASES, ids=lambda case: f"{case.stage}/{case.name}")


def test_every_file_is_as_built_and_none_is_superfluous() -> None:
    assert eventfiles.differences(EVENTS) == [], "run: python -m levadactl.eventfiles write"


@every_case
def test_an_independent_parser_accepts_it(case: Case) -> None:
    if case.name in OTHER:
        with pytest.raises(ValidationError):
            MODELS[case.function].model_validate(load_event(f"{case.stage}/{case.name}"))
        return
    MODELS[case.function].model_validate(load_event(f"{case.stage}/{case.name}"))


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("clean/one_good", ("Records", 0, "kinesis", "sequenceNumber")),
        ("ingest/one_object", ("Records", 0, "s3", "object", "key")),
        ("ingest/one_event", ("requestContext", "requestId")),
        ("archive/on_time", ("time",)),
    ],
)
def test_the_independent_parser_refuses_one_that_lacks_a_field(name: str, path: tuple[str | int, ...]) -> None:
    event: Any = load_event(name)
    case = next(case for case in cases.CASES if f"{case.stage}/{case.name}" == name)
    inner = event
    for step in path[:-1]:
        inner = inner[step]
    del inner[path[-1]]

    with pytest.raises(ValidationError, match=str(path[-1])):
        MODELS[case.function].model_validate(event)


@every_case
def test_the_real_handler_answers_it(case: Case) -> None:
    event = load_event(f"{case.stage}/{case.name}")
    deps = invoking.memory_deps()
    if case.error:
        with pytest.raises(LevadaError) as failure:
            invoking.run(case.stage, event, deps)
        assert type(failure.value).__name__ == case.error
        return
    invoking.prepare(case.stage, event, deps)

    answer = invoking.run(case.stage, event, deps)

    json.dumps(answer)
    if case.function in ("CleanFunction", "AggregateFunction"):
        assert answer == {"batchItemFailures": []}


@pytest.mark.parametrize(
    ("name", "status"),
    [
        ("ingest/one_event", 202),
        ("ingest/base64_body", 202),
        ("ingest/batch", 200),
        ("ingest/batch_with_bad", 200),
        ("ingest/not_json", 400),
        ("ingest/unknown_domain", 400),
        ("query/healthz", 200),
        ("query/get_windows", 200),
        ("query/unknown_series", 200),
        ("query/no_query", 422),
        ("query/base64_body", 200),
        ("query/trailing_slash", 200),
        ("query/bad_parameter", 422),
        ("query/no_such_route", 404),
    ],
)
def test_http_status_of(name: str, status: int) -> None:
    stage = name.partition("/")[0]
    deps = invoking.memory_deps()
    invoking.prepare(stage, load_event(name), deps)

    assert invoking.run(stage, load_event(name), deps)["statusCode"] == status


def test_a_query_for_a_day_gets_the_windows_that_the_fixtures_hold() -> None:
    found = {}
    for name in ("get_windows", "trailing_slash", "unknown_series"):
        deps = invoking.memory_deps()
        invoking.prepare("query", load_event(f"query/{name}"), deps)
        body = json.loads(invoking.run("query", load_event(f"query/{name}"), deps)["body"])
        found[name] = [(window["start"], window["count"], window["mean"]) for window in body["windows"]]

    assert found["get_windows"] == [(f"2025-12-01T0{hour}:00:00Z", 1, 2.6) for hour in range(3)]
    assert found["trailing_slash"] == found["get_windows"]
    assert found["unknown_series"] == []


def test_the_readme_names_functions_that_the_template_has() -> None:
    template = (ROOT / "template.yaml").read_text()
    named = set(re.findall(r"sam local invoke (\w+)", (EVENTS / "README.md").read_text()))

    assert named == set(MODELS)
    assert all(f"\n  {name}:\n" in template for name in named)


def test_every_function_has_three_events_for_an_emulator_and_two_that_need_nothing() -> None:
    for function in MODELS:
        mine = [case for case in cases.CASES if case.function == function]
        assert sum(not case.alone for case in mine) >= 3, function
        assert sum(case.alone for case in mine) >= 2, function


@pytest.mark.parametrize(
    "case", [case for case in cases.CASES if case.alone], ids=lambda case: f"{case.stage}/{case.name}"
)
def test_an_event_that_needs_nothing_touches_no_store(case: Case) -> None:
    deps = invoking.memory_deps()
    deps.blobs.down = True
    deps.raw.down = True
    deps.clean.down = True
    deps.serving.down = True

    if case.error:
        with pytest.raises(LevadaError):
            invoking.run(case.stage, load_event(f"{case.stage}/{case.name}"), deps)
    else:
        answer = invoking.run(case.stage, load_event(f"{case.stage}/{case.name}"), deps)
        assert answer.get("statusCode", 200) < 500


def test_kinesis_events_come_from_a_shard_that_no_stream_has() -> None:
    for case in cases.CASES:
        for record in case.build().get("Records", []):
            assert record.get("eventSource") != "aws:kinesis" or f"shardId-{SHARD:012d}:" in record["eventID"]


def test_a_built_batch_has_the_shape_that_lambda_delivers() -> None:
    event = events.kinesis([b"a", {"b": 1}], shard=2, first=7)

    assert [record["eventID"].partition(":")[0] for record in event["Records"]] == ["shardId-000000000002"] * 2
    numbers = [int(record["kinesis"]["sequenceNumber"]) for record in event["Records"]]
    assert numbers[1] == numbers[0] + 1
    assert len(str(numbers[0])) == 56
