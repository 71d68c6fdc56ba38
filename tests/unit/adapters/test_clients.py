"""Clients come from botocore alone, and are what boto3 would have made: region, endpoint, retries (issue 6)."""

from __future__ import annotations

import subprocess
import sys

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import UnknownServiceError

from levada.adapters.clients import SERVICES, make

ENDPOINT = "http://127.0.0.1:9"


@pytest.fixture(autouse=True)
def _aws(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")


@pytest.mark.parametrize("service", SERVICES)
@pytest.mark.parametrize("endpoint", ["", ENDPOINT], ids=["aws", "emulator"])
def test_a_client_is_what_boto3_would_have_made(service: str, endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if endpoint:
        monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    else:
        monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    ours = make(service)
    config = Config(retries={"mode": "standard", "max_attempts": 4})
    theirs = boto3.session.Session().client(service, config=config)  # type: ignore[call-overload]

    assert ours.meta.endpoint_url == theirs.meta.endpoint_url
    assert ours.meta.endpoint_url.startswith(endpoint or "https://")
    assert ours.meta.region_name == theirs.meta.region_name == "eu-central-1"
    assert ours.meta.service_model.api_version == theirs.meta.service_model.api_version
    assert ours.meta.config.retries == theirs.meta.config.retries
    assert ours.meta.config.retries == {"mode": "standard", "total_max_attempts": 5}
    assert set(ours.meta.service_model.operation_names) == set(theirs.meta.service_model.operation_names)


def test_options_replace_the_settings_of_a_client() -> None:
    client = make("lambda", read_timeout=7, retries={"mode": "standard", "total_max_attempts": 1})

    assert client.meta.config.read_timeout == 7
    assert client.meta.config.retries["total_max_attempts"] == 1


def test_a_service_that_no_function_has_a_client_of_is_refused_by_name() -> None:
    with pytest.raises(UnknownServiceError, match=r"'ec2'.*dynamodb, kinesis"):
        make("ec2")


def test_a_kinesis_client_loads_neither_boto3_nor_managed_transfers() -> None:
    """boto3 imports s3transfer, and that multiprocessing: for nothing that a function uses."""
    program = """
import sys
from levada.config import Config
from levada.wiring import AwsDeps
import levada.ingest.http_handler
deps = AwsDeps(Config(raw_stream="raw"))
deps.raw
print(*sys.modules)
"""
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    loaded = set(run.stdout.split())

    assert "botocore.client" in loaded
    assert not {"boto3", "s3transfer", "multiprocessing", "levada.core.positions", "levada.core.intervals"} & loaded
