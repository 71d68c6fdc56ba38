"""POST /v1/upload stores a file under landing/; POST /v1/runs has one loaded and tells how many rows it has."""

from __future__ import annotations

from typing import Any

from levada.core import keys
from levada.core.access import Caller
from levada.core.errors import BadRequestError
from levada.domains.registry import enabled
from levada.ingest import http_request, runs, uploads
from levada.wiring import Deps

URL_EXPIRES_S = 3600
MAX_URL_BYTES = 5_000_000_000
"""What S3 takes in one PUT."""
WAIT_S = 22.0
"""How long a run is waited for: API Gateway gives up after 29 s."""


def post_upload(event: dict[str, Any], _context: object, d: Deps, caller: Caller) -> tuple[int, dict[str, Any]]:
    """201 ``{"key", "bytes"}`` when the file is stored; 200 ``{"key", "url", …}`` for one that is to come."""
    tenant = "" if caller.tenant == d.config.tenant else caller.tenant
    upload = uploads.parse(event, enabled(d.config.domains_enabled), tenant)
    if upload.body is None:
        url = d.urls.put_url(upload.key, expires_s=URL_EXPIRES_S)
        limits = {"expires_s": URL_EXPIRES_S, "max_bytes": MAX_URL_BYTES}
        return 200, {"key": upload.key, "method": "PUT", "url": url, **limits}
    d.blobs.put(upload.key, upload.body)
    return 201, {"key": upload.key, "bytes": len(upload.body)}


def post_run(event: dict[str, Any], _context: object, d: Deps, caller: Caller) -> tuple[int, dict[str, Any]]:
    """200 ``{"triggered": true, "rows": n, "path": key, "status", "done": true}``.

    202 with ``"done": false`` for a file that takes longer than a request may: the same request asks again.
    403 for a file of another tenant, whether there is one or not.
    """
    run = runs.parse(http_request.json_object(event), enabled(d.config.domains_enabled))
    owner = keys.landed_tenant(run.key)
    caller.check(d.config.tenant if owner is None else owner, f"key={run.key[:200]!r}")
    if not any(blob.key == run.key for blob in d.blobs.list(run.key)):
        raise BadRequestError(f"key={run.key[:200]!r}: there is no such object", status=404)
    d.config.need("files_function")
    try:
        (outcome,) = d.functions.call(d.config.files_function, run.to_event(), timeout_s=WAIT_S)["files"]
    except TimeoutError:
        return 202, {"triggered": True, "rows": None, "path": run.key, "status": "running", "done": False}
    status = outcome["status"]
    if status == "gone":
        raise BadRequestError(f"key={run.key[:200]!r}: there is no such object", status=404)
    if status == "refused":
        raise BadRequestError(f"key={run.key[:200]!r}: {outcome['reason']}")
    done = status in ("loaded", "duplicate")
    answer = {"triggered": True, "rows": outcome["rows"], "path": run.key, "status": status, "done": done}
    return (200 if done else 202), answer
