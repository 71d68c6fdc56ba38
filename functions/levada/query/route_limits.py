"""GET /v1/limits: specification and control limits of a domain's series, with the periods in which they hold."""

from __future__ import annotations

from typing import Any

from aws_lambda_powertools.event_handler import Response

from levada.core import limits
from levada.core.limits import ANY, KINDS, PARTS
from levada.domains.registry import enabled
from levada.query import answers, keyed, parameters
from levada.query.errors import ParameterError
from levada.wiring import deps

PARAMETERS = ("domain", "tenant", "kind", "metric", "after", "limit", "format")
COLUMNS = ("kind", "metric", "site", "unit", "series", "lower", "target", "upper", "from", "until")

PLACE = (*COLUMNS[:5], "from")
"""Tells limits apart: of two for the same series the periods do not overlap."""
ORDER: keyed.Order[dict[str, Any]] = keyed.Order(lambda row: tuple(row[name] for name in PLACE), (str,) * len(PLACE))


def get_limits(event: dict[str, Any]) -> Response[str]:
    """As they are set now, not as a function may remember them."""
    d = deps()
    query = parameters.given(event, PARAMETERS)
    answer_kind = answers.media_type(event, query)
    asked = {name: value for name, value in query.items() if name in ("domain", "tenant")}
    selection = parameters.series(asked, enabled(d.config.domains_enabled), d.config.tenant)
    if (kind := query.get("kind")) not in (None, *KINDS):
        raise ParameterError("kind", kind, f"one of {', '.join(KINDS)}")
    absent: dict[str, Any] = dict.fromkeys(COLUMNS) | dict.fromkeys(PARTS, ANY)
    rows = [
        absent | one.to_json()
        for one in limits.load(d.blobs, selection.domain, selection.tenant).limits
        if kind in (None, one.kind) and query.get("metric") in (None, one.metric)
    ]
    return answers.listed(ORDER.page(sorted(rows, key=ORDER.key), query), ORDER, answer_kind, "limits", COLUMNS)
