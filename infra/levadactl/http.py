"""One GET or POST of the HTTP API, with the token in LEVADA_TOKEN; proxies of the environment play no part."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlencode
from urllib.request import ProxyHandler, Request, build_opener

from levada.core.access import FORM
from levada.core.errors import UnavailableError
from levadactl.errors import LevadactlError, NotRunningError

TIMEOUT_S = 60
NEXT = "Levada-Next"
"""Header of a CSV answer: where the next page begins."""
TOKEN = "LEVADA_TOKEN"  # noqa: S105 - a name
"""Variable with the token that the tools send; the functions know nothing of it."""


def get(base_url: str, path: str, query: Mapping[str, str]) -> dict[str, Any]:
    """The JSON object that the API answers.

    Raises LevadactlError with the API's own words for a 4xx or 5xx, NotRunningError when nothing answers.
    """
    body, _ = _get(base_url, path, query, "application/json")
    answer: dict[str, Any] = json.loads(body)
    return answer


def get_csv(base_url: str, path: str, query: Mapping[str, str]) -> tuple[str, str | None]:
    """(the CSV that the API answers, where the next page begins: None after the last one). Raises as ``get`` does."""
    body, headers = _get(base_url, path, query, "text/csv")
    return body.decode(), headers.get(NEXT)


def _get(base_url: str, path: str, query: Mapping[str, str], accept: str) -> tuple[bytes, Mapping[str, str]]:
    headers = {**_token(), "Accept": accept}
    request = Request(f"{base_url}{path}?{urlencode(query)}", headers=headers)  # noqa: S310 - the endpoint is ours
    try:
        with build_opener(ProxyHandler({})).open(request, timeout=TIMEOUT_S) as response:
            return response.read(), response.headers
    except HTTPError as err:
        body = err.read().decode(errors="replace")
        raise LevadactlError(f"{path}: HTTP {err.code}: {_words(body)}{_hint(err.code)}") from err
    except URLError as err:
        raise NotRunningError(f"nothing answers at {base_url}: levada up") from err


def post(base_url: str, path: str, body: bytes, headers: Mapping[str, str]) -> tuple[int, dict[str, Any]]:
    """(status, JSON object that the API answers), whatever the status. Raises UnavailableError when nothing answers."""
    sent = {**_token(), **headers}
    request = Request(f"{base_url}{path}", body, sent, method="POST")  # noqa: S310 - the endpoint is ours
    try:
        with build_opener(ProxyHandler({})).open(request, timeout=TIMEOUT_S) as response:
            return response.status, _object(response.read())
    except HTTPError as err:
        answer = _object(err.read())
        return err.code, answer | {"error": f"{answer.get('error', '')}{hint}"} if (hint := _hint(err.code)) else answer
    except (URLError, ConnectionError, TimeoutError) as err:
        raise UnavailableError(f"nothing answers at {base_url}: {err}") from err


def _token() -> dict[str, str]:
    given = os.environ.get(TOKEN, "").strip()
    if given and not FORM.fullmatch(given):
        raise LevadactlError(f"{TOKEN} holds no token of levada: must begin with lvd_, as levada token create shows it")
    return {"Authorization": f"Bearer {given}"} if given else {}


def _hint(status: int) -> str:
    """What whoever is not let in can do about it."""
    make = "levada token create --name me --scope read --scope write"
    return f"; make a token: export {TOKEN}=$({make})" if status == 401 else ""


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
