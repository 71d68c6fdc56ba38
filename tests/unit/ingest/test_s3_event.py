"""S3 notifications: keys come URL-encoded, and not every record is a new object."""

from __future__ import annotations

from typing import Any

import pytest

from levada.core.errors import ConfigError
from levada.ingest.s3_event import Landed, parse
from levadactl import events


@pytest.mark.parametrize(
    "key", ["landing/x/a.csv", "landing/x/a b.csv", "landing/x/a+b%20c.csv", "landing/x/Süd 1.csv", "landing/x/a&b=c"]
)
def test_keys_are_decoded(key: str) -> None:
    assert [one.key for one in parse(events.s3(key))] == [key]


def test_the_time_of_the_event_is_kept() -> None:
    record = {"s3": {"object": {"key": "k"}}, "eventTime": "2026-01-01T00:00:00.250Z"}

    assert parse({"Records": [record]}) == [Landed("k", 1_767_225_600_250_000)]
    assert parse({"Records": [{"s3": {"object": {"key": "k"}}}]}) == [Landed("k", None)]


@pytest.mark.parametrize(
    ("name", "count"),
    [("ObjectCreated:Put", 1), ("s3:ObjectCreated:CompleteMultipartUpload", 1), ("ObjectRemoved:Delete", 0)],
)
def test_only_created_objects_count(name: str, count: int) -> None:
    assert len(parse(events.s3("landing/x/a.csv", name=name))) == count


def test_the_test_event_of_a_new_notification_is_nothing_to_do() -> None:
    assert parse({"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "lake"}) == []


@pytest.mark.parametrize("event", [{}, {"records": []}, {"Records": [{"kinesis": {}}]}, {"Records": [None]}])
def test_any_other_event_means_a_wrong_wiring(event: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        parse(event)
