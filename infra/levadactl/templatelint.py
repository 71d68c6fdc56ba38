"""What in a template would break, or silently do nothing, at one of the places; each finding names the place."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

FUNCTION = "AWS::Serverless::Function"

TYPES = {
    r"AWS::Serverless::HttpApi": "embedded makes no routes of it, LocalStack nothing: use AWS::Serverless::Api",
    r"AWS::ApiGatewayV2::.*": "embedded makes no routes of it, LocalStack nothing: use AWS::Serverless::Api",
    r"AWS::(Serverless|Lambda)::LayerVersion": "LocalStack accepts layers and does not mount them",
    r"AWS::(Glue|Athena)::.*": "LocalStack says success and creates nothing",
    r"AWS::CloudWatch::Dashboard": "LocalStack says success and creates nothing",
    r"AWS::Logs::MetricFilter": "LocalStack says success and creates nothing",
    r"AWS::Scheduler::.*": "LocalStack accepts schedules of EventBridge Scheduler and never fires them",
}
"""Types that a resource may have only behind a condition."""
EVENTS = {
    "HttpApi": "embedded makes no routes of it, LocalStack creates nothing: use Api",
    "ScheduleV2": "LocalStack accepts it and never fires: use Schedule",
}
PROPERTIES = {
    "Layers": "LocalStack does not mount them",
    "TumblingWindowInSeconds": "embedded and LocalStack ignore it, and on AWS it goes by arrival time",
    "ReservedConcurrentExecutions": "LocalStack accepts and ignores it",
    "EphemeralStorage": "LocalStack accepts and ignores it",
    "VpcConfig": "embedded and LocalStack accept and ignore it",
    "FileSystemConfigs": "embedded and LocalStack accept and ignore it",
}
"""Of a function, its globals, or one of its event sources."""


@dataclass(frozen=True, slots=True)
class Problem:
    """Where in the template, and what would go wrong at which place."""

    where: str
    why: str

    def __str__(self) -> str:
        return f"{self.where}: {self.why}"


def problems(template: Mapping[str, Any], settings: Collection[str] = ()) -> list[Problem]:
    """Everything in the template that one of the places cannot do.

    Args:
        template: as ``read_template`` gives it.
        settings: variables that the functions read; each must be declared.
    """
    return [
        *_types(template),
        *_functions(template),
        *_streams(template),
        *_variables(template, settings),
    ]


def _types(template: Mapping[str, Any]) -> Iterator[Problem]:
    for name, resource in template["Resources"].items():
        for pattern, why in TYPES.items():
            if re.fullmatch(pattern, str(resource.get("Type"))) and "Condition" not in resource:
                yield Problem(f"{name} ({resource['Type']})", f"{why}; or put it behind a condition")
        if str(resource.get("Properties", {}).get("PackageType")) == "Image":
            yield Problem(name, "embedded and LocalStack run zip packages only")


def _functions(template: Mapping[str, Any]) -> Iterator[Problem]:
    yield from _held("Globals.Function", template.get("Globals", {}).get("Function", {}))
    for name, resource in template["Resources"].items():
        if resource.get("Type") != FUNCTION:
            continue
        properties = resource.get("Properties", {})
        yield from _held(name, properties)
        for event_name, event in properties.get("Events", {}).items():
            where = f"{name}.{event_name}"
            if event["Type"] in EVENTS:
                yield Problem(where, f"event {event['Type']}: {EVENTS[event['Type']]}")
            yield from _held(where, event.get("Properties", {}))
            if event["Type"] == "Api" and "RestApiId" not in event.get("Properties", {}):
                yield Problem(where, "SAM's implicit API: LocalStack breaks it at the next update; name RestApiId")


def _held(where: str, holder: Mapping[str, Any]) -> Iterator[Problem]:
    for key in holder:
        if key in PROPERTIES:
            yield Problem(f"{where}.{key}", PROPERTIES[key])


def _streams(template: Mapping[str, Any]) -> Iterator[Problem]:
    for name, resource in template["Resources"].items():
        mode = resource.get("Properties", {}).get("StreamModeDetails", {}).get("StreamMode")
        if resource.get("Type") == "AWS::Kinesis::Stream" and mode != "PROVISIONED":
            yield Problem(name, "LocalStack makes four on-demand shards of a stream that does not say PROVISIONED")


def _variables(template: Mapping[str, Any], settings: Collection[str]) -> Iterator[Problem]:
    globals_ = template.get("Globals", {}).get("Function", {}).get("Environment", {}).get("Variables", {})
    for name, resource in template["Resources"].items():
        if resource.get("Type") != FUNCTION:
            continue
        own = resource.get("Properties", {}).get("Environment", {}).get("Variables", {})
        for setting in sorted(set(settings) - set(globals_) - set(own)):
            yield Problem(
                f"{name}.Environment",
                f"{setting} is not declared: sam local passes only variables that the template declares, and on AWS "
                "and LocalStack nobody could set it",
            )
    endpoint = globals_.get("AWS_ENDPOINT_URL")
    if endpoint is None:
        yield Problem("Globals.Function.Environment", "without AWS_ENDPOINT_URL sam local cannot reach an emulator")
    elif isinstance(endpoint, str) or "Ref" in endpoint:
        yield Problem(
            "Globals.Function.Environment.AWS_ENDPOINT_URL",
            "must be left out where it has no value: on LocalStack a blank one wins over the place's own",
        )
