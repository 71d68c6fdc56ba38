"""The point read of a token: which call it is, what comes of the answer, and of a table that does not answer."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.stub import Stubber

from levada.adapters.clients import make
from levada.adapters.tokens import DynamoTokens
from levada.core.access import Token
from levada.core.errors import ConfigError, UnavailableError

ASKED = {"TableName": "serving", "Key": {"pk": {"S": "tokens"}, "sk": {"S": "d1"}}, "ConsistentRead": True}
TOKEN = Token(digest="d1", name="meter", tenant="a", scopes=("read", "write"), created_s=1, expires_s=2)


@pytest.fixture
def stub(monkeypatch: pytest.MonkeyPatch) -> Stubber:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    return Stubber(make("dynamodb", retries={"total_max_attempts": 1}))


def client(stub: Stubber) -> Any:
    return stub.client


def find(stub: Stubber) -> dict[str, Any] | None:
    with stub:
        return DynamoTokens(client(stub), "serving").find("d1")


def test_an_item_comes_back_as_it_was_written(stub: Stubber) -> None:
    from levada.adapters.dynamodb import DynamoServingStore

    written = DynamoServingStore(client(stub), "serving")._encode(TOKEN.to_item())
    stub.add_response("get_item", {"Item": written}, ASKED)

    item = find(stub)

    assert item is not None
    assert Token.of(item) == TOKEN


def test_a_token_that_is_not_there_is_none(stub: Stubber) -> None:
    stub.add_response("get_item", {}, ASKED)

    assert find(stub) is None


@pytest.mark.parametrize(
    ("code", "error"),
    [
        ("ProvisionedThroughputExceededException", UnavailableError),
        ("InternalServerError", UnavailableError),
        ("AccessDeniedException", ConfigError),
        ("ResourceNotFoundException", ConfigError),
    ],
)
def test_a_table_that_does_not_answer_is_no_answer(code: str, error: type[Exception], stub: Stubber) -> None:
    stub.add_client_error("get_item", code)

    with pytest.raises(error, match="look up a token in serving"):
        find(stub)
