"""Query: closed windows, the list of series, and health over HTTP.

Trigger   REST API: GET /healthz, /v1/series, /v1/windows. Reads the serving table; writes nothing.
Answers   JSON, or CSV for ``Accept: text/csv`` or ``format=csv``; 422 names a parameter that cannot be served.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from aws_lambda_powertools.event_handler import APIGatewayRestResolver, Response

from levada.core.errors import BadRequestError, ConfigError, UnavailableError
from levada.core.records import SERIES
from levada.domains.registry import enabled
from levada.observe import log, logger
from levada.query import health, parameters, render, windows
from levada.query.errors import ParameterError
from levada.wiring import Deps, deps

MAX_BODY_BYTES = 4_500_000
"""A function may answer 6 MB, in which every quote of the body counts twice."""
NEXT = "Levada-Next"
"""Header with the ``since`` of the next page, for answers that have no place for it."""
PROBE = "checkpoints/"
"""A prefix that the function's role may list."""
ROUTES = ("/healthz", "/v1/series", "/v1/windows")


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Lambda entry point of the REST API."""
    answer: dict[str, Any] = _app().resolve(event, context)
    log("query", context, path=event.get("path"), status=answer["statusCode"])
    return answer


@cache
def _app() -> APIGatewayRestResolver:
    app = APIGatewayRestResolver()
    app.get("/healthz")(_healthz)
    app.get("/v1/series")(lambda: _series(app.current_event.raw_event))
    app.get("/v1/windows")(lambda: _windows(app.current_event.raw_event))
    app.not_found(lambda _: _json(404, {"error": "no such route", "allowed": [f"GET {r}" for r in ROUTES]}))
    app.exception_handler(BadRequestError)(_refused)
    app.exception_handler(UnavailableError)(_unavailable)
    app.exception_handler(ConfigError)(_wrong)
    return app


def _healthz() -> Response[str]:
    d = deps()
    found = health.check(
        {
            "lake": lambda: next(iter(d.blobs.list(PROBE)), None),
            "table": lambda: d.serving.check(),
            "raw_stream": lambda: _stream(d, "raw_stream"),
            "clean_stream": lambda: _stream(d, "clean_stream"),
        }
    )
    return _json(200 if found.ok else 503, {"status": "ok" if found.ok else "down", "parts": dict(found.parts)})


def _stream(d: Deps, name: str) -> None:
    d.config.need(name)
    d.topology.created_s(getattr(d.config, name))


def _series(event: dict[str, Any]) -> Response[str]:
    d = deps()
    query = parameters.given(event, parameters.SERIES_PARAMETERS)
    kind = _media_type(event, query)
    selection = parameters.series(query, enabled(d.config.domains_enabled), d.config.tenant)
    rows = windows.series_of(d.serving, selection)
    if kind == render.CSV:
        return _text(200, f"{render.CSV}; charset=utf-8", render.to_csv(rows, SERIES))
    return _json(200, {"series": rows})


def _windows(event: dict[str, Any]) -> Response[str]:
    d = deps()
    query = parameters.given(event, parameters.WINDOW_PARAMETERS)
    kind = _media_type(event, query)
    domains = enabled(d.config.domains_enabled)
    selection, limit = parameters.windows(query, domains, d.config.tenant, int(d.clock.now_s() * 1_000_000))
    page = windows.page(d.serving, selection, limit)
    answer = _page(page, kind)
    while len((answer.body or "").encode()) > MAX_BODY_BYTES and page.rows.num_rows > 1:
        page = windows.cut(page.rows, page.rows.num_rows // 2)  # long names: fewer of them fit
        answer = _page(page, kind)
    return answer


def _page(page: windows.Page, kind: str) -> Response[str]:
    rows, following = render.windows(page.rows), parameters.cursor(page)
    headers = {NEXT: following} if following else {}
    if kind == render.CSV:
        body = render.to_csv(rows, render.WINDOW_COLUMNS)
        return _text(200, f"{render.CSV}; charset=utf-8", body, headers)
    return _text(200, render.JSON, render.to_json({"windows": rows, "next": following}), headers)


def _media_type(event: dict[str, Any], query: dict[str, str]) -> str:
    headers = {name.lower(): value for name, value in (event.get("headers") or {}).items()}
    return render.media_type(query.get("format"), headers.get("accept"))


def _refused(err: BadRequestError) -> Response[str]:
    answer: dict[str, Any] = {"error": str(err)}
    if isinstance(err, ParameterError):
        answer |= {"field": err.field, "value": err.value, "allowed": err.allowed}
    return _json(err.status, answer)


def _unavailable(err: UnavailableError) -> Response[str]:
    logger("query").error(str(err))
    return _text(503, render.JSON, render.to_json({"error": f"try again: {err}"}), {"Retry-After": "1"})


def _wrong(err: ConfigError) -> Response[str]:
    logger("query").error(str(err))
    return _json(500, {"error": f"the deployment is wrong: {err}"})


def _json(status: int, answer: dict[str, Any]) -> Response[str]:
    return _text(status, render.JSON, render.to_json(answer))


def _text(status: int, kind: str, body: str, headers: dict[str, str] | None = None) -> Response[str]:
    return Response(status_code=status, content_type=kind, body=body, headers=dict(headers or {}))
