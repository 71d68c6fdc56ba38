"""botocore's errors become ours: what a retry may help, what it cannot, and what is simply not there (A28)."""

from __future__ import annotations

import io

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError
from botocore.response import StreamingBody

from levada.adapters.errors import ours
from levada.adapters.s3 import _Body
from levada.core.errors import ConfigError, ConflictError, LevadaError, UnavailableError


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("NoSuchKey", KeyError),
        ("404", KeyError),
        ("PreconditionFailed", ConflictError),
        ("ConditionalRequestConflict", ConflictError),
        ("AccessDenied", ConfigError),
        ("NoSuchBucket", ConfigError),
        ("ResourceNotFoundException", ConfigError),
        ("SlowDown", UnavailableError),
        ("InternalError", UnavailableError),
        ("ProvisionedThroughputExceededException", UnavailableError),
    ],
)
def test_an_error_code_becomes_the_error_that_says_what_to_do(code: str, kind: type[Exception]) -> None:
    with pytest.raises(kind, match="put x") as err, ours("put x"):
        raise ClientError({"Error": {"Code": code}}, "PutObject")

    assert type(err.value) is kind


def test_an_unreachable_endpoint_may_be_reached_later() -> None:
    with pytest.raises(UnavailableError, match="put x"), ours("put x"):
        raise EndpointConnectionError(endpoint_url="http://nowhere")


def test_our_own_errors_pass_unchanged() -> None:
    with pytest.raises(LevadaError, match="as it was"), ours("put x"):
        raise LevadaError("as it was")


def test_a_body_that_breaks_off_half_way_may_be_whole_the_next_time() -> None:
    body = _Body(StreamingBody(io.BytesIO(b"only this"), content_length=100), "read s3://lake/key")

    with pytest.raises(UnavailableError, match="read s3://lake/key"):
        body.read()
