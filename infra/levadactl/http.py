"""One GET or POST of the HTTP API; proxies of the environment play no part."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlencode
from urllib.request import ProxyHandler, Request, build_opener

from levada.core.errors import UnavailableError
from levadactl.errors import LevadactlError, NotRunningError

TIMEOUT_S = 60


def get(base_url: str, path: str, query: Mapping[str, str]) -> dict[str, Any]:
    """The JSON object that the API answers.

    Raises LevadactlError with the API's own words for a 4xx or 5xx, NotRunningError when nothing answers.
    """
    url = f"{base_url}{path}?{urlencode(query)}"
    try:
        with build_opener(ProxyHandler({})).open(url, timeout=TIMEOUT_S) as response:
            answer: dict[str, Any] = json.loads(response.read())
    except HTTPError as err:
        body = err.read().decode(errors="replace")
        raise LevadactlError(f"{path}: HTTP {err.code}: {_words(body)}") from err
    except URLError as err:
        raise NotRunningError(f"nothing answers at {base_url}: levada up") from err
    return answer


def post(base_url: str, path: str, body: bytes, headers: Mapping[str, str]) -> tuple[int, dict[str, Any]]:
    """(status, JSON object that the API answers), whatever the status. Raises UnavailableError when nothing answers."""
    request = Request(f"{base_url}{path}", body, dict(headers), method="POST")  # noqa: S310 - the endpoint is ours
    try:
        with build_opener(ProxyHandler({})).open(request, timeout=TIMEOUT_S) as response:
            return response.status, _object(response.read())
    except HTTPError as err:
        return err.code, _object(err.read())
    except (URLError, ConnectionError, TimeoutError) as err:
        raise UnavailableError(f"nothing answers at {base_url}: {err}") from err


def _object(body: bytes) -> dict[str, Any]:
    try:
        found = json.loads(body)
    except ValueError:
        found = None
    return found if isinstance(found, dict) else {"error": body.decode(errors="replace")[:300]}


def _words(body: str) -> str:
    try:
        return str(json.loads(body)["error"])
    except (ValueError, KeyError, TypeError):
        return body[:300]
