"""Query: what levada knows, over HTTP. One module ``route_<what>.py`` per group of routes; they stand in ROUTES.

Trigger   REST API: GET of the paths in ROUTES. Reads the serving table, checkpoints and rollups; writes nothing.
Admits    bearers of a token with the scope read, to their tenant's rows (``core/access.py``); PUBLIC without one.
Answers   JSON, or CSV for ``Accept: text/csv`` or ``format=csv``; 422 names a parameter that cannot be served.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

from aws_lambda_powertools.event_handler import APIGatewayRestResolver, Response

from levada.core import access
from levada.core.errors import BadRequestError, ConfigError, UnavailableError
from levada.observe import log
from levada.query import answers, parameters
from levada.query.route_anomalies import get_alerts, get_anomalies
from levada.query.route_entities import get_jobs, get_subjobs
from levada.query.route_events import get_event_rollups, get_events
from levada.query.route_health import get_health
from levada.query.route_kpi import get_kpi
from levada.query.route_late import get_late
from levada.query.route_limits import get_limits
from levada.query.route_rollups import get_rollups
from levada.query.route_windows import get_latest, get_series, get_windows
from levada.wiring import deps

Route = Callable[[dict[str, Any]], Response[str]]

ROUTES: Mapping[str, Route] = {
    "/healthz": get_health,
    "/v1/alerts": get_alerts,
    "/v1/anomalies": get_anomalies,
    "/v1/event-rollups": get_event_rollups,
    "/v1/events": get_events,
    "/v1/jobs": get_jobs,
    "/v1/subjobs": get_subjobs,
    "/v1/kpi": get_kpi,
    "/v1/late": get_late,
    "/v1/latest": get_latest,
    "/v1/limits": get_limits,
    "/v1/rollups": get_rollups,
    "/v1/series": get_series,
    "/v1/windows": get_windows,
}
"""Path → what answers a GET of it, given the API Gateway event. Each also stands in the template.

A route serves one tenant: that of the parameter ``tenant``, which is there, and checked, before the route is asked.
"""
PUBLIC = frozenset({"/healthz"})
"""Routes without a token: they tell whether parts answer, and nothing of anybody's rows."""


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Lambda entry point of the REST API."""
    answer: dict[str, Any] = _app().resolve(event, context)
    log("query", context, path=event.get("path"), status=answer["statusCode"])
    return answer


@cache
def _app() -> APIGatewayRestResolver:
    app = APIGatewayRestResolver()
    for path, route in ROUTES.items():
        app.get(path)(_bound(app, route if path in PUBLIC else _guarded(route)))
    allowed = [f"GET {path}" for path in ROUTES]
    app.not_found(lambda _: answers.json(404, {"error": "no such route", "allowed": allowed}))
    app.exception_handler(BadRequestError)(answers.refused)
    app.exception_handler(UnavailableError)(answers.unavailable)
    app.exception_handler(ConfigError)(answers.wrong)
    return app


def _guarded(route: Route) -> Route:
    def guarded(event: dict[str, Any]) -> Response[str]:
        d = deps()
        caller = access.admit(
            event.get("headers") or {},
            parameters.tenants(event),
            access.READ,
            auth=d.config.auth,
            default=d.config.tenant,
            find=lambda digest: d.tokens.find(digest),
            memo=d.memo,
            now_s=d.clock.now_s(),
        )
        return route(parameters.of_tenant(event, caller.tenant) if caller.bound else event)

    return guarded


def _bound(app: APIGatewayRestResolver, route: Route) -> Callable[[], Response[str]]:
    def call() -> Response[str]:  # Powertools asks a route for its name, so a partial will not do
        return route(app.current_event.raw_event)

    return call
