"""Deploy template.yaml by change set, with the functions' code only (dependencies are the emulator's own)."""

from __future__ import annotations

import hashlib
import io
import json
import time
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from levadactl.embedded.state import project_root
from levadactl.embedded.templates import read_template, with_code, with_media_types
from levadactl.errors import DeployError, StateError
from levadactl.places import Place, wait_until

if TYPE_CHECKING:
    from mypy_boto3_cloudformation import CloudFormationClient
    from mypy_boto3_cloudformation.type_defs import ParameterTypeDef, StackTypeDef

ARTIFACTS_BUCKET = "levada-artifacts"
MAX_BODY_BYTES = 51_200
"""Longest template that CloudFormation takes inline; longer ones go through the artifacts bucket."""
ZIP_TIME = (1980, 1, 1, 0, 0, 0)
TIMEOUT_S = 300.0
NO_CHANGE = "didn't contain changes"
NEVER_MADE = {"CREATE_FAILED", "ROLLBACK_COMPLETE", "ROLLBACK_FAILED"}
GONE_WRONG = ("ROLLBACK", "FAILED", "DELETE")


@dataclass(frozen=True, kw_only=True)
class Deployed:
    """What a deploy did."""

    action: str
    """``created``, ``updated`` or ``unchanged``."""
    outputs: dict[str, str]
    code_sha256: str
    seconds: float


def deploy(
    place: Place,
    *,
    root: Path | None = None,
    parameters: Mapping[str, str] | None = None,
    on_step: Callable[[str], None] = lambda _: None,
) -> Deployed:
    """Bring the stack at ``place`` to what the project's template and code say now.

    Args:
        place: an emulator.
        root: project folder with template.yaml and functions/; by default the current project.
        parameters: template parameters over those of infra/parameters/embedded.json.
        on_step: told each step, one short line.

    Raises:
        DeployError: the change set or a resource failed; names the resource and the reason.
        StateError: template.yaml, functions/levada or the parameter file is missing or cannot be read.
    """
    started = time.monotonic()
    root = root or project_root()
    template = with_media_types(read_template(root / "template.yaml"))
    code = code_zip(root / "functions")
    digest = hashlib.sha256(code).hexdigest()
    body = json.dumps(with_code(template, ARTIFACTS_BUCKET, f"{digest}.zip"), sort_keys=True)
    wanted = _parameters(place, root, template, parameters or {})
    before = _usable_stack(place, on_step)
    if before is not None and _same(place, before, body, wanted):
        return _deployed("unchanged", before, digest, started)
    on_step(f"uploading code ({len(code) // 1024} KiB)")
    _upload(place, f"{digest}.zip", code)
    create = before is None
    on_step(f"{'creating' if create else 'updating'} stack {place.stack_name}")
    if not _apply(place, body, wanted, create=create, on_step=on_step):
        return _deployed("unchanged", _stack(place), digest, started)
    place.__dict__.pop("outputs", None)
    return _deployed("created" if create else "updated", _stack(place), digest, started)


def code_zip(functions: Path) -> bytes:
    """The package ``levada`` below ``functions`` as a zip; the same files always give the same bytes."""
    package = functions / "levada"
    paths = sorted(
        path
        for path in package.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and path.suffix not in {".pyc", ".pyo"}
    )
    if not paths:
        raise StateError(f"{package} holds no code to deploy")
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as archive:
        for path in paths:
            entry = zipfile.ZipInfo(path.relative_to(functions).as_posix(), ZIP_TIME)
            entry.external_attr = 0o644 << 16
            entry.create_system = 3  # Unix, on every system
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, path.read_bytes())
    return buffer.getvalue()


def read_parameters(path: Path) -> dict[str, str]:
    """A parameter file: one JSON object, name to value. An absent file is an empty one."""
    try:
        parsed = json.loads(path.read_text())
    except FileNotFoundError:
        return {}
    except ValueError as err:
        raise StateError(f"{path} is not JSON: {err}") from err
    if not isinstance(parsed, dict) or not all(isinstance(value, str) for value in parsed.values()):
        raise StateError(f"{path} must be one JSON object of strings: parameter name to value")
    return parsed


def _parameters(place: Place, root: Path, template: Mapping[str, Any], given: Mapping[str, str]) -> dict[str, str]:
    declared: dict[str, Any] = template.get("Parameters", {})
    # The emulator's own Kinesis poller loses records; the functions must not fall back to AWS itself.
    forced = {"StreamTriggers": "Disabled", "AwsEndpointUrl": place.endpoint_url}
    wanted = read_parameters(root / "infra" / "parameters" / "embedded.json") | dict(given)
    unknown = sorted(set(wanted) - set(declared))
    if unknown:
        raise StateError(f"template.yaml has no parameter {', '.join(unknown)}; it has: {', '.join(sorted(declared))}")
    return wanted | {name: value for name, value in forced.items() if name in declared}


def _stack(place: Place) -> StackTypeDef | None:
    from botocore.exceptions import ClientError

    try:
        stack = place.client("cloudformation").describe_stacks(StackName=place.stack_name)["Stacks"][0]
    except ClientError:
        return None
    return None if stack["StackStatus"] in {"REVIEW_IN_PROGRESS", "DELETE_COMPLETE"} else stack


def _usable_stack(place: Place, on_step: Callable[[str], None]) -> StackTypeDef | None:
    """The stack that can be updated; one whose creation failed holds nothing and is removed."""
    stack = _stack(place)
    if stack is None or stack["StackStatus"] not in NEVER_MADE:
        return stack
    on_step(f"removing stack {place.stack_name}, whose creation had failed")
    place.client("cloudformation").delete_stack(StackName=place.stack_name)
    if not wait_until(lambda: _stack(place) is None, TIMEOUT_S, 0.05):
        raise DeployError(f"stack {place.stack_name} ({stack['StackStatus']}) cannot be removed: levada reset")
    return None


def _same(place: Place, stack: StackTypeDef, body: str, wanted: Mapping[str, str]) -> bool:
    if stack["StackStatus"] not in {"CREATE_COMPLETE", "UPDATE_COMPLETE"}:
        return False
    now = {p["ParameterKey"]: p["ParameterValue"] for p in stack.get("Parameters", [])}
    if any(now.get(name) != value for name, value in wanted.items()):
        return False
    answer = place.client("cloudformation").get_template(StackName=place.stack_name, TemplateStage="Original")
    deployed: Any = answer["TemplateBody"]
    try:
        parsed = json.loads(deployed) if isinstance(deployed, str) else deployed
    except ValueError:
        return False
    return bool(parsed == json.loads(body))


def _upload(place: Place, key: str, code: bytes) -> None:
    s3 = place.client("s3")
    s3.create_bucket(Bucket=ARTIFACTS_BUCKET)
    s3.put_object(Bucket=ARTIFACTS_BUCKET, Key=key, Body=code)


def _apply(place: Place, body: str, wanted: Mapping[str, str], *, create: bool, on_step: Callable[[str], None]) -> bool:
    """Make and execute one change set. False when there was nothing to change."""
    from botocore.exceptions import ClientError

    formation = place.client("cloudformation")
    stack, name = place.stack_name, f"levada-{hashlib.sha256(f'{body}{time.time_ns()}'.encode()).hexdigest()[:12]}"
    given: list[ParameterTypeDef] = [{"ParameterKey": k, "ParameterValue": v} for k, v in sorted(wanted.items())]
    if len(body.encode()) > MAX_BODY_BYTES:
        key = f"{hashlib.sha256(body.encode()).hexdigest()}.template"
        _upload(place, key, body.encode())
        source: dict[str, Any] = {"TemplateURL": f"{place.endpoint_url}/{ARTIFACTS_BUCKET}/{key}"}
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


def _deployed(action: str, stack: StackTypeDef | None, digest: str, started: float) -> Deployed:
    outputs = {o["OutputKey"]: o["OutputValue"] for o in stack.get("Outputs", [])} if stack is not None else {}
    return Deployed(action=action, outputs=outputs, code_sha256=digest, seconds=round(time.monotonic() - started, 2))
