"""ServingStore on one DynamoDB table."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from boto3.dynamodb.types import TypeDeserializer, TypeSerializer

from levada.adapters.errors import ours
from levada.core.errors import ConflictError, UnavailableError

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

BY_TIME = "by_time"
"""The index of items that have list_pk and list_sk."""
MAX_BATCH = 25
PARALLEL_PUTS = 16
"""Conditional writes at once: each is a request of its own. botocore's pool must be as large."""
ATTEMPTS = 8
BASE_DELAY_S = 0.05


class DynamoServingStore:
    """Items of one table with the key attributes pk and sk. Its TTL is lazy (days): what has expired is not read.

    Args:
        now_s: seconds since 1970.
    """

    def __init__(self, client: DynamoDBClient, table: str, now_s: Callable[[], float] = time.time) -> None:
        self._client = client
        self._table = table
        self._now_s = now_s
        self._to = TypeSerializer()
        self._from = TypeDeserializer()

    def put(self, items: Sequence[Mapping[str, Any]]) -> None:
        unique = {(item["pk"], item["sk"]): item for item in items}  # a batch may not name a key twice
        waiting = [{"PutRequest": {"Item": self._encode(item)}} for item in unique.values()]
        for start in range(0, len(waiting), MAX_BATCH):
            self._write(waiting[start : start + MAX_BATCH])

    def _write(self, requests: list[dict[str, Any]]) -> None:
        for attempt in range(ATTEMPTS):
            with ours(f"write {len(requests)} items to {self._table}"):
                answer = self._client.batch_write_item(RequestItems={self._table: requests})  # type: ignore[dict-item]
            requests = answer.get("UnprocessedItems", {}).get(self._table, [])  # type: ignore[assignment]
            if not requests:
                return
            time.sleep(BASE_DELAY_S * 2**attempt)
        raise UnavailableError(f"write to {self._table}: {len(requests)} items unprocessed after {ATTEMPTS} attempts")

    def put_newer(self, items: Sequence[Mapping[str, Any]]) -> None:
        if len(items) == 1:
            self._put_newer(items[0])
            return
        with ThreadPoolExecutor(PARALLEL_PUTS) as pool:
            list(pool.map(self._put_newer, items))

    def _put_newer(self, item: Mapping[str, Any]) -> None:
        try:
            with ours(f"write an item of {item['pk']} to {self._table} if it is newer"):
                self._client.put_item(
                    TableName=self._table,
                    Item=self._encode(item),
                    ConditionExpression="attribute_not_exists(pk) OR version < :version",
                    ExpressionAttributeValues={":version": {"S": item["version"]}},
                )
        except ConflictError:  # what is there is as new, or newer
            return

    def query(
        self,
        pk: str,
        *,
        first: str = "",
        last: str = "\uffff",
        newest_first: bool = False,
        ending_after: int | None = None,
        limit: int | None = None,
    ) -> Iterator[dict[str, Any]]:
        how: dict[str, Any] = {"ScanIndexForward": not newest_first}
        return self._query(how, ("pk", "sk"), pk, first, last, limit, ending_after)

    def by_time(
        self,
        list_pk: str,
        *,
        first: str = "",
        last: str = "\uffff",
        newest_first: bool = False,
        limit: int | None = None,
    ) -> Iterator[dict[str, Any]]:
        how = {"IndexName": BY_TIME, "ScanIndexForward": not newest_first}
        return self._query(how, ("list_pk", "list_sk"), list_pk, first, last, limit)

    def _query(
        self,
        how: dict[str, Any],
        names: tuple[str, str],
        pk: str,
        first: str,
        last: str,
        limit: int | None,
        ending_after: int | None = None,
    ) -> Iterator[dict[str, Any]]:
        request: dict[str, Any] = {
            "TableName": self._table,
            "KeyConditionExpression": f"{names[0]} = :pk AND {names[1]} BETWEEN :first AND :last",
            # an empty key value is not allowed; no sort key sorts before a blank
            "FilterExpression": "attribute_not_exists(expires_at) OR expires_at > :now",
            "ExpressionAttributeValues": {
                ":pk": {"S": pk},
                ":first": {"S": first or " "},
                ":last": {"S": last},
                ":now": {"N": str(int(self._now_s()))},
            },
            **how,
        }
        if ending_after is not None:
            request["FilterExpression"] = f"({request['FilterExpression']}) AND #end > :end"
            request["ExpressionAttributeNames"] = {"#end": "end"}  # the plain word is reserved
            request["ExpressionAttributeValues"][":end"] = {"N": str(ending_after)}
        left = limit
        while left is None or left > 0:
            if left is not None:
                request["Limit"] = left
            with ours(f"query {self._table}"):
                page = self._client.query(**request)
            for item in page["Items"]:
                yield self._decode(item)
            left = None if left is None else left - len(page["Items"])
            if not (after := page.get("LastEvaluatedKey")):
                return
            request["ExclusiveStartKey"] = after

    def check(self) -> None:
        with ours(f"describe {self._table}"):
            self._client.describe_table(TableName=self._table)

    def _encode(self, item: Mapping[str, Any]) -> dict[str, Any]:
        return {
            name: self._to.serialize(Decimal(repr(value)) if isinstance(value, float) else value)
            for name, value in item.items()
            if value is not None
        }

    def _decode(self, item: Mapping[str, Any]) -> dict[str, Any]:
        return {
            name: bytes(value["B"]) if "B" in value else _plain(self._from.deserialize(value))
            for name, value in item.items()
        }


def _plain(value: Any) -> Any:
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    return value
