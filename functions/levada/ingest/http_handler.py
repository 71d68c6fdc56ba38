"""Ingest over HTTP: JSON events in, packs out.

Trigger   REST API, POST /v1/event and POST /v1/events/batch.
Writes    the raw stream.
Retry     safe with the same Idempotency-Key: packs are numbered by it, and ``clean`` applies each once.
"""

from __future__ import annotations

from typing import Any

import msgspec

from levada.core.errors import BadRequestError, UnavailableError
from levada.core.publishing import publish
from levada.domains.registry import enabled
from levada.ingest import http_packs, http_request
from levada.observe import log
from levada.wiring import Deps, deps

MAX_ERRORS = 100
"""Refused items that one answer names; the others are counted."""
Answer = dict[str, Any]


def handler(event: dict[str, Any], context: object) -> Answer:
    """Lambda entry point for a proxy integration; every answer is JSON.

    202 ``{"accepted": 1}`` for one event. 200 ``{ok, total, success, failed, errors: [{index, reason}]}`` for a batch.
    4xx ``{"error": …}`` when the request must be changed, 503 when it may be repeated as it is.
    """
    try:
        answer = _post(event, context, deps())
    except BadRequestError as err:
        headers = {"Allow": "POST"} if err.status == 405 else {}
        answer = _answer(err.status, {"error": str(err)}, headers)
    except UnavailableError as err:
        answer = _answer(503, {"error": f"try again with the same Idempotency-Key: {err}"}, {"Retry-After": "1"})
    log("ingest", context, status=answer["statusCode"], path=event.get("path"), answer=answer["body"][:500])
    return answer


def _post(event: dict[str, Any], context: object, d: Deps) -> Answer:
    request = http_request.parse(event)
    tenant = d.config.tenant
    found = http_packs.sort(request, enabled(d.config.domains_enabled), tenant)
    if request.single and found.refused:
        raise BadRequestError(found.refused[0].reason)
    key = request.key or str(getattr(context, "aws_request_id", ""))
    publish(d.raw, list(http_packs.entries(found.accepted, tenant, key)), d.clock)
    if request.single:
        return _answer(202, {"accepted": found.count})
    failed = len(found.refused)
    body = {"ok": not failed, "total": len(request.items), "success": found.count, "failed": failed}
    errors = [{"index": r.index, "reason": r.reason} for r in found.refused[:MAX_ERRORS]]
    return _answer(200, body | {"errors": errors})


def _answer(status: int, body: dict[str, Any], headers: dict[str, str] | None = None) -> Answer:
    return {
        "statusCode": status,
        "headers": {"Content-Type": "application/json", **(headers or {})},
        "body": msgspec.json.encode(body).decode(),
        "isBase64Encoded": False,
    }
