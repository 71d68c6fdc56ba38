"""An API Gateway proxy request: its headers, its body, and the items of an event post. Pure, and without pyarrow."""

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
from levada.core.jsontext import NOT_JSON, fault_of

EVENT = "/v1/event"
BATCH = "/v1/events/batch"
UPLOAD = "/v1/upload"
RUNS = "/v1/runs"
MAX_BODY_BYTES = 1_000_000
"""Of a body of events, inflated."""
MAX_ITEMS = 10_000
JSON_TYPES = ("application/json", "text/json")
LINE_TYPES = ("application/x-ndjson", "application/ndjson", "application/jsonl", "text/plain")
GZIP_TYPES = ("application/gzip", "application/x-gzip")
"""API Gateway hands a compressed body on unharmed only under a binary content type."""
GZIP_MAGIC = b"\x1f\x8b"
KEY = re.compile(r"[A-Za-z0-9._:-]{1,128}")


@dataclass(frozen=True, slots=True)
class Request:
    """What one post of events asks for."""

    items: list[bytes]
    """JSON texts, each without a line end inside, not yet looked into."""
    key: str
    """Identity: two requests with the same are one request sent twice."""
    domain: str | None
    """The query parameter: domain of the items that name none."""
    single: bool
    """POST /v1/event: one item, or nothing."""


def path_of(event: Mapping[str, Any]) -> str:
    """Without a slash at its end."""
    return str(event.get("path") or "").rstrip("/")


def parse(event: Mapping[str, Any]) -> Request:
    """Raises BadRequestError naming the field, its value and what is allowed; its status is the one to answer."""
    names = headers(event)
    kind = _kind_of(names)
    text = _inflated(event, names, kind).strip()
    if not text:
        raise BadRequestError("body is empty: must hold JSON")
    single = path_of(event) == EVENT
    items = [_one(text)] if single else _many(text, lines=kind in LINE_TYPES)
    if len(items) > MAX_ITEMS:
        raise BadRequestError(f"body holds {len(items)} items: at most {MAX_ITEMS}", status=413)
    return Request(items, key_of(event, names), query(event).get("domain"), single)


def headers(event: Mapping[str, Any]) -> dict[str, str]:
    """By name in lower case."""
    return {str(name).lower(): str(value) for name, value in (event.get("headers") or {}).items()}


def query(event: Mapping[str, Any]) -> dict[str, str]:
    return {str(name): str(value) for name, value in (event.get("queryStringParameters") or {}).items()}


def content_type(names: Mapping[str, str], default: str = "") -> str:
    """Bare and in lower case."""
    return names.get("content-type", default).partition(";")[0].strip().lower()


def raw_body(event: Mapping[str, Any]) -> bytes:
    """The bytes as API Gateway passed them on."""
    given = event.get("body") or ""
    if not event.get("isBase64Encoded"):
        return str(given).encode(errors="surrogatepass")
    try:
        return base64.b64decode(given, validate=True)
    except (binascii.Error, ValueError) as err:
        raise BadRequestError(f"body is marked as base64 and is none: {err}") from err


def key_of(event: Mapping[str, Any], names: Mapping[str, str]) -> str:
    """The Idempotency-Key, else what the gateway calls this request."""
    given = names.get("idempotency-key")
    if given is not None:
        if not KEY.fullmatch(given):
            raise BadRequestError(
                f"Idempotency-Key={given[:200]!r}: must be 1 to 128 characters of A-Z a-z 0-9 . _ : -"
            )
        return given
    return str((event.get("requestContext") or {}).get("requestId") or "")


def json_object(event: Mapping[str, Any]) -> dict[str, Any]:
    """The body as one JSON object, for routes that take one."""
    text = raw_body(event)
    if len(text) > MAX_BODY_BYTES:
        raise BadRequestError(f"body has {len(text)} bytes: at most {MAX_BODY_BYTES}", status=413)
    item: dict[str, Any] = msgspec.json.decode(_one(text.strip()))
    return item


def _kind_of(names: Mapping[str, str]) -> str:
    kind = content_type(names, JSON_TYPES[0])
    allowed = JSON_TYPES + LINE_TYPES + GZIP_TYPES
    if kind not in allowed:
        given = names.get("content-type", "")
        raise BadRequestError(f"Content-Type={given[:200]!r}: must be one of {', '.join(allowed)}", status=415)
    return kind


def _inflated(event: Mapping[str, Any], names: Mapping[str, str], kind: str) -> bytes:
    body = raw_body(event)
    encoding = names.get("content-encoding", "identity").strip().lower()
    if encoding not in ("gzip", "identity"):
        raise BadRequestError(f"Content-Encoding={encoding[:200]!r}: must be gzip or identity", status=415)
    if encoding == "gzip" or kind in GZIP_TYPES:
        body = _gunzip(body)
    if len(body) > MAX_BODY_BYTES:
        raise BadRequestError(f"body has {len(body)} bytes: at most {MAX_BODY_BYTES}", status=413)
    return body


def _gunzip(body: bytes) -> bytes:
    try:
        return packs.inflate(body, packs.NDJSON_GZIP, limit=MAX_BODY_BYTES)
    except BadRecordError as err:
        if err.reason == "body_too_large":
            raise BadRequestError(f"body {err.detail}", status=413) from err
        hint = "" if body.startswith(GZIP_MAGIC) else f"; under Content-Type {GZIP_TYPES[0]} it arrives unharmed"
        raise BadRequestError(f"the body is said to be gzip and is not: {err.detail}{hint}") from err


def _one(text: bytes) -> bytes:
    try:
        item = msgspec.json.decode(text)
    except NOT_JSON as err:
        raise BadRequestError(f"body is not JSON: {err}") from err
    if not isinstance(item, dict):
        raise BadRequestError(f"body is a JSON {_kind(item)}: must be one object; {BATCH} takes many")
    if fault := fault_of(text, item):
        raise BadRequestError(f"body: {fault}")
    return _on_one_line(text)


def _many(text: bytes, *, lines: bool) -> list[bytes]:
    if text.startswith(b"[") and not lines:
        try:
            return [_on_one_line(bytes(item)) for item in msgspec.json.decode(text, type=list[msgspec.Raw])]
        except NOT_JSON as err:
            raise BadRequestError(f"body is not a JSON array: {err}") from err
    if not lines and _is_json(text):
        return [_on_one_line(text)]
    return [line for line in text.split(b"\n") if line and not line.isspace()]


def _is_json(text: bytes) -> bool:
    try:
        msgspec.json.decode(text)
    except NOT_JSON:
        return False
    return True


def _on_one_line(text: bytes) -> bytes:
    return msgspec.json.format(text, indent=-1) if b"\n" in text or b"\r" in text else text


def _kind(item: object) -> str:
    return {list: "array", str: "string", bool: "boolean", type(None): "null"}.get(type(item), "number")
