"""HTTP answers: JSON, or CSV for ``Accept: text/csv`` or ``format=csv``; errors that name the field."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence, Sized
from typing import Any, Protocol, TypeVar

from aws_lambda_powertools.event_handler import Response
from pyarrow import Table

from levada.core.access import DeniedError
from levada.core.errors import BadRequestError, ConfigError, UnavailableError
from levada.observe import logger
from levada.query import keyed, parameters, render, windows
from levada.query.errors import ParameterError

MAX_BODY_BYTES = 4_500_000
"""A function may answer 6 MB, in which every quote of the body counts twice."""
NEXT = "Levada-Next"
"""Header that says where the next page begins, for answers that have no place for it."""


class Rows(Protocol):
    """A page of any route."""

    @property
    def rows(self) -> Sized: ...


P = TypeVar("P", bound=Rows)
R = TypeVar("R", bound=Mapping[str, Any])


def media_type(event: Mapping[str, Any], query: Mapping[str, str]) -> str:
    """What the caller wants: ``application/json`` or ``text/csv``."""
    headers = {name.lower(): value for name, value in (event.get("headers") or {}).items()}
    return render.media_type(query.get("format"), headers.get("accept"))


def json(status: int, answer: dict[str, Any], headers: Mapping[str, str] | None = None) -> Response[str]:
    return text(status, render.JSON, render.to_json(answer), headers)


def csv(body: str, headers: Mapping[str, str] | None = None) -> Response[str]:
    return text(200, f"{render.CSV}; charset=utf-8", body, headers)


def text(status: int, kind: str, body: str, headers: Mapping[str, str] | None = None) -> Response[str]:
    return Response(status_code=status, content_type=kind, body=body, headers=dict(headers or {}))


def paged(
    page: windows.Page, kind: str, name: str, columns: Sequence[str], rows_of: Callable[[Table], list[dict[str, Any]]]
) -> Response[str]:
    """A page of rows as JSON under this name, or as CSV with these columns; fewer rows where names are so long."""

    def answer(shown: windows.Page) -> Response[str]:
        return listing(kind, name, rows_of(shown.rows), columns, parameters.cursor(shown))

    return fitting(page, answer, lambda shown, limit: windows.cut(shown.rows, limit))


def listing(
    kind: str,
    name: str,
    rows: Sequence[Mapping[str, Any]],
    columns: Sequence[str],
    following: str | None,
    texts: Collection[str] = render.TEXT_COLUMNS,
) -> Response[str]:
    """Rows and where the next page begins: JSON under this name, or CSV with these columns."""
    headers = {NEXT: following} if following else {}
    if kind == render.CSV:
        return csv(render.to_csv(rows, columns, texts=texts), headers)
    return json(200, {name: rows, "next": following}, headers)


def listed(page: keyed.Page[R], order: keyed.Order[R], kind: str, name: str, columns: Sequence[str]) -> Response[str]:
    """A page of a list as JSON under this name, or as CSV with these columns."""

    def answer(shown: keyed.Page[R]) -> Response[str]:
        return listing(kind, name, shown.rows, columns, keyed.cursor(shown.following))

    return fitting(page, answer, order.cut)


def fitting(page: P, answer: Callable[[P], Response[str]], cut: Callable[[P, int], P]) -> Response[str]:
    """The answer with the whole page, or with as much of it as a function may answer: names can be long."""
    made = answer(page)
    while len((made.body or "").encode()) > MAX_BODY_BYTES and len(page.rows) > 1:
        page = cut(page, len(page.rows) // 2)
        made = answer(page)
    return made


def refused(err: BadRequestError) -> Response[str]:
    answer: dict[str, Any] = {"error": str(err)}
    if isinstance(err, ParameterError):
        answer |= {"field": err.field, "value": err.value, "allowed": err.allowed}
    if isinstance(err, DeniedError):
        return json(err.status, answer | err.says, err.headers)
    return json(err.status, answer)


def unavailable(err: UnavailableError) -> Response[str]:
    logger("query").error(str(err))
    return json(503, {"error": f"try again: {err}"}, {"Retry-After": "1"})


def wrong(err: ConfigError) -> Response[str]:
    logger("query").error(str(err))
    return json(500, {"error": f"the deployment is wrong: {err}"})
