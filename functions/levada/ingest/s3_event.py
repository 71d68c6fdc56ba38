"""An S3 notification as Lambda delivers it, turned into keys."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote_plus, unquote_plus

from levada.core.errors import ConfigError

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Landed:
    """One object that was created."""

    key: str
    """As it is in the bucket; events carry it URL-encoded."""
    time_us: int | None
    """When, microseconds since 1970-01-01 UTC, where the event says so."""


def parse(event: Mapping[str, Any]) -> list[Landed]:
    """The created objects, in the order given; none for the test event of a new notification.

    Raises:
        ConfigError: the event is no S3 notification: the function is wired to a wrong source.
    """
    if event.get("Event") == "s3:TestEvent":
        return []
    raw = event.get("Records")
    if not isinstance(raw, list):
        raise ConfigError(f"event has keys {sorted(event)}: an S3 notification has Records")
    try:
        return [_landed(record) for record in raw if _is_created(record)]
    except (AttributeError, KeyError, TypeError, ValueError) as err:
        raise ConfigError(f"event record is not of S3: {type(err).__name__} {err}") from err


def again(landed: Landed) -> dict[str, Any]:
    """An event that names the same object, for whoever goes on with it."""
    record: dict[str, Any] = {"eventSource": "levada:continue", "eventName": "ObjectCreated:Continue"}
    if landed.time_us is not None:
        record["eventTime"] = (EPOCH + timedelta(microseconds=landed.time_us)).isoformat()
    record["s3"] = {"object": {"key": quote_plus(landed.key, safe="/")}}
    return {"Records": [record]}


def _is_created(record: Mapping[str, Any]) -> bool:
    name = str(record.get("eventName", "ObjectCreated"))
    return name.removeprefix("s3:").startswith("ObjectCreated")


def _landed(record: Mapping[str, Any]) -> Landed:
    key = unquote_plus(record["s3"]["object"]["key"])
    time = record.get("eventTime")
    return Landed(key, _micros(datetime.fromisoformat(time)) if time else None)


def _micros(time: datetime) -> int:
    aware = time if time.tzinfo else time.replace(tzinfo=UTC)
    return (aware - EPOCH) // timedelta(microseconds=1)
