"""AlertSink on an SNS topic."""

from __future__ import annotations

from typing import TYPE_CHECKING

from levada.adapters.errors import ours
from levada.ports import Notice

if TYPE_CHECKING:
    from mypy_boto3_sns import SNSClient


class SnsSink:
    """One topic. A standard one delivers at least once, so a notice carries its id as an attribute as well."""

    def __init__(self, client: SNSClient, topic_arn: str) -> None:
        self._client = client
        self._topic_arn = topic_arn

    def publish(self, notice: Notice) -> None:
        attributes = {"id": notice.id, **notice.attributes}
        with ours(f"publish to {self._topic_arn}"):
            self._client.publish(
                TopicArn=self._topic_arn,
                Subject=notice.subject,
                Message=notice.body,
                MessageAttributes={
                    name: {"DataType": "String", "StringValue": value} for name, value in attributes.items() if value
                },
            )


class NoSink:
    """Nobody is told: no topic is set."""

    def publish(self, notice: Notice) -> None:
        pass
