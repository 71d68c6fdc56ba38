"""Clients of AWS services, made by botocore itself.

boto3 would add managed transfers and resources, which no function uses, and a tenth to what a client costs at a cold
start.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from botocore.config import Config
from botocore.loaders import Loader
from botocore.session import Session, get_session

SERVICES = ("dynamodb", "kinesis", "lambda", "s3", "sns")
"""What a function may have a client of."""
RETRIES = {"mode": "standard", "max_attempts": 4}


class _Loader(Loader):
    """botocore's own, but for its look through the folders of all 400 services before one is opened (a twentieth)."""

    def list_available_services(self, type_name: str) -> list[str]:  # noqa: ARG002  # botocore's signature
        return list(SERVICES)


def make(service: str, **options: Any) -> Any:
    """A client of one of SERVICES for the region, endpoint and credentials of the environment, which botocore reads.

    ``options`` are those of botocore's Config. Raises UnknownServiceError.
    """
    config = Config(**{"retries": RETRIES} | options)
    return _session().create_client(service, config=config)


@cache
def _session() -> Session:
    """One for the process: what it has read of services and endpoints serves every client."""
    session = get_session()
    session.register_component("data_loader", _Loader())
    return session
