"""Read a CloudFormation template with its short tags (``!Ref``, ``!Sub`` …) as plain data."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from levadactl.errors import StateError


def read_template(path: Path) -> dict[str, Any]:
    """The template as JSON-like data, short tags in their long form.

    Raises StateError when there is no such file or it is not a template.
    """
    import yaml

    class Loader(yaml.SafeLoader):
        pass

    Loader.add_multi_constructor("!", _long_form)
    # A date, as in a policy's Version, is a text to CloudFormation.
    Loader.add_constructor("tag:yaml.org,2002:timestamp", _text)
    try:
        parsed = yaml.load(path.read_text(), Loader)  # noqa: S506 - a SafeLoader with our tags
    except FileNotFoundError as err:
        raise StateError(f"{path} does not exist: run this inside the project") from err
    except yaml.YAMLError as err:
        raise StateError(f"{path} is not YAML: {err}".replace("\n", " ")) from err
    if not isinstance(parsed, dict) or not isinstance(parsed.get("Resources"), dict):
        raise StateError(f"{path} is not a template: it has no Resources")
    return parsed


def function_names(template: Mapping[str, Any]) -> list[str]:
    """Logical ids of the functions of a template."""
    return [name for name, one in template["Resources"].items() if one.get("Type") == "AWS::Serverless::Function"]


def with_code(template: dict[str, Any], bucket: str, keys: Mapping[str, str]) -> dict[str, Any]:
    """A copy in which every function's CodeUri is its object in the bucket, and without build instructions."""
    made = copy.deepcopy(template)
    made.get("Globals", {}).get("Function", {}).pop("CodeUri", None)
    for name in function_names(made):
        resource = made["Resources"][name]
        resource.pop("Metadata", None)
        resource.setdefault("Properties", {})["CodeUri"] = {"Bucket": bucket, "Key": keys[name]}
    return made


def with_media_types(template: dict[str, Any]) -> dict[str, Any]:
    """A copy whose APIs write binary media types with a slash: MiniStack compares CloudFormation's ``~1`` literally."""
    made = copy.deepcopy(template)
    for resource in made["Resources"].values():
        properties = resource.get("Properties", {})
        if types := properties.get("BinaryMediaTypes"):
            properties["BinaryMediaTypes"] = [one.replace("~1", "/") for one in types]
    return made


def _text(_loader: Any, node: Any) -> str:
    return str(node.value)


def _long_form(loader: Any, suffix: str, node: Any) -> dict[str, Any]:
    kind = type(node).__name__
    if kind == "ScalarNode":
        value: Any = loader.construct_scalar(node)
    elif kind == "SequenceNode":
        value = loader.construct_sequence(node, deep=True)
    else:
        value = loader.construct_mapping(node, deep=True)
    if suffix == "GetAtt" and isinstance(value, str):
        value = value.split(".", 1)
    return {suffix if suffix in {"Ref", "Condition"} else f"Fn::{suffix}": value}
