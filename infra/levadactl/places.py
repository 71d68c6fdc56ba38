"""A place where levada is deployed: its endpoint, its clients, its resources by role."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, overload

from levadactl.embedded import ministack, processes
from levadactl.embedded.ports import LOOPBACK
from levadactl.embedded.state import StackState, demo_dir, load, state_dir
from levadactl.errors import NotRunningError

if TYPE_CHECKING:
    from botocore.config import Config
    from mypy_boto3_cloudformation import CloudFormationClient
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_kinesis import KinesisClient
    from mypy_boto3_lambda import LambdaClient
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_sqs import SQSClient

STACK_NAME = "levada"
AWS = "aws"
PLACE = "LEVADA_PLACE"
"""Environment variable that says ``aws``: what the option --aws sets."""
NOT_RUNNING = "no stack is running: levada up"

FUNCTION_OUTPUTS = {
    "ingest-http": "IngestHttpFunctionName",
    "ingest-files": "IngestFilesFunctionName",
    "clean": "CleanFunctionName",
    "aggregate": "AggregateFunctionName",
    "archive": "ArchiveFunctionName",
    "query": "QueryFunctionName",
}
"""Output of the template that names each function."""


def stack_name() -> str:
    """The stack that commands mean at an endpoint: LEVADA_STACK, else levada."""
    return os.environ.get("LEVADA_STACK", "").strip() or STACK_NAME


def wait_until(done: Callable[[], bool], timeout_s: float, every_s: float = 0.2) -> bool:
    """True as soon as ``done()``; False when ``timeout_s`` has passed. Never a fixed sleep."""
    return processes.wait_for(done, timeout_s=timeout_s, every_s=every_s)


@dataclass(frozen=True)
class Place:
    """One deployed stack. Cheap to make: clients and outputs are fetched when first asked for."""

    name: str
    """The kind of place: ``embedded``, ``localstack``, ``endpoint`` for whatever AWS_ENDPOINT_URL names, or ``aws``."""
    endpoint_url: str
    stack_name: str = STACK_NAME
    region: str = ministack.REGION
    access_key_id: str = ministack.CREDENTIALS["AWS_ACCESS_KEY_ID"]
    secret_access_key: str = ministack.CREDENTIALS["AWS_SECRET_ACCESS_KEY"]
    state: Path | None = None
    """State folder of an embedded stack."""

    @classmethod
    def current(cls) -> Place:
        """The place that commands talk to: AWS if the user says so, else AWS_ENDPOINT_URL if set, else the running
        embedded stack; the user's own before the demo's.

        Raises NotRunningError when there is none.
        """
        if said := os.environ.get(PLACE, "").strip():
            if said != AWS:
                raise NotRunningError(f"{PLACE}={said!r}: must be {AWS}, or not be set")
            return AwsPlace.of_environment()
        folder, found = find_running() or (None, None)
        if found is None:
            named = os.environ.get("AWS_ENDPOINT_URL", "").strip().rstrip("/")
            if not named:
                raise NotRunningError(NOT_RUNNING)
            return cls(name="endpoint", endpoint_url=named, stack_name=stack_name())
        endpoint = resolve_endpoint(found.port)
        if endpoint != found.endpoint:
            return cls(name="endpoint", endpoint_url=endpoint, stack_name=stack_name())
        return cls.embedded(found, folder)

    @classmethod
    def embedded(cls, found: StackState, folder: Path | None) -> Place:
        """The embedded stack that this state speaks of, whatever AWS_ENDPOINT_URL says."""
        return cls(name="embedded", endpoint_url=found.endpoint, stack_name=found.stack_name, state=folder)

    # ------------------------------------------------------------------ clients
    @overload
    def client(self, service: Literal["s3"]) -> S3Client: ...
    @overload
    def client(self, service: Literal["kinesis"]) -> KinesisClient: ...
    @overload
    def client(self, service: Literal["dynamodb"]) -> DynamoDBClient: ...
    @overload
    def client(self, service: Literal["lambda"]) -> LambdaClient: ...
    @overload
    def client(self, service: Literal["sqs"]) -> SQSClient: ...
    @overload
    def client(self, service: Literal["cloudformation"]) -> CloudFormationClient: ...
    @overload
    def client(self, service: str) -> Any: ...

    def client(self, service: str) -> Any:
        """A boto3 client for this place, made once per service. Proxies and ~/.aws play no part."""
        made = self._clients.get(service)
        if made is None:
            made = self._clients[service] = self._session.client(service, **self._options(service))
        return made

    def _options(self, service: str) -> dict[str, Any]:
        from botocore.config import Config

        local = Config(proxies={}, s3={"addressing_style": "path"})
        return {"endpoint_url": self.endpoint_url, "config": _patience(service).merge(local)}

    @cached_property
    def _clients(self) -> dict[str, Any]:
        return {}

    @cached_property
    def _session(self) -> Any:
        from boto3.session import Session
        from botocore.session import Session as CoreSession

        # The user's profile and files have no say here: a profile that does not exist would be an error even so.
        nowhere: dict[str, tuple[None, None, str | None, None]] = {"profile": (None, None, None, None)}
        nowhere |= dict.fromkeys(("config_file", "credentials_file"), (None, None, os.devnull, None))
        core = CoreSession(session_vars=nowhere)
        return Session(self.access_key_id, self.secret_access_key, region_name=self.region, botocore_session=core)

    def child_environment(self, base: Mapping[str, str] | None = None) -> dict[str, str]:
        """Environment for a child process (default: this one's) that makes every AWS client in it come here."""
        return {
            **(os.environ if base is None else base),
            "AWS_ENDPOINT_URL": self.endpoint_url,
            "AWS_ACCESS_KEY_ID": self.access_key_id,
            "AWS_SECRET_ACCESS_KEY": self.secret_access_key,
            "AWS_REGION": self.region,
            "AWS_DEFAULT_REGION": self.region,
        }

    # ------------------------------------------------------------------ what is deployed
    @cached_property
    def outputs(self) -> dict[str, str]:
        """Outputs of the stack. Raises NotRunningError when nothing answers or nothing is deployed."""
        from botocore.exceptions import ClientError, EndpointConnectionError

        try:
            stacks = self.client("cloudformation").describe_stacks(StackName=self.stack_name)["Stacks"]
        except EndpointConnectionError as err:
            raise NotRunningError(f"nothing answers at {self.endpoint_url}: levada up") from err
        except ClientError as err:
            raise NotRunningError(f"no stack {self.stack_name!r} at {self.endpoint_url}: levada deploy") from err
        return {output["OutputKey"]: output["OutputValue"] for output in stacks[0].get("Outputs", [])}

    def _output(self, key: str) -> str:
        try:
            return self.outputs[key]
        except KeyError as err:
            raise NotRunningError(f"stack {self.stack_name!r} has no output {key}: levada deploy") from err

    @property
    def bucket(self) -> str:
        return self._output("LakeBucketName")

    @property
    def table(self) -> str:
        return self._output("ServingTableName")

    @property
    def raw_stream(self) -> str:
        return self._output("RawStreamName")

    @property
    def clean_stream(self) -> str:
        return self._output("CleanStreamName")

    @property
    def dead_letters_url(self) -> str:
        return ministack.queue_url(self.endpoint_url, self._output("DeadLettersUrl"))

    @property
    def api_url(self) -> str:
        """Base URL of the REST API, without a slash at the end; the one in the outputs is AWS's."""
        return ministack.api_url(self.endpoint_url, self._output("ApiId"), self._output("ApiStage"))

    @property
    def functions(self) -> dict[str, str]:
        """Deployed function by role (``FUNCTION_OUTPUTS``), as far as the stack has it."""
        return {role: self.outputs[key] for role, key in FUNCTION_OUTPUTS.items() if key in self.outputs}

    def function(self, role: str) -> str:
        """Name of the function with this role. Raises NotRunningError naming the roles there are."""
        try:
            return self.functions[role]
        except KeyError as err:
            known = ", ".join(self.functions) or "none"
            raise NotRunningError(f"no function {role!r} is deployed; there are: {known}") from err


@dataclass(frozen=True)
class AwsPlace(Place):
    """A stack on AWS: credentials, region and proxies are the environment's, as any AWS tool has them."""

    @classmethod
    def of_environment(cls) -> AwsPlace:
        """Raises NotRunningError when AWS_ENDPOINT_URL names another place."""
        if named := os.environ.get("AWS_ENDPOINT_URL", "").strip():
            raise NotRunningError(f"--aws: AWS_ENDPOINT_URL={named} is set: unset it, or leave --aws out")
        return cls(name=AWS, endpoint_url="", stack_name=stack_name())

    @cached_property
    def _session(self) -> Any:
        from boto3.session import Session

        return Session()

    def _options(self, service: str) -> dict[str, Any]:
        return {"config": _patience(service)}

    def child_environment(self, base: Mapping[str, str] | None = None) -> dict[str, str]:
        """Environment for a child process: as it is, and told to go where this one goes."""
        return {**(os.environ if base is None else base), PLACE: AWS}

    @property
    def dead_letters_url(self) -> str:
        return self._output("DeadLettersUrl")

    @property
    def api_url(self) -> str:
        """Base URL of the REST API, without a slash at the end."""
        return self._output("ApiUrl").rstrip("/")


def _patience(service: str) -> Config:
    """A function may work for 900 s, and a lost invoke must not be sent twice by the client."""
    from botocore.config import Config

    lambda_ = service == "lambda"
    return Config(
        read_timeout=910 if lambda_ else 60,
        retries={"total_max_attempts": 1} if lambda_ else {"max_attempts": 3, "mode": "standard"},
        max_pool_connections=32,
    )


def find_running(folder: Path | None = None) -> tuple[Path, StackState] | None:
    """The embedded stack that runs from this state folder (default: the usual one), or its demo; None if neither."""
    base = state_dir(folder)
    for candidate in (base, demo_dir(base)):
        found = load(candidate)
        if found is not None and found.running():
            return candidate, found
    return None


def resolve_endpoint(port: int) -> str:
    """Endpoint of a local target by localstack-client's rules: AWS_ENDPOINT_URL wins over host and port.

    The host and port are always given: without them the rules end at port 4566, which may be anyone's.
    """
    from localstack_client.config import get_service_endpoint

    return str(get_service_endpoint("cloudformation", f"{LOOPBACK}:{port}")).rstrip("/")
