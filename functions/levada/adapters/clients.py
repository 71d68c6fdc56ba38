"""Clients of AWS services, made by botocore itself.

boto3 would add managed transfers and resources, which no function uses, and a tenth to what a client costs at a cold
start.
"""

from __future__ import annotations

from typing import Any

from botocore.config import Config
from botocore.loaders import Loader
from botocore.session import get_session

SERVICES = ("dynamodb", "kinesis", "lambda", "s3", "sns")
"""What a function may have a client of."""
RETRIES = {"mode": "standard", "max_attempts": 4}


class _Loader(Loader):
    """botocore's own, but for its look through the folders of all 400 services before one is opened (a twentieth)."""

    def list_available_services(self, type_name: str) -> list[str]:  # noqa: ARG002  # botocore's signature
        return list(SERVICES)


class Clients:
    """Makes clients for the region, endpoint and credentials of the environment, which botocore reads."""

    def __init__(self) -> None:
        self._session = get_session()
        self._session.register_component("data_loader", _Loader())

    def make(self, service: str, **options: Any) -> Any:
        """A client of one of SERVICES; ``options`` are those of botocore's Config. Raises UnknownServiceError."""
        config = Config(**{"retries": RETRIES} | options)
        return self._session.create_client(service, config=config)
