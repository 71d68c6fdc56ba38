"""Tokens of the HTTP API in the serving table: one point read, and without boto3, which costs a cold start."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from levada.adapters.errors import ours
from levada.core.access import PK

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient


class DynamoTokens:
    """Items under ``tokens`` by the SHA-256 of the token."""

    def __init__(self, client: DynamoDBClient, table: str) -> None:
        self._client = client
        self._table = table

    def find(self, digest: str) -> dict[str, Any] | None:
        with ours(f"look up a token in {self._table}"):
            # consistent: what was created or revoked a moment ago counts
            answer = self._client.get_item(
                TableName=self._table, Key={"pk": {"S": PK}, "sk": {"S": digest}}, ConsistentRead=True
            )
        item: Mapping[str, Mapping[str, Any]] | None = answer.get("Item")
        return None if item is None else {name: _plain(value) for name, value in item.items()}


def _plain(value: Mapping[str, Any]) -> Any:
    """Text and whole numbers, which is all that a token's item has; anything else makes it none."""
    return int(value["N"]) if "N" in value else value.get("S")
