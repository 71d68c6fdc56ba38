"""Functions on Lambda."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ReadTimeoutError

from levada.adapters.errors import ours
from levada.core.errors import UnavailableError

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient

MAX_DETAIL = 500


class LambdaFunctions:
    """Functions by name; ``client`` makes a client of a service with botocore's options."""

    def __init__(self, client: Callable[..., Any]) -> None:
        self._make = client
        self._waiting: dict[float, LambdaClient] = {}

    @cached_property
    def _client(self) -> LambdaClient:
        client: LambdaClient = self._make("lambda")
        return client

    def start(self, function: str, event: Mapping[str, Any]) -> None:
        with ours(f"start {function}"):
            self._client.invoke(FunctionName=function, InvocationType="Event", Payload=json.dumps(event).encode())

    def call(self, function: str, event: Mapping[str, Any], *, timeout_s: float) -> Any:
        if timeout_s not in self._waiting:  # a call that is waited for is never repeated by the client
            options = {"read_timeout": timeout_s, "retries": {"mode": "standard", "total_max_attempts": 1}}
            self._waiting[timeout_s] = self._make("lambda", **options)
        try:
            with ours(f"call {function}"):
                answer = self._waiting[timeout_s].invoke(FunctionName=function, Payload=json.dumps(event).encode())
                payload = answer["Payload"].read()
        except UnavailableError as err:
            if isinstance(err.__cause__, ReadTimeoutError):
                raise TimeoutError(f"{function}: no answer within {timeout_s} s") from err
            raise
        if answer.get("FunctionError"):
            raise UnavailableError(f"{function} failed: {payload[:MAX_DETAIL].decode(errors='replace')}")
        return json.loads(payload)
