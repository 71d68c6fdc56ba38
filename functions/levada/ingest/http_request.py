"""An API Gateway proxy request, turned into items. Pure, and without pyarrow: a cold start counts here."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from levada.core import packs
from levada.core.errors import BadRecordError, BadRequestError

EVENT = "/v1/event"
BATCH = "/v1/events/batch"
MAX_BODY_BYTES = 1_000_000
"""Of a request body, inflated."""
MAX_ITEMS = 10_000
JSON_TYPES = ("application/json", "text/json")
LINE_TYPES = ("application/x-ndjson", "application/ndjson", "application/jsonl", "text/plain")
KEY = re.compile(r"[A-Za-z0-9._:-]{1,128}")


@dataclass(frozen=True, slots=True)
class Request:
    """What one post asks for."""

    items: list[bytes]
    """JSON texts, each without a line end inside, not yet looked into."""
    key: str
    """Identity: two requests with the same are one request sent twice."""
    domain: str | None
    """The query parameter: domain of the items that name none."""
    single: bool
    """POST /v1/event: one item, or nothing."""


def parse(event: Mapping[str, Any]) -> Request:
    """Raises BadRequestError naming the field, its value and what is allowed; its status is the one to answer."""
    path = str(event.get("path", "")).rstrip("/")
    if path not in (EVENT, BATCH):
        raise BadRequestError(f"path={path!r}: must be {EVENT} or {BATCH}", status=404)
    method = event.get("httpMethod")
    if method != "POST":
        raise BadRequestError(f"method={method!r}: must be POST", status=405)
    headers = _headers(event)
    lines = _is_lines(headers)
    text = _body(event, headers).strip()
    if not text:
        raise BadRequestError("body is empty: must hold JSON")
    single = path == EVENT
    items = [_one(text)] if single else _many(text, lines)
    if len(items) > MAX_ITEMS:
        raise BadRequestError(f"body holds {len(items)} items: at most {MAX_ITEMS}", status=413)
    query = event.get("queryStringParameters") or {}
    return Request(items, _key(event, headers), query.get("domain"), single)


def _headers(event: Mapping[str, Any]) -> dict[str, str]:
    return {name.lower(): str(value) for name, value in (event.get("headers") or {}).items()}


def _is_lines(headers: Mapping[str, str]) -> bool:
    """Whether the content type says that every line is an item."""
    given = headers.get("content-type", JSON_TYPES[0])
    kind = given.partition(";")[0].strip().lower()
    if kind not in JSON_TYPES + LINE_TYPES:
        raise BadRequestError(
            f"Content-Type={given!r}: must be one of {', '.join(JSON_TYPES + LINE_TYPES)}", status=415
        )
    return kind in LINE_TYPES


def _body(event: Mapping[str, Any], headers: Mapping[str, str]) -> bytes:
    given = event.get("body") or ""
    if event.get("isBase64Encoded"):
        try:
            body = base64.b64decode(given, validate=True)
        except (binascii.Error, ValueError) as err:
            raise BadRequestError(f"body is marked as base64 and is none: {err}") from err
    else:
        body = str(given).encode(errors="surrogatepass")
    encoding = headers.get("content-encoding", "identity").strip().lower()
    if encoding == "gzip":
        body = _gunzip(body)
    elif encoding != "identity":
        raise BadRequestError(f"Content-Encoding={encoding!r}: must be gzip or identity", status=415)
    if len(body) > MAX_BODY_BYTES:
        raise BadRequestError(f"body has {len(body)} bytes: at most {MAX_BODY_BYTES}", status=413)
    return body


def _gunzip(body: bytes) -> bytes:
    try:
        return packs.inflate(body, packs.NDJSON_GZIP, limit=MAX_BODY_BYTES)
    except BadRecordError as err:
        if err.reason == "body_too_large":
            raise BadRequestError(f"body {err.detail}", status=413) from err
        raise BadRequestError(f"Content-Encoding=gzip, but the body is not gzip: {err.detail}") from err


def _one(text: bytes) -> bytes:
    try:
        item = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError) as err:
        raise BadRequestError(f"body is not JSON: {err}") from err
    if not isinstance(item, dict):
        raise BadRequestError(f"body is a JSON {_kind(item)}: must be one object; {BATCH} takes many")
    return _on_one_line(text)


def _many(text: bytes, lines: bool) -> list[bytes]:
    if text.startswith(b"[") and not lines:
        try:
            raw = msgspec.json.decode(text, type=list[msgspec.Raw])
        except (msgspec.DecodeError, UnicodeDecodeError) as err:
            raise BadRequestError(f"body is not a JSON array: {err}") from err
        return [_on_one_line(bytes(item)) for item in raw]
    if not lines and _is_json(text):
        return [_on_one_line(text)]
    return [line for line in text.split(b"\n") if line and not line.isspace()]


def _is_json(text: bytes) -> bool:
    try:
        msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return False
    return True


def _on_one_line(text: bytes) -> bytes:
    return msgspec.json.format(text, indent=-1) if b"\n" in text or b"\r" in text else text


def _kind(item: object) -> str:
    return {list: "array", str: "string", bool: "boolean", type(None): "null"}.get(type(item), "number")


def _key(event: Mapping[str, Any], headers: Mapping[str, str]) -> str:
    given = headers.get("idempotency-key")
    if given is not None:
        if not KEY.fullmatch(given):
            raise BadRequestError(
                f"Idempotency-Key={given[:200]!r}: must be 1 to 128 characters of A-Z a-z 0-9 . _ : -"
            )
        return given
    return str((event.get("requestContext") or {}).get("requestId") or "")
