"""Deploy template.yaml by change set: code alone to the embedded stack, whole artifacts to LocalStack."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from levadactl import changesets, localstack, packaging
from levadactl.embedded.state import project_root
from levadactl.embedded.templates import function_names, read_template, with_code, with_media_types
from levadactl.errors import DeployError, StateError
from levadactl.places import Place

if TYPE_CHECKING:
    from mypy_boto3_cloudformation.type_defs import StackTypeDef

BUNDLE = ".aws-sam/localstack"
"""What was last deployed to LocalStack, for the hook in infra/localstack/ready.d."""

Say = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Deployed:
    """What a deploy did."""

    action: str
    """``created``, ``updated``, ``replaced`` or ``unchanged``."""
    outputs: dict[str, str]
    code_sha256: str
    seconds: float


def deploy(
    place: Place,
    *,
    root: Path | None = None,
    parameters: Mapping[str, str] | None = None,
    replace: bool = False,
    on_step: Say = lambda _: None,
) -> Deployed:
    """Bring the stack at ``place`` to what the project's template and code say now.

    Args:
        place: an emulator. ``localstack`` gets whole artifacts, and a new stack where it would not apply an update;
            any other one runs functions in this Python and gets the code only.
        root: project folder with template.yaml and functions/; by default the current project.
        parameters: template parameters over those of infra/parameters/<place>.json.
        replace: a stack that must be made anew may be deleted with the data that it holds.
        on_step: told each step, one short line.

    Raises:
        DeployError: the change set or a resource failed (names the resource and the reason); or the stack holds data
            and would have to be made anew.
        StateError: template.yaml, functions/levada or the parameter file cannot be used, or a build fails.
    """
    started = time.monotonic()
    root = root or project_root()
    template = read_template(root / "template.yaml")
    wanted = _parameters(place, root, template, parameters or {})
    code = _code(place, root, template, wanted, on_step)
    body = _body(place, template, code)
    before = changesets.usable(place, on_step)
    if before is not None and changesets.same(place, before, body, wanted):
        return _deployed("unchanged", before, code.sha256, started)
    action = "created" if before is None else "updated"
    if before is not None and place.name == "localstack" and _make_way(place, before, body, wanted, replace, on_step):
        before, action = None, "replaced"
    _upload(place, code, on_step)
    if place.name == "localstack":
        localstack.keep(root / BUNDLE, place, body, wanted, code.objects)
    on_step(f"{'updating' if before is not None else 'creating'} stack {place.stack_name}")
    if not changesets.apply(place, body, wanted, create=before is None, on_step=on_step):
        return _deployed("unchanged", changesets.find(place), code.sha256, started)
    place.__dict__.pop("outputs", None)
    return _deployed(action, changesets.find(place), code.sha256, started)


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
    file, forced = "localstack", {}
    if place.name != "localstack":
        # The emulator's own Kinesis poller loses records; the functions must not fall back to AWS itself.
        file, forced = "embedded", {"StreamTriggers": "Disabled", "AwsEndpointUrl": place.endpoint_url}
    wanted = read_parameters(root / "infra" / "parameters" / f"{file}.json") | dict(given)
    unknown = sorted(set(wanted) - set(declared))
    if unknown:
        raise StateError(f"template.yaml has no parameter {', '.join(unknown)}; it has: {', '.join(sorted(declared))}")
    return wanted | {name: value for name, value in forced.items() if name in declared}


def _code(
    place: Place, root: Path, template: Mapping[str, Any], wanted: Mapping[str, str], on_step: Say
) -> packaging.Code:
    names = function_names(template)
    if place.name != "localstack":
        return packaging.code_only(root / "functions", names)
    chosen = {name: str(p.get("Default", "")) for name, p in template["Parameters"].items()} | dict(wanted)
    return packaging.artifacts(
        root, names, python=chosen["PythonVersion"], architecture=chosen["Architecture"], on_step=on_step
    )


def _body(place: Place, template: dict[str, Any], code: packaging.Code) -> dict[str, Any]:
    """The template as this place takes it, its code named."""
    body = with_code(template, changesets.artifacts_bucket(place), code.keys)
    return body if place.name == "localstack" else with_media_types(body)


def _upload(place: Place, code: packaging.Code, on_step: Say) -> None:
    for key, read in code.objects.items():
        on_step("uploading code")
        changesets.upload(place, key, read)


def _make_way(
    place: Place,
    before: StackTypeDef,
    body: Mapping[str, Any],
    wanted: Mapping[str, str],
    replace: bool,
    on_step: Say,
) -> bool:
    """Delete the stack when LocalStack would only say that it was updated. False when it can be updated.

    Raises DeployError when data would be lost and ``replace`` does not allow it.
    """
    old = changesets.template_of(place)
    if old is None:
        reasons = ["the template, which cannot be read back"]
    else:
        reasons = localstack.not_applied(old, changesets.parameters_of(before), body, wanted)
    if not reasons:
        return False
    named = ", ".join(reasons[:6]) + (", …" if len(reasons) > 6 else "")
    if not replace and (n := localstack.lake_objects(place)):
        raise DeployError(
            f"LocalStack does not apply a change of {named}: the stack has to be made anew, and its lake holds "
            f"{n if n < 1000 else 'over 1,000'} objects. Add --replace to delete them with it"
        )
    on_step(f"LocalStack does not apply a change of {named}: making the stack anew")
    localstack.delete(place, on_step)
    return True


def _deployed(action: str, stack: StackTypeDef | None, digest: str, started: float) -> Deployed:
    outputs = {o["OutputKey"]: o["OutputValue"] for o in stack.get("Outputs", [])} if stack is not None else {}
    return Deployed(action=action, outputs=outputs, code_sha256=digest, seconds=round(time.monotonic() - started, 2))
