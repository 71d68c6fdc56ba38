"""IAM knows what the roles say: cfn-lint's data of actions and resources, and planted faults that it must find."""

from __future__ import annotations

from typing import Any

import pytest

from levadactl.embedded.templates import read_template
from levadactl.rolelint import problems
from tests.conftest import ROOT

FAULTS = {
    "a wildcard in an action": "IngestHttpFunction, IngestHttpRole.PublishRaw: kinesis:* has a wildcard",
    "every resource": "IngestFilesFunction, IngestFilesRole.GoOn: lambda:InvokeFunction on every resource there is",
    "an unknown action": (
        "IngestFilesFunction, IngestFilesRole.PublishRaw: kinesis:PutRecrods: there is no such action"
    ),
    "an unknown service": "IngestFilesFunction, IngestFilesRole.DeadLetters: sqq:SendMessage: there is no such action",
    "another service's resource": (
        "CleanFunction, CleanRole.PublishClean: kinesis:PutRecords does not apply to "
        "arn:aws:sqs:us-east-1:000000000000:levada-dead-letters"
    ),
    "another kind of resource": (
        "AggregateFunction, AggregateRole.WriteServing: dynamodb:PutItem does not apply to "
        "arn:aws:dynamodb:us-east-1:000000000000:stream/levada"
    ),
    "one resource too many": (
        "CleanFunction, CleanRole.WriteTables: arn:aws:kinesis:us-east-1:000000000000:stream/levada-raw: "
        "s3:PutObject does not apply to it, nor does another action of the statement"
    ),
}


def load() -> dict[str, Any]:
    return read_template(ROOT / "template.yaml")


def statement(template: dict[str, Any], role: str, sid: str) -> dict[str, Any]:
    (policy,) = template["Resources"][role]["Properties"]["Policies"]
    (found,) = [one for one in policy["PolicyDocument"]["Statement"] if one.get("Sid") == sid]
    assert isinstance(found, dict)
    return found


def with_faults() -> dict[str, Any]:
    """The template with each of FAULTS, in statements of their own: one run of the linter finds them all."""
    made = load()
    statement(made, "IngestHttpRole", "PublishRaw")["Action"] = ["kinesis:*"]
    statement(made, "IngestFilesRole", "GoOn")["Resource"] = "*"
    statement(made, "IngestFilesRole", "PublishRaw")["Action"].append("kinesis:PutRecrods")
    statement(made, "IngestFilesRole", "DeadLetters")["Action"] = "sqq:SendMessage"
    statement(made, "CleanRole", "PublishClean")["Resource"] = {"Fn::GetAtt": ["DeadLetters", "Arn"]}
    wrong_kind = "arn:aws:dynamodb:${AWS::Region}:${AWS::AccountId}:stream/levada"
    statement(made, "AggregateRole", "WriteServing")["Resource"] = {"Fn::Sub": wrong_kind}
    statement(made, "CleanRole", "WriteTables")["Resource"].append({"Fn::GetAtt": ["RawStream", "Arn"]})
    return made


@pytest.fixture(scope="module")
def found() -> list[str]:
    return problems(with_faults())


def test_iam_knows_every_action_and_resource_of_the_roles() -> None:
    assert problems(load()) == []


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_found_and_named_with_its_function_and_statement(fault: str, found: list[str]) -> None:
    assert FAULTS[fault] in found


def test_nothing_else_is_found_beside_the_planted_faults(found: list[str]) -> None:
    assert len(found) - len(FAULTS) == 1, found  # BatchWriteItem stands beside PutItem, in the same statement
