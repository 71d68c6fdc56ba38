"""Event files with tokens and without: who is let in where tokens are required. Where they are not, all of them are."""

from __future__ import annotations

from typing import Any

from levada.core.access import ADMIN, ANY_TENANT, PREFIX, READ, WRITE, Token, digest_of
from levadactl.case import Case
from levadactl.cases_of_queries import WINDOWS
from levadactl.events import compact, rest, row

HOUR_S = 3600
KNOWN = {
    "reader": ("default", (READ,), HOUR_S),
    "writer": ("default", (WRITE,), HOUR_S),
    "neighbour": ("neighbour", (READ, WRITE), HOUR_S),
    "operator": (ANY_TENANT, (ADMIN,), HOUR_S),
    "expired": ("default", (READ, WRITE), -HOUR_S),
}
"""Name → (tenant, scopes, seconds it still holds) of the tokens that event files carry; no deployment knows them."""


def token(name: str) -> str:
    """A token that looks like one, and that anybody may read."""
    return PREFIX + f"example-of-a-{name}".ljust(43, "-")


def tokens(now_s: float) -> list[Token]:
    """What the table of such a deployment would hold."""
    return [
        Token(
            digest=digest_of(token(name)),
            name=name,
            tenant=tenant,
            scopes=scopes,
            created_s=int(now_s) - 2 * HOUR_S,
            expires_s=int(now_s) + left_s,
        )
        for name, (tenant, scopes, left_s) in KNOWN.items()
    ]


def _query(given: str | None, **named: str) -> dict[str, Any]:
    return rest("GET", "/v1/windows", query=WINDOWS | named, token=given)


def _event(given: str | None, **named: str) -> dict[str, Any]:
    return rest("POST", "/v1/event", body=compact(row(0)), query=named or None, token=given)


def _case(stage: str, name: str, shows: str, bearer: str | None, **named: str) -> Case:
    make = _query if stage == "query" else _event
    return Case(stage, name, shows, lambda: make(bearer and token(bearer), **named))


CASES = (
    _case("ingest", "token_good", "a token with the scope write: its tenant's row", "writer"),
    _case("ingest", "token_missing", "without a token: 401 where tokens are required, says which header", None),
    _case("ingest", "token_expired", "a token that has expired: 401 where tokens are required", "expired"),
    _case("ingest", "token_wrong_scope", "a reader's token: 403 where tokens are required, names the scope", "reader"),
    _case(
        "ingest", "token_other_tenant", "names a tenant that the token is not of: 403", "neighbour", tenant="default"
    ),
    _case("query", "token_good", "a token with the scope read: its tenant's windows", "reader"),
    _case("query", "token_missing", "without a token: 401 where tokens are required, says which header", None),
    _case("query", "token_expired", "a token that has expired: 401 where tokens are required", "expired"),
    _case("query", "token_wrong_scope", "a writer's token: 403 where tokens are required, names the scope", "writer"),
    _case("query", "token_other_tenant", "names a tenant that the token is not of: 403", "neighbour", tenant="default"),
    _case("query", "token_of_another", "names no tenant: the token's own, which has no windows", "neighbour"),
    _case("query", "token_of_any", "an operator's token may name any tenant", "operator", tenant="default"),
)
