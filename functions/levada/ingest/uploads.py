"""A file in a request: which bytes, under which key. Pure, and without pyarrow.

The sender's name never decides where an object lies: it is cut down to harmless characters, and stands behind a folder
that the content (or the request) names, so that no upload replaces another.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from levada.core import keys
from levada.core.errors import BadRequestError
from levada.ingest import http_request

MAX_UPLOAD_BYTES = 4_000_000
"""A function is handed 6 MB, of which base64 takes a quarter and the request's other fields some."""
MAX_NAME = 100
MAX_FIELD_BYTES = 1000
MAX_PARTS = 20
ENDINGS = ("csv", "tsv", "txt", "ndjson", "jsonl", "json", "parquet", "pq")
PACKED = ("gz", "zst")
BY_TYPE = {
    "text/csv": "csv",
    "text/plain": "txt",
    "text/tab-separated-values": "tsv",
    "application/json": "json",
    "application/x-ndjson": "ndjson",
    "application/vnd.apache.parquet": "parquet",
}
_MULTIPART = re.compile(r'boundary="?([^";,]{1,70})"?', re.IGNORECASE)
_PARAMETER = re.compile(r';\s*(name|filename)="((?:[^"\\]|\\.)*)"', re.IGNORECASE)
_HARMLESS = re.compile(r"[^A-Za-z0-9._-]+")


@dataclass(frozen=True, slots=True)
class Upload:
    """One file to store, or one to come."""

    key: str
    body: bytes | None
    """None: the sender asks for a URL to put it to."""


def parse(event: Mapping[str, Any], domains: Mapping[str, object], tenant: str = "") -> Upload:
    """Raises BadRequestError naming the field, its value and what is allowed.

    Args:
        tenant: whose file it is, where that is not the deployment's.
    """
    names, query = http_request.headers(event), http_request.query(event)
    fields = dict(query)
    if query.get("url", "").lower() in ("1", "true"):
        name, body, folder = fields.get("name", ""), None, http_request.key_of(event, names)
        if not name:
            raise BadRequestError("name is missing: the query must name the file, as in ?url=1&domain=…&name=big.csv")
    else:
        kind = http_request.content_type(names)
        body = http_request.raw_body(event)
        _check_unharmed(event, body, kind)
        name = fields.get("name", "")
        if kind == "multipart/form-data":
            name, body, form = _file_of(body, names["content-type"])
            name, fields = fields.get("name") or name, form | fields
        _check_size(body)
        name = name or f"upload.{BY_TYPE.get(kind, '')}".rstrip(".")
        folder = hashlib.sha256(body).hexdigest()[:32]
    place = keys.landing(_domain(fields, domains), tenant)
    return Upload(f"{place}{_HARMLESS.sub('_', folder)}/{harmless(name)}", body)


def harmless(name: str) -> str:
    """What is left of a file's name: its last part, of letters, digits, ``.``, ``-`` and ``_``, at most MAX_NAME.

    Raises BadRequestError: it ends like something that is not read; status 415.
    """
    bare = re.split(r"[/\\]", name)[-1]
    text = _HARMLESS.sub("_", bare).strip("._-") or "upload"
    stem = text.lower()
    for packed in PACKED:
        stem = stem.removesuffix(f".{packed}")
    _, dot, ending = stem.rpartition(".")
    if dot and ending not in ENDINGS:
        allowed = ", ".join(f".{one}" for one in ENDINGS)
        raise BadRequestError(
            f"name={name[:MAX_NAME]!r}: must end in one of {allowed}, plain or with .gz or .zst", status=415
        )
    return text if len(text) <= MAX_NAME else text[-MAX_NAME:].lstrip("._-")


def _check_unharmed(event: Mapping[str, Any], body: bytes, kind: str) -> None:
    """API Gateway makes text of what its content type does not mark as binary, and of other bytes U+FFFD."""
    if not event.get("isBase64Encoded") and "\ufffd".encode() in body:
        raise BadRequestError(
            f"the body was harmed on its way: bytes that are no UTF-8 text do not pass as Content-Type={kind[:80]!r}; "
            "send application/octet-stream"
        )


def _check_size(body: bytes) -> None:
    if not body:
        raise BadRequestError("the file is empty")
    if len(body) > MAX_UPLOAD_BYTES:
        raise BadRequestError(
            f"the file has {len(body)} bytes: at most {MAX_UPLOAD_BYTES} go through here; "
            f"ask for a URL with POST {http_request.UPLOAD}?url=1&domain=…&name=… and PUT the file there",
            status=413,
        )


def _domain(fields: Mapping[str, str], domains: Mapping[str, object]) -> str:
    name = fields.get("domain") or (next(iter(domains)) if len(domains) == 1 else "")
    if name not in domains:
        raise BadRequestError(f"domain={name[:80]!r}: must be one of {', '.join(sorted(domains))}")
    return name


def _file_of(body: bytes, kind: str) -> tuple[str, bytes, dict[str, str]]:
    """(name, content, other fields) of a multipart form (RFC 7578) with one part that is named ``file``."""
    found = _MULTIPART.search(kind)
    if not found:
        raise BadRequestError(f"Content-Type={kind[:200]!r}: multipart/form-data must name its boundary")
    parts = _parts(body, b"--" + found[1].strip().encode())
    files, fields = [], {}
    for parameters, content in parts:
        name = parameters.get("name", "")
        if name == "file":
            files.append((parameters.get("filename", ""), content))
        elif len(content) <= MAX_FIELD_BYTES:
            fields[name] = content.decode(errors="replace").strip()
    if len(files) != 1:
        raise BadRequestError(f"the form has {len(files)} parts named 'file': must be one")
    return *files[0], {name: value for name, value in fields.items() if name == "domain"}


def _parts(body: bytes, mark: bytes) -> list[tuple[dict[str, str], bytes]]:
    """(parameters of the Content-Disposition, content) of each part."""
    pieces = (b"\r\n" + body).split(b"\r\n" + mark, MAX_PARTS + 1)
    if len(pieces) < 3 or not pieces[-1].startswith(b"--"):
        said = f"more than {MAX_PARTS} parts" if len(pieces) > MAX_PARTS else "no closing boundary: it is cut short"
        raise BadRequestError(f"the body is no multipart form: {said}")
    found = []
    for piece in pieces[1:-1]:
        head, blank, content = piece.partition(b"\r\n\r\n")
        if not blank:
            raise BadRequestError("the body is no multipart form: a part has no blank line behind its headers")
        lines = head.decode(errors="replace").split("\r\n")
        line = next((one for one in lines if one.lower().startswith("content-disposition:")), "")
        found.append(({name.lower(): value for name, value in _PARAMETER.findall(line)}, content))
    return found
