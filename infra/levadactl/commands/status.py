"""What ``levada status`` collects and shows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from levadactl import console
from levadactl.embedded import triggers
from levadactl.embedded.state import load

if TYPE_CHECKING:
    from rich.console import RenderableType

    from levadactl.places import Place

MAX_PAGES = 20
"""Pages of a shard that are read to find its newest record; a longer shard is reported as ``more``."""
MAX_CHECKPOINTS = 500


def status(place: Place) -> dict[str, Any]:
    """Everything at once; see the functions below for the parts."""
    return {
        "place": place.name,
        "endpoint": place.endpoint_url,
        "owner": _owner(place),
        "api_url": place.api_url,
        "streams": [stream(place, name) for name in (place.raw_stream, place.clean_stream)],
        "tables": [table(place)],
        "functions": [function(place, role, name) for role, name in place.functions.items()],
        "dead_letters": dead_letters(place),
        "lake": lake(place),
        "checkpoints": checkpoints(place),
        "triggers": lag(place),
    }


def lag(place: Place) -> dict[str, Any]:
    """How far delivery is: what levada's triggers last wrote about themselves, elsewhere what the checkpoints say."""
    if place.state is None:
        return {"running": None, "status": {"mappings": _from_checkpoints(place)}}
    state = load(place.state)
    runner = state.processes.get("triggers") if state is not None else None
    return {"running": runner is not None and runner.alive(), "status": triggers.status(place.state)}


def _from_checkpoints(place: Place) -> list[dict[str, Any]]:
    from levadactl.lagging import behind

    mappings: dict[str, list[dict[str, Any]]] = {}
    for one in behind(place):
        mappings.setdefault(one.function, []).append(asdict(one))
    return [{"function": place.function(role), "shards": shards} for role, shards in mappings.items()]


def stream(place: Place, name: str) -> dict[str, Any]:
    """A stream: its state, and of each shard the range of sequence numbers that it holds."""
    kinesis = place.client("kinesis")
    summary = kinesis.describe_stream_summary(StreamName=name)["StreamDescriptionSummary"]
    shards = kinesis.list_shards(StreamName=name)["Shards"]
    return {
        "name": name,
        "state": summary["StreamStatus"],
        "created": summary["StreamCreationTimestamp"].astimezone(UTC),
        "shards": [
            {
                "shard": shard["ShardId"],
                "open": "EndingSequenceNumber" not in shard["SequenceNumberRange"],
                **_positions(place, name, shard["ShardId"]),
            }
            for shard in shards
        ],
    }


def _positions(place: Place, name: str, shard: str) -> dict[str, Any]:
    kinesis = place.client("kinesis")
    iterator: str | None = kinesis.get_shard_iterator(StreamName=name, ShardId=shard, ShardIteratorType="TRIM_HORIZON")[
        "ShardIterator"
    ]
    first = last = newest = None
    records, more = 0, True
    for _ in range(MAX_PAGES):
        if iterator is None:
            more = False
            break
        page = kinesis.get_records(ShardIterator=iterator, Limit=1000)
        if page["Records"]:
            first = first or page["Records"][0]["SequenceNumber"]
            last = page["Records"][-1]["SequenceNumber"]
            newest = page["Records"][-1]["ApproximateArrivalTimestamp"].astimezone(UTC)
            records += len(page["Records"])
        if not page.get("MillisBehindLatest"):
            more = False
            break
        iterator = page.get("NextShardIterator")
    return {"records": records, "more": more, "first": first, "last": last, "newest": newest}


def table(place: Place) -> dict[str, Any]:
    """The serving table."""
    found = place.client("dynamodb").describe_table(TableName=place.table)["Table"]
    return {"name": place.table, "state": found["TableStatus"], "items": found.get("ItemCount")}


def function(place: Place, role: str, name: str) -> dict[str, Any]:
    """One function as it is deployed."""
    found = place.client("lambda").get_function_configuration(FunctionName=name)
    return {
        "role": role,
        "name": name,
        "state": found.get("State"),
        "last_update": found.get("LastUpdateStatus"),
        "handler": found.get("Handler"),
        "code_sha256": found.get("CodeSha256"),
        "modified": found.get("LastModified"),
    }


def dead_letters(place: Place) -> dict[str, Any]:
    """Messages in the dead letter queue."""
    url = place.dead_letters_url
    answer = place.client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=["ApproximateNumberOfMessages"])
    return {"url": url, "messages": int(answer["Attributes"]["ApproximateNumberOfMessages"])}


def lake(place: Place) -> dict[str, dict[str, int]]:
    """Objects and bytes of the lake by first part of the key."""
    found: dict[str, dict[str, int]] = {}
    for item in _objects(place, ""):
        part = found.setdefault(item["Key"].partition("/")[0], {"objects": 0, "bytes": 0})
        part["objects"] += 1
        part["bytes"] += item["Size"]
    return found


def checkpoints(place: Place) -> list[dict[str, Any]]:
    """Checkpoint objects, by key; at most 500, the ledger of loaded files not among them."""
    found = []
    for item in _objects(place, "checkpoints/"):
        if item["Key"].startswith("checkpoints/ingest/"):
            continue
        found.append({"key": item["Key"], "bytes": item["Size"], "modified": item["LastModified"].astimezone(UTC)})
        if len(found) == MAX_CHECKPOINTS:
            break
    return found


def _objects(place: Place, prefix: str) -> Iterator[Any]:
    for page in place.client("s3").get_paginator("list_objects_v2").paginate(Bucket=place.bucket, Prefix=prefix):
        yield from page.get("Contents", [])


def _owner(place: Place) -> str | None:
    state = load(place.state) if place.state is not None else None
    return state.owner if state is not None else None


# ------------------------------------------------------------------ for people


def tables(found: dict[str, Any]) -> RenderableType:
    """The answer of ``status`` or ``lag`` as tables."""
    if "streams" not in found:
        return _lag_table(found)
    head = f"{found['place']} at {found['endpoint']}" + (
        f" (started by `levada {found['owner']}`)" if found["owner"] else ""
    )
    return console.together(
        head,
        console.table(
            "Streams",
            ["stream", "shard", "state", "records", "newest", "last sequence number"],
            [_shard_row(one, shard) for one in found["streams"] for shard in one["shards"]],
        ),
        console.table("Tables", ["table", "state", "items"], [tuple(one.values()) for one in found["tables"]]),
        console.table(
            "Functions",
            ["function", "state", "last update", "handler"],
            [(one["name"], one["state"], one["last_update"], one["handler"]) for one in found["functions"]],
        ),
        console.table(
            "Lake",
            ["prefix", "objects", "KiB"],
            [(name, part["objects"], part["bytes"] // 1024) for name, part in sorted(found["lake"].items())],
        ),
        console.table(
            "Checkpoints",
            ["checkpoint", "bytes", "written"],
            [(one["key"], one["bytes"], _time(one["modified"])) for one in found["checkpoints"]],
        ),
        f"Dead letters: {found['dead_letters']['messages']}\n",
        _lag_table(found["triggers"]),
    )


def _shard_row(one: dict[str, Any], shard: dict[str, Any]) -> tuple[object, ...]:
    state = one["state"] if shard["open"] else "CLOSED"
    records = f"{shard['records']}{'+' if shard['more'] else ''}"
    return one["name"], shard["shard"].removeprefix("shardId-"), state, records, _time(shard["newest"]), shard["last"]


def _lag_table(found: dict[str, Any]) -> RenderableType:
    running = {True: "running", False: "NOT RUNNING: levada up", None: "the place's own; what its checkpoints say"}[
        found["running"]
    ]
    status = found["status"] or {}
    rows = [
        (
            mapping.get("function"),
            str(shard.get("shard")).removeprefix("shardId-"),
            *(shard.get(key) for key in LAG_KEYS),
        )
        for mapping in status.get("mappings", [])
        for shard in mapping.get("shards", [])
    ]
    columns = ["function", "shard", *(key.replace("_", " ") for key in LAG_KEYS)]
    problems = [f"  problem: {problem}" for problem in status.get("problems", [])]
    return console.together(f"Stream triggers: {running}", *problems, console.table("", columns, rows))


LAG_KEYS = ("iterator_age_ms", "waiting", "in_flight", "position")
"""What the triggers say of each shard, as far as a person wants to know."""


def _time(value: datetime | None) -> str:
    return value.strftime("%Y-%m-%d %H:%M:%S") if value is not None else ""
