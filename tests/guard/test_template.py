"""The template agrees with the code, writes out every failure setting, and holds only what all three places have."""

from __future__ import annotations

import dataclasses
import importlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from levada.config import Config
from levada.core import access
from levadactl import honours, templatelint
from levadactl.embedded.templates import read_template
from tests.conftest import ROOT

TEMPLATE = ROOT / "template.yaml"

STREAM_SETTINGS = {
    "Stream",
    "Enabled",
    "StartingPosition",
    "BatchSize",
    "MaximumBatchingWindowInSeconds",
    "ParallelizationFactor",
    "BisectBatchOnFunctionError",
    "MaximumRetryAttempts",
    "MaximumRecordAgeInSeconds",
    "FunctionResponseTypes",
    "DestinationConfig",
}
ASYNC_SETTINGS = {"MaximumEventAgeInSeconds", "MaximumRetryAttempts", "DestinationConfig"}


def load() -> dict[str, Any]:
    return read_template(TEMPLATE)


def of_type(kind: str) -> dict[str, dict[str, Any]]:
    return {name: r.get("Properties", {}) for name, r in load()["Resources"].items() if r["Type"] == kind}


def functions() -> dict[str, dict[str, Any]]:
    found = of_type("AWS::Serverless::Function")
    assert found
    return found


def events(kind: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """(function.event, properties) of every event source of a kind."""
    for function, properties in functions().items():
        for name, event in properties.get("Events", {}).items():
            if event["Type"] == kind:
                yield f"{function}.{name}", event["Properties"]


def listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def text(resource: Any) -> str:
    return resource["Fn::Sub"] if isinstance(resource, dict) and "Fn::Sub" in resource else str(resource)


def test_every_function_is_one_of_the_six_and_its_handler_is_what_tests_import() -> None:
    handlers = {name: properties["Handler"] for name, properties in functions().items()}
    assert handlers == {
        "IngestHttpFunction": "levada.ingest.http_handler.handler",
        "IngestFilesFunction": "levada.ingest.files_handler.handler",
        "CleanFunction": "levada.clean.handler.handler",
        "AggregateFunction": "levada.aggregate.handler.handler",
        "ArchiveFunction": "levada.archive.handler.handler",
        "QueryFunction": "levada.query.handler.handler",
    }


@pytest.mark.parametrize("function", sorted(functions()))
def test_the_handler_can_be_imported(function: str) -> None:
    module, _, attribute = functions()[function]["Handler"].rpartition(".")

    assert callable(getattr(importlib.import_module(module), attribute))


def test_no_two_functions_share_a_role() -> None:
    roles = [properties["Role"]["Fn::GetAtt"][0] for properties in functions().values()]

    assert sorted(roles) == sorted(of_type("AWS::IAM::Role"))
    assert len(roles) == len(set(roles))


def statements() -> Iterator[tuple[str, dict[str, Any]]]:
    for role, properties in of_type("AWS::IAM::Role").items():
        assert "ManagedPolicyArns" not in properties, f"{role}: managed policies are wider than one function needs"
        for policy in properties["Policies"]:
            for written in policy["PolicyDocument"]["Statement"]:
                statement = written["Fn::If"][1] if "Fn::If" in written else written
                yield f"{role}.{statement['Sid']}", statement


@pytest.mark.parametrize(("name", "statement"), [pytest.param(n, s, id=n) for n, s in statements()])
def test_a_permission_names_its_actions_and_resources(name: str, statement: dict[str, Any]) -> None:
    assert statement["Effect"] == "Allow"
    assert not [action for action in listed(statement["Action"]) if "*" in action], f"{name}: a wildcard in an action"
    for resource in map(text, listed(statement["Resource"])):
        # Below a prefix of our own bucket a star is the only way to say "these objects".
        assert "*" not in re.sub(r"(?<=[a-z0-9]/)\*$", "", resource), f"{name}: {resource} is a wildcard"
        if resource.startswith("arn:") and ":s3:::" in resource and statement["Action"] != ["s3:ListBucket"]:
            assert re.search(r"-lake-\$\{AWS::AccountId\}-\$\{AWS::Region\}/[a-z]+/", resource), f"{name}: {resource}"


@pytest.mark.parametrize("layer", ["bronze/", "silver/", "events/", "quarantine/stage=clean/", "checkpoints/clean/"])
def test_clean_may_put_what_it_writes(layer: str) -> None:
    role = load()["Resources"]["CleanRole"]["Properties"]["Policies"][0]["PolicyDocument"]["Statement"]
    allowed = [text(one["Resource"]) for one in role if "s3:PutObject" in listed(one["Action"])]

    assert any(f"/{layer}*" in resources for resources in allowed)


def test_a_listing_is_held_to_prefixes() -> None:
    listings = [(name, s) for name, s in statements() if "s3:ListBucket" in s["Action"]]

    assert listings
    for name, statement in listings:
        assert listed(statement["Action"]) == ["s3:ListBucket"], f"{name}: other actions do not know s3:prefix"
        prefixes = statement["Condition"]["StringLikeIfExists"]["s3:prefix"]
        assert all(re.fullmatch(r"[a-z]+/([a-z]+/)?\*", prefix) for prefix in prefixes), f"{name}: {prefixes}"


def test_a_point_read_is_held_to_the_tokens() -> None:
    """D34: the HTTP functions look up tokens; of the rest of the table they can read no item by its key."""
    reads = {name: s for name, s in statements() if "dynamodb:GetItem" in listed(s["Action"])}

    assert set(reads) == {"IngestHttpRole.LookUpTokens", "QueryRole.LookUpTokens"}
    for name, statement in reads.items():
        assert listed(statement["Action"]) == ["dynamodb:GetItem"], f"{name}: other actions need other keys"
        # ForAllValues, since the key is a list; it holds without any, but a point read always names one
        assert statement["Condition"] == {"ForAllValues:StringEquals": {"dynamodb:LeadingKeys": [access.PK]}}, name


def test_aws_wants_tokens_and_only_places_that_bind_to_loopback_do_not() -> None:
    given = {path.stem: json.loads(path.read_text()) for path in (ROOT / "infra" / "parameters").glob("*.json")}

    assert load()["Parameters"]["Auth"]["Default"] == "REQUIRED"
    assert {place: one["Auth"] for place, one in given.items()} == {
        "aws": "REQUIRED",
        "embedded": "OPEN",
        "localstack": "OPEN",
    }


def test_every_stream_mapping_writes_out_every_failure_setting() -> None:
    mappings = dict(events("Kinesis"))

    assert set(mappings) == {"CleanFunction.Raw", "AggregateFunction.Clean"}
    for name, mapping in mappings.items():
        assert set(mapping) >= STREAM_SETTINGS, f"{name} leaves {STREAM_SETTINGS - set(mapping)} to defaults"
        assert mapping["StartingPosition"] == "TRIM_HORIZON", f"{name} would skip what came before the mapping"
        assert mapping["FunctionResponseTypes"] == ["ReportBatchItemFailures"], name
        assert mapping["MaximumRetryAttempts"] >= 0, f"{name}: -1 lets one batch block its shard for a day"
        assert 60 <= mapping["MaximumRecordAgeInSeconds"] < 86_400, f"{name}: the stream keeps 24 hours"
        assert mapping["DestinationConfig"]["OnFailure"]["Destination"] == {"Fn::GetAtt": ["DeadLetters", "Arn"]}, name
        assert mapping["Enabled"] == {"Fn::If": ["StreamTriggersEnabled", True, False]}, name
        # Two lanes of one shard would race for one checkpoint.
        assert mapping["ParallelizationFactor"] == 1, name


def test_every_asynchronous_function_writes_out_its_retries_and_dead_letters() -> None:
    asynchronous = {name.split(".")[0] for kind in ("S3", "Schedule") for name, _ in events(kind)}

    assert asynchronous == {"IngestFilesFunction", "ArchiveFunction"}
    for name in asynchronous:
        config = functions()[name]["EventInvokeConfig"]
        assert set(config) == ASYNC_SETTINGS, f"{name} leaves {ASYNC_SETTINGS - set(config)} to defaults"
        assert config["DestinationConfig"]["OnFailure"]["Destination"] == {"Fn::GetAtt": ["DeadLetters", "Arn"]}
    for name, schedule in events("Schedule"):
        assert set(schedule["RetryPolicy"]) == {"MaximumEventAgeInSeconds", "MaximumRetryAttempts"}, name


@pytest.mark.parametrize("function", sorted(functions()))
def test_a_function_with_a_dead_letter_destination_may_send_there(function: str) -> None:
    properties = functions()[function]
    needs = "EventInvokeConfig" in properties or any(name.startswith(f"{function}.") for name, _ in events("Kinesis"))
    role = properties["Role"]["Fn::GetAtt"][0]
    may = any(name.startswith(f"{role}.") and "sqs:SendMessage" in s["Action"] for name, s in statements())

    assert needs == may


def test_functions_with_pyarrow_have_time_to_import_it() -> None:
    default = load()["Globals"]["Function"]["Timeout"]
    for name, properties in functions().items():
        if name != "IngestHttpFunction":
            assert properties.get("Timeout", default) >= 30, f"{name}: import time counts against Timeout"


def test_every_function_has_a_log_group_with_an_end() -> None:
    kept = {p["LogGroupName"]["Fn::Sub"]: p["RetentionInDays"] for p in of_type("AWS::Logs::LogGroup").values()}

    assert kept == {f"/aws/lambda/{p['FunctionName']['Fn::Sub']}": 30 for p in functions().values()}


def settings() -> set[str]:
    return {f"LEVADA_{field.name.upper()}" for field in dataclasses.fields(Config)}


def test_the_template_holds_only_what_every_place_has() -> None:
    assert [str(one) for one in templatelint.problems(load(), settings())] == []


def broken(change: str) -> dict[str, Any]:
    """The template with one fault."""
    made = load()
    query = made["Resources"]["QueryFunction"]["Properties"]
    variables = made["Globals"]["Function"]["Environment"]["Variables"]
    if change == "HttpApi":
        query["Events"]["New"] = {"Type": "HttpApi", "Properties": {"Method": "GET", "Path": "/new"}}
    elif change == "layer":
        query["Layers"] = ["arn:aws:lambda:eu-central-1:1:layer:shared:1"]
    elif change == "variable":
        del variables["LEVADA_MAX_SKEW_S"]
    elif change == "endpoint":
        variables["AWS_ENDPOINT_URL"] = {"Ref": "AwsEndpointUrl"}
    elif change == "schedule":
        made["Resources"]["ArchiveFunction"]["Properties"]["Events"]["EveryMinute"]["Type"] = "ScheduleV2"
    elif change == "dashboard":
        made["Resources"]["Board"] = {"Type": "AWS::CloudWatch::Dashboard", "Properties": {"DashboardBody": "{}"}}
    elif change == "stream":
        del made["Resources"]["RawStream"]["Properties"]["StreamModeDetails"]
    elif change == "image":
        query["PackageType"] = "Image"
    elif change == "api":
        del query["Events"]["Health"]["Properties"]["RestApiId"]
    return made


@pytest.mark.parametrize(
    ("change", "where", "place"),
    [
        ("HttpApi", "QueryFunction.New", "LocalStack"),
        ("layer", "QueryFunction.Layers", "LocalStack"),
        ("variable", "QueryFunction.Environment", "sam local"),
        ("endpoint", "AWS_ENDPOINT_URL", "LocalStack"),
        ("schedule", "ArchiveFunction.EveryMinute", "LocalStack"),
        ("dashboard", "Board", "LocalStack"),
        ("stream", "RawStream", "LocalStack"),
        ("image", "QueryFunction", "embedded"),
        ("api", "QueryFunction.Health", "LocalStack"),
    ],
)
def test_a_change_that_breaks_a_place_is_named_with_the_place(change: str, where: str, place: str) -> None:
    found = templatelint.problems(broken(change), settings())

    assert any(where in one.where and place in one.why for one in found), found


def test_streams_say_that_they_are_provisioned() -> None:
    streams = of_type("AWS::Kinesis::Stream")

    assert set(streams) == {"RawStream", "CleanStream"}
    for name, stream in streams.items():
        # LocalStack makes four on-demand shards of a stream that does not say.
        assert stream["StreamModeDetails"] == {"StreamMode": "PROVISIONED"}, name
        assert stream["StreamEncryption"] == {"EncryptionType": "KMS", "KeyId": "alias/aws/kinesis"}, name


def test_the_template_sets_every_setting_and_no_other() -> None:
    declared = load()["Globals"]["Function"]["Environment"]["Variables"]
    for properties in functions().values():
        declared |= properties.get("Environment", {}).get("Variables", {})

    assert {f"LEVADA_{field.name.upper()}" for field in dataclasses.fields(Config)} == {
        name for name in declared if name.startswith("LEVADA_")
    }


def test_the_template_starts_with_the_defaults_of_the_code() -> None:
    declared = load()["Globals"]["Function"]["Environment"]["Variables"]
    parameters = load()["Parameters"]
    for field in dataclasses.fields(Config):
        value = declared[f"LEVADA_{field.name.upper()}"]
        if isinstance(value, dict) and value.get("Ref") in parameters:
            value = parameters[value["Ref"]]["Default"]
        if isinstance(value, str):
            assert str(field.default) == value, f"LEVADA_{field.name.upper()}"


def test_an_endpoint_can_be_given_to_functions() -> None:
    # sam local passes only variables that the template declares; LocalStack sets its own unless the template does.
    endpoint = load()["Globals"]["Function"]["Environment"]["Variables"]["AWS_ENDPOINT_URL"]
    assert endpoint == {"Fn::If": ["HasEndpoint", {"Ref": "AwsEndpointUrl"}, {"Ref": "AWS::NoValue"}]}
    assert load()["Parameters"]["AwsEndpointUrl"]["Default"] == ""


@pytest.mark.parametrize("path", sorted((ROOT / "infra" / "parameters").glob("*.json")), ids=lambda path: path.stem)
def test_parameter_files_name_parameters_and_allowed_values(path: Path) -> None:
    parameters = load()["Parameters"]
    for name, value in json.loads(path.read_text()).items():
        assert name in parameters, f"{path.name}: the template has no parameter {name}"
        assert value in parameters[name].get("AllowedValues", [value]), f"{path.name}: {name}={value}"


def test_the_embedded_stack_leaves_the_streams_to_levadas_own_triggers() -> None:
    # MiniStack's own poller counts batchItemFailures as success: silent loss.
    assert json.loads((ROOT / "infra/parameters/embedded.json").read_text())["StreamTriggers"] == "Disabled"


def test_the_docs_say_what_every_place_honours() -> None:
    assert honours.markdown() in (ROOT / "docs" / "localstack.md").read_text()


@pytest.mark.parametrize("place", honours.PLACES)
def test_what_a_place_ignores_says_what_levada_does_about_it(place: str) -> None:
    silent = {"encryption of bucket, streams, queue", "stream retention", "log retention"}  # nothing depends on them
    for what, answer, so in honours.table(place):
        assert so or answer in ("yes", "n/a", "levada") or what in silent, f"{place}: {what} is {answer}"
