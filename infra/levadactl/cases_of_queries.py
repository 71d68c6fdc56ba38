"""Event files of the read API: each route asked for something, and what it refuses."""

from __future__ import annotations

from levadactl.case import Case
from levadactl.events import rest

WINDOWS = {
    "domain": "air_quality",
    "series": "station-1",
    "metric": "co",
    "since": "2025-12-01T00:00:00Z",
    "until": "2025-12-02T00:00:00Z",
}
FINDINGS = {"domain": "air_quality", "since": "2025-12-01T00:00:00Z", "until": "2026-01-01T00:00:00Z"}
ONE_SERIES = {"series": "station-1", "metric": "co"}

CASES = (
    Case("query", "healthz", "which parts are up", lambda: rest("GET", "/healthz")),
    Case(
        "query",
        "get_anomalies",
        "what stood out in a month, warnings and worse",
        lambda: rest("GET", "/v1/anomalies", query=FINDINGS | {"severity": "warning"}),
    ),
    Case("query", "get_alerts", "alerts of one series", lambda: rest("GET", "/v1/alerts", query=FINDINGS | ONE_SERIES)),
    Case(
        "query", "get_late", "which series are late", lambda: rest("GET", "/v1/late", query={"domain": "air_quality"})
    ),
    Case(
        "query",
        "get_latest",
        "the newest window of each series, open ones too",
        lambda: rest("GET", "/v1/latest", query={"domain": "air_quality", "open": "true"}),
    ),
    Case(
        "query",
        "get_open_windows",
        "windows to which rows may still come, beside the closed ones",
        lambda: rest("GET", "/v1/windows", query=WINDOWS | {"open": "true"}),
    ),
    Case("query", "get_windows", "a day of one metric", lambda: rest("GET", "/v1/windows", query=WINDOWS)),
    Case(
        "query",
        "unknown_series",
        "a series that has no windows: an empty list",
        lambda: rest("GET", "/v1/windows", query=WINDOWS | {"series": "station-99"}),
    ),
    Case(
        "query",
        "no_query",
        "queryStringParameters is null without a query: 422, for of several domains one must be named",
        lambda: rest("GET", "/v1/series"),
    ),
    Case(
        "query",
        "get_rollups",
        "months of one metric",
        lambda: rest("GET", "/v1/rollups", query={"domain": "air_quality", "period": "1mo", "metric": "co"}),
    ),
    Case(
        "query",
        "get_jobs",
        "jobs that run or have failed, by their latest state",
        lambda: rest("GET", "/v1/jobs", query={"status": "running,failed", "app": "render"}),
    ),
    Case(
        "query",
        "get_events",
        "what happened in an hour",
        lambda: rest("GET", "/v1/events", query={"domain": "jobs", "since": "2025-12-31T23:00:00Z"}),
    ),
    Case(
        "query",
        "get_event_rollups",
        "how many jobs ended how, per minute",
        lambda: rest("GET", "/v1/event-rollups", query={"domain": "jobs", "metric": "duration_s"}),
    ),
    Case(
        "query",
        "get_kpi",
        "capability of a month's values",
        lambda: rest("GET", "/v1/kpi", query={"domain": "air_quality", "period": "1mo", "since": "2025-12-01"}),
    ),
    Case(
        "query",
        "get_limits",
        "specification limits of a domain",
        lambda: rest("GET", "/v1/limits", query={"domain": "air_quality", "kind": "specification"}),
    ),
    Case(
        "query",
        "base64_body",
        "a GET with a body, encoded: the body is ignored",
        lambda: rest("GET", "/v1/series", query={"domain": "air_quality"}, body=b"{}", in_base64=True),
    ),
    Case(
        "query",
        "trailing_slash",
        "/v1/windows/ is /v1/windows",
        lambda: rest("GET", "/v1/windows/", query=WINDOWS, resource="/v1/windows"),
    ),
    Case(
        "query",
        "bad_parameter",
        "422 that names the parameter, its value and what is allowed",
        lambda: rest("GET", "/v1/windows", query=WINDOWS | {"since": "yesterday"}),
        alone=True,
    ),
    Case("query", "no_such_route", "404 that names the routes there are", lambda: rest("GET", "/v2"), alone=True),
)
