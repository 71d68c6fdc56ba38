"""Query: what levada knows, over HTTP. One module ``route_<what>.py`` per group of routes; they stand in ROUTES.

Trigger   REST API: GET of the paths in ROUTES. Reads the serving table, checkpoints and rollups; writes nothing.
Answers   JSON, or CSV for ``Accept: text/csv`` or ``format=csv``; 422 names a parameter that cannot be served.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

from aws_lambda_powertools.event_handler import APIGatewayRestResolver, Response

from levada.core.errors import BadRequestError, ConfigError, UnavailableError
from levada.observe import log
from levada.query import answers
from levada.query.route_anomalies import get_alerts, get_anomalies
from levada.query.route_entities import get_jobs, get_subjobs
from levada.query.route_events import get_event_rollups, get_events
from levada.query.route_health import get_health
from levada.query.route_kpi import get_kpi
from levada.query.route_late import get_late
from levada.query.route_limits import get_limits
from levada.query.route_rollups import get_rollups
from levada.query.route_windows import get_series, get_windows

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
    "/v1/limits": get_limits,
    "/v1/rollups": get_rollups,
    "/v1/series": get_series,
    "/v1/windows": get_windows,
}
"""Path → what answers a GET of it, given the API Gateway event. Each also stands in the template."""


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Lambda entry point of the REST API."""
    answer: dict[str, Any] = _app().resolve(event, context)
    log("query", context, path=event.get("path"), status=answer["statusCode"])
    return answer


@cache
def _app() -> APIGatewayRestResolver:
    app = APIGatewayRestResolver()
    for path, route in ROUTES.items():
        app.get(path)(_bound(app, route))
    allowed = [f"GET {path}" for path in ROUTES]
    app.not_found(lambda _: answers.json(404, {"error": "no such route", "allowed": allowed}))
    app.exception_handler(BadRequestError)(answers.refused)
    app.exception_handler(UnavailableError)(answers.unavailable)
    app.exception_handler(ConfigError)(answers.wrong)
    return app


def _bound(app: APIGatewayRestResolver, route: Route) -> Callable[[], Response[str]]:
    def call() -> Response[str]:  # Powertools asks a route for its name, so a partial will not do
        return route(app.current_event.raw_event)

    return call
