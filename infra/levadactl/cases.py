"""The event files: one case, one file. Each is built here, with what it shows and a line that runs it."""

from __future__ import annotations

import json
from functools import cache, partial
from typing import Any

from levadactl import cases_of_domains, cases_of_queries, cases_of_tokens, events
from levadactl.case import SHARD, Case
from levadactl.events import ndjson_pack, rest, row, s3, schedule

LANDED = "landing/air_quality/AirQualityUCI.csv"
FILE_ROWS = 48
GONE = "landing/air_quality/gone.csv"
"""Named by an event, and not there any more."""

kinesis = partial(events.kinesis, shard=SHARD)


def landed(key: str) -> bytes | None:
    """What ``levada invoke`` and the tests put under a key that an event names; None for an object that is gone."""
    return None if key == GONE or not key.startswith("landing/") else _file()


@cache
def _file() -> bytes:
    from levadactl import generate

    body = [generate.HEADER, *(";".join(fields) for fields in generate.rows(1, FILE_ROWS)), ";" * 16]
    return ("\r\n".join(body) + "\r\n").encode()


BAD_NUMBER = {"CO(GT)": "n/a"}
BAD_DATE = {"Date": "2025-02-31"}


@cache
def clean_records() -> tuple[bytes, ...]:
    """What the clean stage itself publishes for three good hours: the contract between the stages, in a file."""
    from levada.clean.handler import stage_deps
    from levada.clean.stage import run
    from levada.core.kinesis_event import parse
    from levadactl.memory import MemoryDeps

    deps = MemoryDeps()
    batch = parse(kinesis([ndjson_pack([row(0), row(1), row(2)])]))
    if batch is not None:
        run(batch, stage_deps(deps))
    return tuple(entry.data for entry in deps.clean.entries)


def _without(header_field: str) -> bytes:
    pack = ndjson_pack([row(0)])
    line, _, body = pack.partition(b"\n")
    header = json.loads(line.removeprefix(b"LVP1"))
    del header[header_field]
    return b"LVP1" + events.compact(header) + b"\n" + body


def _once_more(bodies: tuple[bytes, ...]) -> tuple[bytes, ...]:
    return (*bodies, *bodies)


CASES = (
    # ------------------------------------------------------------------ ingest: files
    Case("ingest", "one_object", "a file under landing/ becomes packs on the raw stream", lambda: s3(LANDED)),
    Case(
        "ingest",
        "key_with_space",
        "keys arrive URL-encoded: a blank is a plus, ü is %C3%BC",
        lambda: s3("landing/air_quality/Station Süd 1.csv"),
    ),
    Case(
        "ingest",
        "two_objects",
        "two keys with the same content: the second changes nothing but a counter",
        lambda: s3(LANDED, "landing/air_quality/copy.csv"),
    ),
    Case(
        "ingest",
        "object_deleted",
        "not a creation: nothing to do",
        lambda: s3(LANDED, name="ObjectRemoved:Delete"),
        alone=True,
    ),
    Case("ingest", "no_files", "a notification without records: nothing to do", lambda: {"Records": []}, alone=True),
    Case(
        "ingest",
        "not_of_s3",
        "wired to a wrong source: it fails, and says what it got",
        schedule,
        alone=True,
        error="ConfigError",
    ),
    Case("ingest", "object_gone", "the object is gone when its event arrives: nothing to load", lambda: s3(GONE)),
    # ------------------------------------------------------------------ ingest: HTTP
    Case("ingest", "one_event", "one reading", lambda: rest("POST", "/v1/event", body=events.compact(row(0)))),
    Case(
        "ingest",
        "batch",
        "three readings in one request",
        lambda: rest("POST", "/v1/events/batch", body=events.compact([row(0), row(1), row(2)])),
    ),
    Case(
        "ingest",
        "batch_with_bad",
        "the answer names the item that was refused, and why; the others are taken",
        lambda: rest("POST", "/v1/events/batch", body=events.compact([row(0), "not a reading", row(2)])),
    ),
    Case(
        "ingest",
        "not_json",
        "refused with 400",
        lambda: rest("POST", "/v1/event", body=b'{"domain": "air_quality",'),
        alone=True,
    ),
    Case(
        "ingest",
        "base64_body",
        "API Gateway encodes bodies of binary media types",
        lambda: rest("POST", "/v1/event", body=events.compact(row(0)), in_base64=True),
    ),
    Case(
        "ingest",
        "unknown_domain",
        "refused with 4xx, naming the domains there are",
        lambda: rest("POST", "/v1/event", body=events.compact(row(0, domain="weather"))),
        alone=True,
    ),
    # ------------------------------------------------------------------ clean
    Case("clean", "one_good", "a pack of one reading", lambda: kinesis([ndjson_pack([row(0)])])),
    Case(
        "clean",
        "good_bad_good",
        "a number that is none, between two good readings: they go on, it goes to quarantine",
        lambda: kinesis([ndjson_pack([row(i, **(BAD_NUMBER if i == 1 else {}))], position=i) for i in range(3)]),
    ),
    Case(
        "clean",
        "all_bad",
        "31 February, a domain that nobody knows, a record that is no JSON: all in quarantine",
        lambda: kinesis([ndjson_pack([row(0, **BAD_DATE)]), row(0, domain="weather"), b"hello"]),
    ),
    Case(
        "clean",
        "same_record_twice",
        "a producer's retry: the same pack with two sequence numbers counts once",
        lambda: kinesis([ndjson_pack([row(0)]), ndjson_pack([row(0)])]),
    ),
    Case(
        "clean",
        "not_utf8",
        "UTF-16 from a producer that nobody asked",
        lambda: kinesis([b"\xff\xfe" + '{"domain":"air_quality"}'.encode("utf-16-le")]),
    ),
    Case(
        "clean",
        "gzip_body",
        "a pack of 24 readings, NDJSON under gzip",
        lambda: kinesis([ndjson_pack([row(i) for i in range(24)])]),
    ),
    Case(
        "clean",
        "plain_json",
        "records of a producer that knows no packs: an object, an array, NDJSON",
        lambda: kinesis(
            [row(0), events.compact([row(1), row(2)]), events.compact(row(3)) + b"\n" + events.compact(row(4))]
        ),
    ),
    Case(
        "clean",
        "future_version",
        "a header field and a column of a later version: accepted",
        lambda: kinesis([ndjson_pack([row(0, PM10=17.5)], region="eu")]),
    ),
    Case(
        "clean",
        "older_version",
        "a header without `count`: quarantined, as nobody can say whether the pack is whole",
        lambda: kinesis([_without("count")]),
    ),
    Case("clean", "no_records", "an empty batch: nothing to do", lambda: {"Records": []}, alone=True),
    Case(
        "clean",
        "not_of_kinesis",
        "wired to a wrong source: it fails, and says what it got",
        lambda: s3(LANDED),
        alone=True,
        error="ConfigError",
    ),
    # ------------------------------------------------------------------ aggregate
    Case(
        "aggregate",
        "one_pack",
        "three hours of 13 metrics as clean publishes them",
        lambda: kinesis(clean_records(), stream="clean"),
    ),
    Case(
        "aggregate",
        "same_pack_twice",
        "clean sent a record again: its rows count once",
        lambda: kinesis(_once_more(clean_records()), stream="clean"),
    ),
    Case("aggregate", "not_a_pack", "a plain record: quarantined", lambda: kinesis([row(0)], stream="clean")),
    Case("aggregate", "no_records", "an empty batch: nothing to do", lambda: {"Records": []}, alone=True),
    Case(
        "aggregate",
        "not_of_kinesis",
        "wired to a wrong source: it fails, and says what it got",
        lambda: s3(LANDED),
        alone=True,
        error="ConfigError",
    ),
    # ------------------------------------------------------------------ archive
    Case("archive", "on_time", "the minute's run", schedule),
    Case("archive", "fired_twice", "the same run once more (same id, same time)", schedule),
    Case("archive", "late_by_an_hour", "a run that was due an hour ago", lambda: schedule("2025-12-31T23:00:00Z")),
    Case(
        "archive",
        "rollups",
        "the hour's run: what gold has that the rollups lack, and the KPI that this changes",
        lambda: schedule() | {"source": "levada.rollups", "detail": {"rollups": "due"}},
    ),
    Case(
        "archive",
        "retention",
        "the day's run: what is older than the policy says goes, where that is switched on",
        lambda: schedule() | {"source": "levada.retention", "detail": {"retention": "due"}},
    ),
    Case(
        "archive",
        "unknown_order",
        "an order that it does not know: it fails, and names those that it knows",
        lambda: schedule() | {"source": "levada.test", "detail": {"polish": True}},
        alone=True,
        error="ConfigError",
    ),
    Case(
        "archive",
        "wrong_source",
        "an event of somebody else: it fails",
        lambda: schedule() | {"source": "aws.ec2"},
        alone=True,
        error="ConfigError",
    ),
    *cases_of_queries.CASES,
    *cases_of_domains.CASES,
    *cases_of_tokens.CASES,
)


def event(name: str) -> dict[str, Any]:
    """The event ``<stage>/<case>``. Raises KeyError when there is no such case."""
    return {f"{case.stage}/{case.name}": case for case in CASES}[name].build()
