"""Ingest over HTTP: events in, packs out; files in, objects under landing/ out.

Trigger   REST API, POST of the paths in ROUTES.
Writes    the raw stream; landing/<domain>/ for /v1/upload. /v1/runs has the function that loads files do it.
Retry     safe with the same Idempotency-Key: packs are numbered by it, and ``clean`` applies each once. An upload's key
          is made of its content, and a run of a file that was loaded loads nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from levada.core import access
from levada.core.access import Caller, DeniedError
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
    401 and 403 when the token is no good, or does not reach so far (``core/access.py``). Other 4xx ``{"error": …}``
    when the request must be changed, 503 when it may be repeated as it is.
    """
    caller = Caller("", "")
    try:
        route, d = _route(event), deps()
        caller = _admitted(event, d)
        answer = _answer(*route(event, context, d, caller))
    except DeniedError as err:
        answer = _answer(err.status, {"error": str(err), **err.says}, err.headers)
    except BadRequestError as err:
        headers = {"Allow": "POST"} if err.status == 405 else {}
        answer = _answer(err.status, {"error": str(err)}, headers)
    except UnavailableError as err:
        answer = _answer(503, {"error": f"try again with the same Idempotency-Key: {err}"}, {"Retry-After": "1"})
    found = {"status": answer["statusCode"], "path": event.get("path"), "answer": answer["body"][:500]}
    log("ingest", context, **found, token=caller.name, tenant=caller.tenant)
    return answer


def _admitted(event: dict[str, Any], d: Deps) -> Caller:
    asked = http_request.query(event).get("tenant", "")
    caller = access.admit(
        http_request.headers(event),
        [asked] if asked else [],
        access.WRITE,
        auth=d.config.auth,
        default=d.config.tenant,
        find=lambda digest: d.tokens.find(digest),
        memo=d.memo,
        now_s=d.clock.now_s(),
    )
    if asked and not access.TENANT.fullmatch(asked):
        raise BadRequestError(f"tenant={asked[:80]!r}: must be {access.TENANTS}")
    return caller


def post_events(event: dict[str, Any], context: object, d: Deps, caller: Caller) -> tuple[int, dict[str, Any]]:
    """(status, answer) of a post of one event, or of many. Their tenant is the caller's, whatever they say of it."""
    request = http_request.parse(event)
    tenant = caller.tenant
    rules = http_packs.Rules(
        domains=enabled(d.config.domains_enabled),
        tenant=tenant,
        now_s=d.clock.now_s(),
        max_skew_s=d.config.max_skew_s,
    )
    found = http_packs.sort(request, rules)
    if request.single and found.refused:
        raise BadRequestError(found.refused[0].reason, status=found.refused[0].status)
    key = request.key or str(getattr(context, "aws_request_id", ""))
    publish(d.raw, list(http_packs.entries(found.accepted, tenant, key)), d.clock)
    if request.single:
        return 202, {"accepted": found.count}
    failed = len(found.refused)
    body = {"ok": not failed, "total": len(request.items), "success": found.count, "failed": failed}
    errors = [{"index": r.index, "reason": r.reason} for r in found.refused[:MAX_ERRORS]]
    fast_clock = failed and not found.count and all(r.status == 422 for r in found.refused)
    return 422 if fast_clock else 200, body | {"errors": errors}


def _upload(event: dict[str, Any], context: object, d: Deps, caller: Caller) -> tuple[int, dict[str, Any]]:
    from levada.ingest import route_files  # not at a cold start that serves events

    return route_files.post_upload(event, context, d, caller)


def _run(event: dict[str, Any], context: object, d: Deps, caller: Caller) -> tuple[int, dict[str, Any]]:
    from levada.ingest import route_files

    return route_files.post_run(event, context, d, caller)


Route = Callable[[dict[str, Any], object, Deps, Caller], tuple[int, dict[str, Any]]]
ROUTES: dict[str, Route] = {
    http_request.EVENT: post_events,
    http_request.BATCH: post_events,
    http_request.UPLOAD: _upload,
    http_request.RUNS: _run,
}
"""Path → what answers a POST of it. Each also stands in the template."""


def _route(event: dict[str, Any]) -> Route:
    path, method = http_request.path_of(event), event.get("httpMethod")
    if path not in ROUTES:
        raise BadRequestError(f"path={path[:200]!r}: must be one of {', '.join(ROUTES)}", status=404)
    if method != "POST":
        raise BadRequestError(f"method={method!r:.20}: must be POST", status=405)
    return ROUTES[path]


def _answer(status: int, body: dict[str, Any], headers: dict[str, str] | None = None) -> Answer:
    return {
        "statusCode": status,
        "headers": {"Content-Type": "application/json", **(headers or {})},
        "body": msgspec.json.encode(body).decode(),
        "isBase64Encoded": False,
    }
