"""LocalStack: is it one, which updates it does not apply, and what it leaves behind. Nothing else knows it."""

from __future__ import annotations

import json
import os
import shutil
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from levadactl import changesets
from levadactl.errors import DeployError, NotRunningError
from levadactl.places import Place, stack_name

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

DEFAULT_ENDPOINT = "http://127.0.0.1:4566"
HEALTH = "/_localstack/health"
SERVICES = ("s3", "kinesis", "dynamodb", "sqs", "lambda", "apigateway", "cloudformation", "events", "iam", "logs")
"""Services that the template cannot do without."""
UPDATED = frozenset({"CodeUri", "MemorySize", "Timeout", "Environment", "Description", "Handler", "Runtime", "Tags"})
"""Properties of a function that LocalStack changes in a stack that is there; all others need a new stack."""
NEVER_MATTER = ("AWS::IAM::", "AWS::S3::BucketPolicy", "AWS::CloudWatch::", "AWS::Logs::")
"""Types that LocalStack stores and never acts on: a change of one is no reason to make the stack anew."""

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Running:
    """What answers at an endpoint."""

    endpoint: str
    version: str
    edition: str
    services: frozenset[str]


def endpoint() -> str:
    """The endpoint to talk to: AWS_ENDPOINT_URL, else LocalStack's own port."""
    return os.environ.get("AWS_ENDPOINT_URL", "").strip().rstrip("/") or DEFAULT_ENDPOINT


def place(stack: str | None = None) -> Place:
    """The LocalStack that runs at ``endpoint()``. Raises NotRunningError when nothing, or something else, does."""
    found = probe(endpoint())
    missing = sorted(set(SERVICES) - found.services)
    if missing:
        raise NotRunningError(
            f"LocalStack {found.version} at {found.endpoint} runs without {', '.join(missing)}: "
            "start it with these in SERVICES, or without SERVICES"
        )
    return Place(name="localstack", endpoint_url=found.endpoint, stack_name=stack or stack_name())


def probe(url: str) -> Running:
    """Ask what answers at this URL. Raises NotRunningError that says what to do when it is not LocalStack."""
    try:
        answer = _ask(url + HEALTH)
        # MiniStack answers LocalStack's own question too.
        other = "MiniStack, as in the embedded stack," if _ask(url + "/_ministack/health") else "another server"
    except (OSError, ValueError) as err:
        reason = getattr(err, "reason", err)
        raise NotRunningError(
            f"nothing answers at {url} ({reason}): start LocalStack, or name its endpoint in AWS_ENDPOINT_URL "
            "(docs/localstack.md)"
        ) from err
    services = answer.get("services")
    if not isinstance(services, dict) or "edition" not in answer or not other.startswith("another"):
        raise NotRunningError(
            f"{url} is not LocalStack ({other} answers there): set AWS_ENDPOINT_URL to LocalStack's endpoint"
        )
    there = frozenset(name for name, state in services.items() if state != "disabled")
    return Running(url, str(answer.get("version", "unknown")), str(answer["edition"]), there)


def _ask(url: str) -> dict[str, Any]:
    """The JSON object at a URL, {} for any other answer; raises OSError or ValueError when there is none."""
    try:
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url, timeout=10) as response:
            body = response.read()
    except urllib.error.HTTPError:
        return {}
    try:
        parsed = json.loads(body)
    except ValueError:
        return {}
    return parsed if isinstance(parsed, dict) else {}


def answers(url: str) -> bool:
    """True when LocalStack answers at this URL."""
    try:
        probe(url)
    except NotRunningError:
        return False
    return True


def keep(
    folder: Path,
    place: Place,
    template: Mapping[str, Any],
    parameters: Mapping[str, str],
    objects: Mapping[str, Callable[[], bytes]],
) -> None:
    """Write what was deployed to a folder, from which LocalStack deploys it itself when it starts (it forgets
    everything at a stop). See infra/localstack/ready.d/deploy.py."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for key, read in objects.items():
        (folder / key).write_bytes(read())
    told = {"stack": place.stack_name, "bucket": changesets.artifacts_bucket(place), "parameters": dict(parameters)}
    (folder / "deployment.json").write_text(json.dumps(told, indent=2) + "\n")
    (folder / "template.json").write_text(json.dumps(template, sort_keys=True))


# ---------------------------------------------------------------- updates


def not_applied(
    before: Mapping[str, Any], had: Mapping[str, str], after: Mapping[str, Any], wanted: Mapping[str, str]
) -> list[str]:
    """What differs between two templates (with their parameters) that LocalStack would report as updated and leave
    as it was: names of resources, ``Resource.Property`` for functions."""
    old, new = _resources(before, had), _resources(after, wanted)
    found = [f"{name} (removed)" for name in old if name not in new]
    for name, resource in new.items():
        if name not in old:
            if resource.get("Type") == "AWS::Serverless::Function" and resource["Properties"].get("Events"):
                found.append(f"{name}.Events")
        elif resource.get("Type") == "AWS::Serverless::Function" == old[name].get("Type"):
            found += _function(name, old[name].get("Properties", {}), resource["Properties"])
        elif old[name] != resource:
            found.append(name)
    return sorted(found)


def _function(name: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    for key in sorted({*old, *new} - UPDATED):
        if old.get(key) != new.get(key):
            yield f"{name}.{key}"


def _resources(template: Mapping[str, Any], given: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """Resources with parameters and conditions put in, functions with the globals of functions."""
    values = {name: str(p.get("Default", "")) for name, p in template.get("Parameters", {}).items()} | dict(given)
    conditions = template.get("Conditions", {})
    made: dict[str, dict[str, Any]] = {}
    for name, resource in template["Resources"].items():
        kind = str(resource.get("Type", ""))
        if kind.startswith(NEVER_MATTER):
            continue
        filled = _filled(resource, values, conditions)
        if kind == "AWS::Serverless::Function":
            defaults = _filled(template.get("Globals", {}).get("Function", {}), values, conditions)
            filled = {**filled, "Properties": {**defaults, **filled.get("Properties", {})}}
        made[name] = {key: value for key, value in filled.items() if key not in ("Metadata", "DependsOn")}
    return made


def _filled(node: Any, values: Mapping[str, str], conditions: Mapping[str, Any]) -> Any:
    if isinstance(node, list):
        return [_filled(one, values, conditions) for one in node]
    if not isinstance(node, dict):
        return node
    if set(node) == {"Ref"} and node["Ref"] in values:
        return values[node["Ref"]]
    if set(node) == {"Fn::Sub"} and isinstance(node["Fn::Sub"], str):
        text = node["Fn::Sub"]
        for name, value in values.items():
            text = text.replace("${" + name + "}", value)
        return {"Fn::Sub": text}
    if set(node) == {"Fn::If"} and node["Fn::If"][0] in conditions:
        test, *branches = node["Fn::If"]
        return {"if": _filled(conditions[test], values, conditions), "of": _filled(branches, values, conditions)}
    if "Condition" in node and node["Condition"] in conditions:
        rest = {key: value for key, value in node.items() if key != "Condition"}
        return {**_filled(rest, values, conditions), "when": _filled(conditions[node["Condition"]], values, conditions)}
    return {key: _filled(value, values, conditions) for key, value in node.items()}


# ---------------------------------------------------------------- removal


@dataclass(frozen=True, slots=True, kw_only=True)
class Removed:
    """What a delete took away."""

    stack: bool
    objects: int
    """In the lake and among the artifacts."""
    leftovers: tuple[str, ...]
    """What the stack's own delete had left, and was removed after it."""


def delete(place: Place, on_step: Say = lambda _: None) -> Removed:
    """Remove the stack, its data, its artifacts, and what LocalStack leaves behind of a stack.

    Raises DeployError when something is still there at the end.
    """
    s3 = place.client("s3")
    lake = _lake_name(place)
    on_step(f"emptying {lake}")
    objects = _empty(s3, lake)
    stack = changesets.find(place) is not None
    if stack:
        on_step(f"deleting stack {place.stack_name}")
        changesets.remove(place)
    objects += _empty(s3, changesets.artifacts_bucket(place), remove=True)
    swept = tuple(_sweep(place, lake))
    place.__dict__.pop("outputs", None)
    if left := sorted(leftovers(place)):
        raise DeployError(f"stack {place.stack_name} is deleted, but these are left: {', '.join(left)}")
    return Removed(stack=stack, objects=objects, leftovers=swept)


def lake_objects(place: Place) -> int:
    """How many objects (up to 1,000) the lake holds: what would be lost with the stack."""
    from botocore.exceptions import ClientError

    try:
        return int(place.client("s3").list_objects_v2(Bucket=_lake_name(place)).get("KeyCount", 0))
    except ClientError:
        return 0


def leftovers(place: Place) -> Iterator[str]:
    """Everything at the place that bears the stack's name, as ``service:name``."""
    prefix, functions = f"{place.stack_name}-", place.client("lambda")
    owned = {f"{prefix}{name}" for name in ("raw", "clean", "serving")}
    buckets = [one["Name"] for one in place.client("s3").list_buckets()["Buckets"]]
    queues = place.client("sqs").list_queues(QueueNamePrefix=prefix).get("QueueUrls", [])
    groups = place.client("logs").describe_log_groups(logGroupNamePrefix=f"/aws/lambda/{prefix}")["logGroups"]
    mappings = functions.list_event_source_mappings()["EventSourceMappings"]
    names = {
        "s3": [name for name in buckets if name.startswith(f"{prefix}lake-")],
        "kinesis": owned & set(place.client("kinesis").list_streams()["StreamNames"]),
        "dynamodb": owned & set(place.client("dynamodb").list_tables()["TableNames"]),
        "sqs": [url.rpartition("/")[2] for url in queues],
        "lambda": [one["FunctionName"] for one in functions.list_functions()["Functions"]],
        "mapping": [one["UUID"] for one in mappings if f":function:{prefix}" in one["FunctionArn"]],
        "logs": [group["logGroupName"] for group in groups],
    }
    names["lambda"] = [name for name in names["lambda"] if name.startswith(prefix)]
    for service, found in names.items():
        yield from (f"{service}:{name}" for name in sorted(found))


def _sweep(place: Place, lake: str) -> Iterator[str]:
    for found in list(leftovers(place)):
        service, _, name = found.partition(":")
        if service == "logs":
            place.client("logs").delete_log_group(logGroupName=name)
        elif service == "mapping":
            place.client("lambda").delete_event_source_mapping(UUID=name)
        elif service == "s3" and name == lake:
            _empty(place.client("s3"), name, remove=True)
        else:
            continue
        yield found


def _lake_name(place: Place) -> str:
    from levadactl.embedded.ministack import ACCOUNT

    return f"{place.stack_name}-lake-{ACCOUNT}-{place.region}"


def _empty(s3: S3Client, bucket: str, *, remove: bool = False) -> int:
    from botocore.exceptions import ClientError

    n = 0
    try:
        for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket):
            keys = [{"Key": one["Key"]} for one in page.get("Contents", [])]
            if keys:
                s3.delete_objects(Bucket=bucket, Delete={"Objects": keys, "Quiet": True})  # type: ignore[typeddict-item]
                n += len(keys)
        if remove:
            s3.delete_bucket(Bucket=bucket)
    except ClientError as err:
        if err.response["Error"]["Code"] != "NoSuchBucket":
            raise
    return n
