"""Who may do what over HTTP: bearer tokens with a tenant, scopes and an end (D34). Pure, and without pyarrow.

A token is 256 bits of chance behind ``lvd_``. The table has its SHA-256 only, as the sort key of an item under
``tokens``: whoever reads the table cannot use what is there. Header and refusals are as RFC 6750 has them.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hmac import compare_digest
from typing import Any

from levada.core.errors import BadRequestError

REQUIRED, OPEN = "REQUIRED", "OPEN"
READ, WRITE, ADMIN = "read", "write", "admin"
SCOPES = (READ, WRITE, ADMIN)
"""``admin`` includes the others."""
ANY_TENANT = "*"
"""Tenant of a token that may name any."""
PK = "tokens"
PREFIX = "lvd_"
FORM = re.compile(rf"{PREFIX}[A-Za-z0-9_-]{{43}}", re.ASCII)
TENANT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", re.ASCII)
"""Names of tenants become parts of keys and of packs' sources, so none may look like two."""
TENANTS = "1 to 64 letters, digits, '.', '-' and '_', of which the first is a letter or digit"
KNOWN_S, UNKNOWN_S = 60.0, 2.0
"""How long a process remembers a token that is good, and one that is none: what a revocation may take."""
MAX_REMEMBERED = 1_000
"""Of each of the two."""
REALM = 'Bearer realm="levada"'

Find = Callable[[str], Mapping[str, Any] | None]
"""SHA-256 (hex) of a token → its item, None where there is none. Raises UnavailableError."""


class DeniedError(BadRequestError):
    """401: nobody knows who asks. 403: it is known, and they may not. ``says`` stands in the answer, too."""

    def __init__(self, detail: str, *, status: int, challenge: str = "", says: Mapping[str, Any] | None = None) -> None:
        super().__init__(detail, status=status)
        self.says = dict(says or {})
        self.headers = {"WWW-Authenticate": f"{REALM}, {challenge}" if challenge else REALM}


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """What the table knows of a token."""

    digest: str
    """SHA-256 of the token, hex."""
    name: str
    tenant: str
    scopes: tuple[str, ...]
    created_s: int
    expires_s: int
    """Seconds since 1970 from which on it is void."""
    revoked_s: int | None = None

    def __post_init__(self) -> None:
        """Raises ValueError naming the field, its value and what is allowed."""
        if self.tenant != ANY_TENANT and not TENANT.fullmatch(self.tenant):
            raise ValueError(f"tenant {self.tenant!r:.80}: must be {TENANTS}, or {ANY_TENANT} for any")
        if not self.scopes or (wrong := [one for one in self.scopes if one not in SCOPES]):
            raise ValueError(f"scope {wrong[0] if self.scopes else ''!r:.80}: must be {', '.join(SCOPES)}")
        if not TENANT.fullmatch(self.name):
            raise ValueError(f"name {self.name!r:.80}: must be {TENANTS}")

    @classmethod
    def of(cls, item: Mapping[str, Any]) -> Token:
        """The inverse of ``to_item``; raises ValueError, KeyError or TypeError for an item that no token has."""
        return cls(
            digest=str(item["sk"]),
            name=str(item["name"]),
            tenant=str(item["tenant"]),
            scopes=tuple(str(item["scopes"]).split()),
            created_s=int(item["created_at"]),
            expires_s=int(item["expires_at"]),
            revoked_s=int(item["revoked_at"]) if item.get("revoked_at") is not None else None,
        )

    def to_item(self) -> dict[str, Any]:
        """The table deletes it some days after it has expired; without ``revoked_at`` it was not revoked."""
        item = {"pk": PK, "sk": self.digest, "name": self.name, "tenant": self.tenant, "scopes": " ".join(self.scopes)}
        return item | {"created_at": self.created_s, "expires_at": self.expires_s, "revoked_at": self.revoked_s}

    def may(self, scope: str) -> bool:
        return scope in self.scopes or ADMIN in self.scopes


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks, and about whose rows."""

    name: str
    """The token's; empty where none is required."""
    tenant: str
    """Whose rows the request is about."""
    bound: bool = False
    """Only theirs, whatever it names."""

    def check(self, tenant: str, what: str = "tenant") -> None:
        """Raises DeniedError when the caller may not touch this tenant's; what: the field that names it."""
        if self.bound and tenant != self.tenant:
            raise DeniedError(
                f"{what}: of tenant {tenant[:80]!r}, and the token {self.name!r} is of tenant {self.tenant!r}",
                status=403,
                challenge='error="insufficient_scope"',
                says={"needs": {"tenant": tenant[:80]}},
            )


def admit(
    headers: Mapping[str, str],
    asked: Sequence[str],
    scope: str,
    *,
    auth: str,
    default: str,
    find: Find,
    memo: dict[str, Any],
    now_s: float,
) -> Caller:
    """Let a request in, or raise DeniedError: 401 without a good token, 403 with one that does not reach so far.

    Args:
        headers: of the request, their names in whatever case.
        asked: every tenant that it names.
        scope: what it needs.
        auth: REQUIRED, or OPEN to let everybody in.
        default: whose rows it is about where neither it nor the token says so.
        find: looks a token up; asked at most once in KNOWN_S per token and process.
        memo: what this process remembers.
    """
    if auth == OPEN:
        return Caller("", asked[0] if asked else default)
    digest = digest_of(bearer(headers, scope))
    token = _good(recall(digest, find, memo, now_s), digest, scope, now_s)
    if token.tenant == ANY_TENANT:
        return Caller(token.name, asked[0] if asked else default)
    caller = Caller(token.name, token.tenant, bound=True)
    for tenant in asked:
        caller.check(tenant)
    return caller


def bearer(headers: Mapping[str, str], scope: str) -> str:
    """The token of a request. Raises DeniedError, and never repeats what was sent: it may be somebody's secret."""
    given = next((value for name, value in headers.items() if name.lower() == "authorization"), "")
    if not given:
        raise _unknown("no token: send the header Authorization: Bearer lvd_…", scope, challenge="")
    scheme, _, token = given.strip().partition(" ")
    if scheme.lower() != "bearer" or not FORM.fullmatch(token := token.strip()):
        raise _unknown("the header Authorization holds no token of levada: must be Bearer lvd_…", scope)
    return token


def digest_of(token: str) -> str:
    """What the table knows a token by. Without salt: there is nothing to guess in 256 bits of chance."""
    return hashlib.sha256(token.encode()).hexdigest()


def recall(digest: str, find: Find, memo: dict[str, Any], now_s: float) -> Token | None:
    """The token with this SHA-256, as the table has it or had it a moment ago."""
    known: dict[str, tuple[float, Token]] = memo.setdefault("tokens", {})
    unknown: dict[str, float] = memo.setdefault("no_tokens", {})
    if digest in known and 0 <= now_s - known[digest][0] < KNOWN_S:
        return known[digest][1]
    if digest in unknown and 0 <= now_s - unknown[digest] < UNKNOWN_S:
        return None
    token = _token(find(digest))
    known.pop(digest, None)
    unknown.pop(digest, None)
    if token is None:
        unknown[digest] = now_s
    else:
        known[digest] = (now_s, token)
    for one in (known, unknown):
        if len(one) > MAX_REMEMBERED:
            one.pop(next(iter(one)))  # the one that was looked up first
    return token


def _token(item: Mapping[str, Any] | None) -> Token | None:
    try:
        return None if item is None else Token.of(item)
    except (KeyError, TypeError, ValueError):  # not of our making: it opens no door
        return None


def _good(token: Token | None, digest: str, scope: str, now_s: float) -> Token:
    if token is None or not compare_digest(token.digest, digest):
        raise _unknown("the token is not known here", scope)
    if token.revoked_s is not None:
        raise _unknown(f"the token {token.name!r} was revoked", scope)
    if now_s >= token.expires_s:
        raise _unknown(f"the token {token.name!r} has expired", scope)
    if not token.may(scope):
        raise DeniedError(
            f"the token {token.name!r} has the scope {' and '.join(token.scopes)}: this needs {scope}",
            status=403,
            challenge=f'error="insufficient_scope", scope="{scope}"',
            says={"needs": {"scope": scope}},
        )
    return token


def _unknown(detail: str, scope: str, challenge: str = 'error="invalid_token"') -> DeniedError:
    return DeniedError(detail, status=401, challenge=challenge, says={"needs": {"scope": scope}})
