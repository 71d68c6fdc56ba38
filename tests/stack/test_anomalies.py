"""A spike in fresh data on the embedded stack: an anomaly, an alert in the table and on the topic, open windows."""

from __future__ import annotations

import json
import math
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from levada.adapters.sns import SnsSink
from levada.ports import Notice
from levadactl.places import Place, wait_until
from tests.stack.loads import load

pytestmark = pytest.mark.stack

UNIT = "anomalies-unit"
MINUTES, SPIKE = 90, 60


def readings(now: datetime) -> str:
    """A reading a minute until a moment ago; one of them far from all others."""
    first = now.replace(second=0, microsecond=0) - timedelta(minutes=MINUTES)
    rows = [
        f"{(first + timedelta(minutes=i)).isoformat()},{UNIT},{90 if i == SPIKE else 20 + math.sin(i):.3f}"
        for i in range(MINUTES)
    ]
    return "\n".join(["timestamp,unit,temperature", *rows, ""])


def levada(place: Place, *arguments: str) -> Any:
    """What a command answers about the stack."""
    assert place.state is not None
    done = subprocess.run(
        [sys.executable, "-m", "levadactl.cli", "--state-dir", str(place.state), *arguments, "--json"],
        env=place.child_environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


class Mailbox:
    """A queue that has subscribed to the topic of alerts."""

    def __init__(self, place: Place) -> None:
        self._sqs = place.client("sqs")
        self._url = self._sqs.create_queue(QueueName=f"{place.stack_name}-alerts-seen")["QueueUrl"]
        wanted = self._sqs.get_queue_attributes(QueueUrl=self._url, AttributeNames=["QueueArn"])
        self.topic = place.outputs["AlertsTopicArn"]
        place.client("sns").subscribe(
            TopicArn=self.topic, Protocol="sqs", Endpoint=wanted["Attributes"]["QueueArn"], ReturnSubscriptionArn=True
        )
        self.seen: list[dict[str, Any]] = []

    def look(self) -> list[dict[str, Any]]:
        """All notices so far."""
        while found := self._sqs.receive_message(QueueUrl=self._url, MaxNumberOfMessages=10).get("Messages"):
            for message in found:
                self.seen.append(json.loads(message["Body"]))
                self._sqs.delete_message(QueueUrl=self._url, ReceiptHandle=message["ReceiptHandle"])
        return self.seen

    def of(self, domain: str) -> list[dict[str, Any]]:
        bodies = [json.loads(one["Message"]) for one in self.look()]
        return [body for body in bodies if body.get("domain") == domain]


def test_a_spike_is_an_anomaly_and_an_alert_that_subscribers_hear_of(embedded_stack: Place, tmp_path: Path) -> None:
    """C19, D14: upload, then `levada anomalies`, `levada alerts`, and a subscriber of the topic.

    Whether the shard has seen newer rows of others (then all of this unit's are late) makes no difference.
    """
    place, file = embedded_stack, tmp_path / "unit.csv"
    mailbox = Mailbox(place)
    file.write_text(readings(datetime.now(UTC)))

    load(place, file, domain="telemetry")

    (anomaly,) = levada(place, "anomalies", "--domain", "telemetry", "--metric", "temperature")["anomalies"]
    (alert,) = levada(place, "alerts", "--domain", "telemetry", "--metric", "temperature")["alerts"]
    assert (anomaly["unit"], anomaly["rule"], anomaly["severity"], anomaly["value"]) == (UNIT, "zscore", "critical", 90)
    assert (alert["opened"], alert["count"], alert["rule"]) == (anomaly["time"], 1, "zscore")
    assert wait_until(lambda: bool(mailbox.of("telemetry")), timeout_s=30)
    (told,) = mailbox.of("telemetry")
    assert (told["alerts"], told["severity"], told["first"][0]["unit"]) == (1, "critical", UNIT)
    windows = levada(place, "windows", "--domain", "telemetry", "--metric", "temperature", "--open", "--limit", "1000")
    assert sum(w["count"] for w in windows["windows"]) == MINUTES
    for options in ((), ("--open",)):
        newest = levada(place, "latest", "--domain", "telemetry", "--metric", "temperature", *options)["latest"]
        assert [w["start"] for w in newest] == [
            max(w["start"] for w in windows["windows"] if options or not w["provisional"])
        ]


def test_a_notice_reaches_the_topic_with_its_id(embedded_stack: Place) -> None:
    """The adapter against the topic of the template: subject, attributes, and the id that tells repetitions."""
    mailbox = Mailbox(embedded_stack)
    mark = f"check-{time.monotonic_ns()}"
    notice = Notice(id=mark, subject="levada: check", body='{"domain": "check"}', attributes={"severity": "error"})

    SnsSink(embedded_stack.client("sns"), mailbox.topic).publish(notice)

    def mine() -> list[dict[str, Any]]:
        return [m for m in mailbox.look() if m.get("MessageAttributes", {}).get("id", {}).get("Value") == mark]

    assert wait_until(lambda: bool(mine()), timeout_s=30)
    (message,) = mine()
    assert message["Subject"] == "levada: check"
    assert message["MessageAttributes"]["severity"]["Value"] == "error"
