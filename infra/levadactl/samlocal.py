"""What `sam local` needs to find a stack: the environment of its functions as an --env-vars file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from levada.core.access import OPEN
from levadactl.embedded import bridge
from levadactl.embedded.emulator import DEFAULT_PORT
from levadactl.embedded.ministack import ACCOUNT, REGION

if TYPE_CHECKING:
    from levadactl.places import Place

FILE = "infra/sam-local/env.json"
"""Of the project: names and port that `levada up` has by default. samconfig.toml names it."""


VARIABLES = {
    "LEVADA_BUCKET": "LakeBucketName",
    "LEVADA_TABLE": "ServingTableName",
    "LEVADA_RAW_STREAM": "RawStreamName",
    "LEVADA_CLEAN_STREAM": "CleanStreamName",
    "LEVADA_FILES_FUNCTION": "IngestFilesFunctionName",
    "LEVADA_ALERTS_TOPIC": "AlertsTopicArn",
}
"""Variable of the functions to the stack's output that it is."""


def environment(outputs: Mapping[str, str], port: int) -> str:
    """An --env-vars file: ``Parameters`` holds for every function that declares the variable."""
    named = {variable: outputs[output] for variable, output in VARIABLES.items() if output in outputs}
    here = {"AWS_ENDPOINT_URL": f"http://{bridge.HOST}:{port}", "LEVADA_AUTH": OPEN}
    return json.dumps({"Parameters": {**here, **named}}, indent=2) + "\n"


def default_environment() -> str:
    """The file in the project: the stack ``levada`` on its usual port."""
    outputs = {
        "LakeBucketName": f"levada-lake-{ACCOUNT}-{REGION}",
        "ServingTableName": "levada-serving",
        "RawStreamName": "levada-raw",
        "CleanStreamName": "levada-clean",
        "IngestFilesFunctionName": "levada-ingest-files",
        "AlertsTopicArn": f"arn:aws:sns:{REGION}:{ACCOUNT}:levada-alerts",
    }
    return environment(outputs, DEFAULT_PORT["up"])


def write_environment(path: Path, place: Place) -> None:
    """The file for a stack that runs, whatever its port."""
    path.write_text(environment(place.outputs, urlsplit(place.endpoint_url).port or 80))
