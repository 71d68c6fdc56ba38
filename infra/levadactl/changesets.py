"""Change sets at an emulator: what is deployed, apply a template, wait, and say why it failed."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from levadactl.errors import DeployError
from levadactl.places import Place, wait_until

if TYPE_CHECKING:
    from mypy_boto3_cloudformation import CloudFormationClient
    from mypy_boto3_cloudformation.type_defs import ParameterTypeDef, StackTypeDef

MAX_BODY_BYTES = 51_200
"""Longest template that CloudFormation takes inline; longer ones go through the artifacts bucket."""
TIMEOUT_S = 300.0
NO_CHANGE = "didn't contain changes"
NEVER_MADE = {"CREATE_FAILED", "ROLLBACK_COMPLETE", "ROLLBACK_FAILED"}
GONE_WRONG = ("ROLLBACK", "FAILED", "DELETE")

Say = Callable[[str], None]


def find(place: Place) -> StackTypeDef | None:
    """The place's stack as it is deployed; None when there is none."""
    from botocore.exceptions import ClientError

    try:
        stack = place.client("cloudformation").describe_stacks(StackName=place.stack_name)["Stacks"][0]
    except ClientError:
        return None
    return None if stack["StackStatus"] in {"REVIEW_IN_PROGRESS", "DELETE_COMPLETE"} else stack


def usable(place: Place, on_step: Say) -> StackTypeDef | None:
    """The stack that can be updated; one whose creation failed holds nothing and is removed."""
    stack = find(place)
    if stack is None or stack["StackStatus"] not in NEVER_MADE:
        return stack
    on_step(f"removing stack {place.stack_name}, whose creation had failed")
    remove(place)
    return None


def remove(place: Place) -> None:
    """Delete the stack and wait until it is gone. Raises DeployError when it stays."""
    stack = find(place)
    if stack is None:
        return
    place.client("cloudformation").delete_stack(StackName=place.stack_name)
    if not wait_until(lambda: find(place) is None, TIMEOUT_S, 0.05):
        raise DeployError(f"stack {place.stack_name} ({stack['StackStatus']}) cannot be removed: levada reset")


def parameters_of(stack: StackTypeDef) -> dict[str, str]:
    """Parameter name to value, as deployed."""
    return {p["ParameterKey"]: p["ParameterValue"] for p in stack.get("Parameters", [])}


def template_of(place: Place) -> dict[str, Any] | None:
    """The template that was deployed, as it was sent; None when it cannot be read back."""
    answer = place.client("cloudformation").get_template(StackName=place.stack_name, TemplateStage="Original")
    deployed: Any = answer["TemplateBody"]
    try:
        parsed = json.loads(deployed) if isinstance(deployed, str) else deployed
    except ValueError:
        return None
    return dict(parsed) if isinstance(parsed, Mapping) else None


def same(place: Place, stack: StackTypeDef, template: Mapping[str, Any], wanted: Mapping[str, str]) -> bool:
    """True when the stack is whole and was made from this template with these parameters."""
    if stack["StackStatus"] not in {"CREATE_COMPLETE", "UPDATE_COMPLETE"}:
        return False
    now = parameters_of(stack)
    return all(now.get(name) == value for name, value in wanted.items()) and template_of(place) == template


def artifacts_bucket(place: Place) -> str:
    """Where a stack's code and long templates are uploaded: one bucket for each stack."""
    return f"{place.stack_name}-artifacts"


def upload(place: Place, key: str, read: Callable[[], bytes]) -> None:
    """Put an object into the artifacts bucket. Its key says what it holds: one that is there is not sent again."""
    from botocore.exceptions import ClientError

    s3, bucket = place.client("s3"), artifacts_bucket(place)
    s3.create_bucket(Bucket=bucket)
    try:
        s3.head_object(Bucket=bucket, Key=key)
    except ClientError:
        s3.put_object(Bucket=bucket, Key=key, Body=read())


def apply(place: Place, template: Mapping[str, Any], wanted: Mapping[str, str], *, create: bool, on_step: Say) -> bool:
    """Make and execute one change set. False when there was nothing to change.

    Raises DeployError with the first resource that failed, and why.
    """
    from botocore.exceptions import ClientError

    formation, body = place.client("cloudformation"), json.dumps(template, sort_keys=True)
    stack, name = place.stack_name, f"levada-{hashlib.sha256(f'{body}{time.time_ns()}'.encode()).hexdigest()[:12]}"
    given: list[ParameterTypeDef] = [{"ParameterKey": k, "ParameterValue": v} for k, v in sorted(wanted.items())]
    if len(body.encode()) > MAX_BODY_BYTES:
        key = f"{hashlib.sha256(body.encode()).hexdigest()}.template"
        upload(place, key, body.encode)
        source: dict[str, Any] = {"TemplateURL": f"{place.endpoint_url}/{artifacts_bucket(place)}/{key}"}
    else:
        source = {"TemplateBody": body}
    try:
        formation.create_change_set(
            StackName=stack,
            ChangeSetName=name,
            ChangeSetType="CREATE" if create else "UPDATE",
            Capabilities=["CAPABILITY_IAM", "CAPABILITY_NAMED_IAM", "CAPABILITY_AUTO_EXPAND"],
            Parameters=given,
            **source,
        )
    except ClientError as err:
        raise DeployError(f"change set refused: {err.response['Error'].get('Message', err)}") from err
    if not _change_set_ready(formation, stack, name):
        return False
    formation.execute_change_set(StackName=stack, ChangeSetName=name)
    _wait_for_stack(place, on_step)
    return True


def _change_set_ready(formation: CloudFormationClient, stack: str, name: str) -> bool:
    end = time.monotonic() + TIMEOUT_S
    while time.monotonic() < end:
        change = formation.describe_change_set(StackName=stack, ChangeSetName=name)
        if change["Status"] == "CREATE_COMPLETE":
            return True
        if change["Status"] == "FAILED":
            reason = change.get("StatusReason", "no reason given")
            formation.delete_change_set(StackName=stack, ChangeSetName=name)
            if NO_CHANGE in reason:
                return False
            raise DeployError(f"change set refused: {reason}")
        time.sleep(0.05)
    raise DeployError(f"change set {name} was not ready within {TIMEOUT_S:g} s")


def _wait_for_stack(place: Place, on_step: Callable[[str], None]) -> None:
    formation = place.client("cloudformation")
    end, said = time.monotonic() + TIMEOUT_S, 0
    while time.monotonic() < end:
        stack = formation.describe_stacks(StackName=place.stack_name)["Stacks"][0]
        status = stack["StackStatus"]
        if not status.endswith("_IN_PROGRESS"):
            if any(word in status for word in GONE_WRONG):
                raise DeployError(_failure(formation, stack))
            return
        done = sum(
            resource["ResourceStatus"].endswith("_COMPLETE")
            for resource in formation.describe_stack_resources(StackName=place.stack_name)["StackResources"]
        )
        if done >= said + 10:
            said = done
            on_step(f"{done} resources done")
        time.sleep(0.1)
    raise DeployError(f"stack {place.stack_name} was not done within {TIMEOUT_S:g} s")


def _failure(formation: CloudFormationClient, stack: StackTypeDef) -> str:
    """The first failure of the last operation: the rest follows from it."""
    name, cause = stack["StackName"], ""
    for event in formation.describe_stack_events(StackName=name)["StackEvents"]:  # newest first
        status = event.get("ResourceStatus", "")
        if event["LogicalResourceId"] == name:
            if status in {"CREATE_IN_PROGRESS", "UPDATE_IN_PROGRESS"}:
                break
        elif status.endswith("_FAILED"):
            reason = event.get("ResourceStatusReason", "no reason given")
            cause = f"{event['LogicalResourceId']} ({event.get('ResourceType')}) failed: {reason}"
    return cause or _refusal(formation, name) or f"stack {name} is {stack['StackStatus']}, no reason given"


def _refusal(formation: CloudFormationClient, name: str) -> str:
    """What was refused before any resource was touched (a name that is taken, for one)."""
    for event in formation.describe_events(StackName=name)["OperationEvents"]:
        if event.get("ValidationStatus") == "FAILED":
            return f"{event.get('LogicalResourceId')} refused: {event.get('ValidationStatusReason')}"
    return ""
