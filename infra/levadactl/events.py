"""Build the events that AWS sends, so that no one edits base64 by hand."""

from __future__ import annotations

import base64
import json
import struct
import zlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import quote_plus

from levada.core import packs
from levada.core.packs import NDJSON_GZIP, Header, lane_of, partition_key
from levada.ingest.lanes import series_key
from levadactl.triggers.event import Envelope
from levadactl.triggers.model import Record

ACCOUNT = "000000000000"
REGION = "us-east-1"
STACK = "levada"
BUCKET = f"{STACK}-lake-{ACCOUNT}-{REGION}"
ARRIVAL_S = 1_767_225_600.25
"""2026-01-01, a quarter of a second past midnight: when the first record of a built batch arrived."""
SEQUENCE_0 = 49_660_000_000_000_000_000_000_000_000_000_000_000_000_000_000_000_000_000
"""AWS's sequence numbers have 56 digits."""


def row(i: int = 0, **changed: object) -> dict[str, object]:
    """A source row of domain air_quality as a program sends it; the i-th hour. ``changed`` replaces fields by name."""
    fields: dict[str, object] = {
        "domain": "air_quality",
        "Date": "2025-12-01",
        "Time": f"{i % 24:02d}:00:00",
        "CO(GT)": 2.6,
        "PT08.S1(CO)": 1360 + i,
        "NMHC(GT)": -200,
        "C6H6(GT)": 11.9,
        "PT08.S2(NMHC)": 1046,
        "NOx(GT)": 166,
        "PT08.S3(NOx)": 1056,
        "NO2(GT)": 113,
        "PT08.S4(NO2)": 1692,
        "PT08.S5(O3)": 1268,
        "T": 13.6,
        "RH": 48.9,
        "AH": 0.7578,
    }
    return fields | changed


def ndjson_pack(
    rows: Sequence[Mapping[str, object]], *, position: int = 0, source: str = "http/demo", **extra: object
) -> bytes:
    """A pack as a light producer makes it: NDJSON under gzip. ``extra`` are further header fields."""
    header = Header(
        domain="air_quality",
        tenant="default",
        source=f"{source}#{lane():02d}",
        position=position,
        count=len(rows),
        codec=NDJSON_GZIP,
        extra=dict(extra) or None,
    )
    return packs.encode(header, stored_gzip(b"".join(compact(one) + b"\n" for one in rows)))


def lane() -> int:
    """The lane of the one series that ``row`` makes."""
    return lane_of(series_key("air_quality", "default", "", "", "station-1"))


def compact(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def stored_gzip(body: bytes) -> bytes:
    """A gzip file of one stored block: the same bytes whatever zlib is installed. At most 65,535 bytes."""
    head = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"
    block = struct.pack("<BHH", 1, len(body), len(body) ^ 0xFFFF) + body
    return head + block + struct.pack("<II", zlib.crc32(body), len(body))


def kinesis(
    bodies: Iterable[bytes | Mapping[str, object]], *, stream: str = "raw", shard: int = 0, first: int = 1
) -> dict[str, Any]:
    """A Kinesis batch as Lambda delivers it: one record per body, ascending sequence numbers, a millisecond apart."""
    records = [
        Record(
            str(SEQUENCE_0 + n),
            partition_key(lane()),
            body if isinstance(body, bytes) else compact(body),
            ARRIVAL_S + (n - first) / 1000,
        )
        for n, body in enumerate(bodies, first)
    ]
    return kinesis_records(records, stream=stream, shard=shard)


def kinesis_records(records: Iterable[Record], *, stream: str = "raw", shard: int = 0) -> dict[str, Any]:
    """A Kinesis batch of these records, which must ascend by sequence number."""
    consumer = {"raw": "clean", "clean": "aggregate"}.get(stream, stream)
    envelope = Envelope(
        shard_id=f"shardId-{shard:012d}",
        stream_arn=f"arn:aws:kinesis:{REGION}:{ACCOUNT}:stream/{STACK}-{stream}",
        region=REGION,
        role_arn=f"arn:aws:iam::{ACCOUNT}:role/{STACK}-{consumer}",
    )
    return envelope.event(records)


def s3(*keys: str, name: str = "ObjectCreated:Put", bucket: str = BUCKET, size: int = 1024) -> dict[str, Any]:
    """An S3 notification, one record per key; keys arrive URL-encoded, a blank as ``+``."""
    return {"Records": [_s3_record(key, name, bucket, size, n) for n, key in enumerate(keys)]}


def _s3_record(key: str, name: str, bucket: str, size: int, n: int) -> dict[str, Any]:
    thing: dict[str, Any] = {"key": quote_plus(key, safe="/"), "sequencer": f"0A1B2C3D4E5F6789{n:02X}"}
    if not name.startswith("ObjectRemoved"):
        thing |= {"size": size, "eTag": "d41d8cd98f00b204e9800998ecf8427e"}
    return {
        "eventVersion": "2.1",
        "eventSource": "aws:s3",
        "awsRegion": REGION,
        "eventTime": "2026-01-01T00:00:00.000Z",
        "eventName": name,
        "userIdentity": {"principalId": "AWS:AIDAEXAMPLE"},
        "requestParameters": {"sourceIPAddress": "127.0.0.1"},
        "responseElements": {"x-amz-request-id": "0123456789ABCDEF", "x-amz-id-2": "example"},
        "s3": {
            "s3SchemaVersion": "1.0",
            "configurationId": "landing",
            "bucket": {"name": bucket, "ownerIdentity": {"principalId": "EXAMPLE"}, "arn": f"arn:aws:s3:::{bucket}"},
            "object": thing,
        },
    }


def schedule(time: str = "2026-01-01T00:00:00Z", **detail: object) -> dict[str, Any]:
    """A run of an EventBridge schedule; its own ``time`` says which run it is, whenever it is delivered."""
    return {
        "version": "0",
        "id": "53dc4d37-cffa-4f76-80c9-8b7d4a4d2eaa",
        "detail-type": "Scheduled Event",
        "source": "aws.events",
        "account": ACCOUNT,
        "time": time,
        "region": REGION,
        "resources": [f"arn:aws:events:{REGION}:{ACCOUNT}:rule/{STACK}-archive"],
        "detail": detail,
    }


def rest(
    method: str,
    path: str,
    *,
    query: Mapping[str, str] | None = None,
    body: bytes | None = None,
    in_base64: bool = False,
    resource: str | None = None,
    token: str | None = None,
) -> dict[str, Any]:
    """A request as API Gateway's REST proxy passes it on; without a query its field is null, not empty."""
    headers = {"Accept": "application/json", "Host": "example.execute-api.us-east-1.amazonaws.com"}
    if body is not None:
        headers["Content-Type"] = "application/json"
    if token is not None:
        headers["Authorization"] = f"Bearer {token}"
    text = None if body is None else base64.b64encode(body).decode() if in_base64 else body.decode()
    return {
        "resource": resource or path,
        "path": path,
        "httpMethod": method,
        "headers": headers,
        "multiValueHeaders": {name: [value] for name, value in headers.items()},
        "queryStringParameters": dict(query) if query else None,
        "multiValueQueryStringParameters": {name: [value] for name, value in query.items()} if query else None,
        "pathParameters": None,
        "stageVariables": None,
        "requestContext": _request_context(method, path, resource or path),
        "body": text,
        "isBase64Encoded": in_base64,
    }


def _request_context(method: str, path: str, resource: str) -> dict[str, Any]:
    return {
        "accountId": ACCOUNT,
        "apiId": "example",
        "domainName": "example.execute-api.us-east-1.amazonaws.com",
        "domainPrefix": "example",
        "extendedRequestId": "example",
        "httpMethod": method,
        "identity": {"sourceIp": "127.0.0.1", "userAgent": "curl/8"},
        "path": f"/live{path}",
        "protocol": "HTTP/1.1",
        "requestId": "c6af9ac6-7b61-11e6-9a41-93e8deadbeef",
        "requestTime": "01/Jan/2026:00:00:00 +0000",
        "requestTimeEpoch": 1_767_225_600_000,
        "resourceId": "example",
        "resourcePath": resource,
        "stage": "live",
    }
