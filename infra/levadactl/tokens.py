"""Tokens of the HTTP API: made, listed and revoked in the serving table of a place. The token itself is seen once."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from levada.core.access import ADMIN, ANY_TENANT, PK, PREFIX, SCOPES, Token, digest_of
from levada.core.instants import instant
from levada.core.retention import TERM, UNITS
from levadactl.errors import LevadactlError

if TYPE_CHECKING:
    from levada.ports import ServingStore

MAX_DAYS = 3650
SHOWN = 12
"""Characters of a SHA-256 that people are shown; so many, or fewer that are of one token only, name it."""
LEAST = 6


def lifetime_s(text: str) -> int:
    """``90d`` or ``12h`` in seconds. Raises LevadactlError."""
    match = TERM.fullmatch(text)
    hours = int(match[1]) * UNITS[match[2]] if match else 0
    if not 0 < hours <= MAX_DAYS * 24:
        raise LevadactlError(f"--expires {text!r}: must be hours (12h) or days (90d), at most {MAX_DAYS}d")
    return hours * 3600


def live(store: ServingStore) -> list[Token]:
    """Those that open a door, oldest first."""
    found = [Token.of(item) for item in store.query(PK)]
    return sorted((one for one in found if one.revoked_s is None), key=lambda one: (one.created_s, one.name))


def create(
    store: ServingStore, *, name: str, tenant: str, scopes: Sequence[str], expires: str, now_s: float
) -> tuple[str, Token]:
    """(the token, what the table knows of it). Raises LevadactlError naming the option that is wrong."""
    text = PREFIX + secrets.token_urlsafe(32)
    chosen = tuple(one for one in SCOPES if one in scopes)
    if wrong := [one for one in scopes if one not in SCOPES]:
        raise LevadactlError(f"--scope {wrong[0]!r}: must be one of {', '.join(SCOPES)}")
    if tenant == ANY_TENANT and ADMIN not in chosen:
        raise LevadactlError(f"--tenant {ANY_TENANT} names any tenant: it wants --scope {ADMIN}")
    try:
        token = Token(
            digest=digest_of(text),
            name=name,
            tenant=tenant,
            scopes=chosen,
            created_s=int(now_s),
            expires_s=int(now_s) + lifetime_s(expires),
        )
    except ValueError as err:
        raise LevadactlError(f"--{err}") from err
    if any(one.name == name for one in live(store)):
        raise LevadactlError(f"--name {name!r}: a token has this name; revoke it, or choose another")
    store.put([token.to_item()])
    return text, token


def revoke(store: ServingStore, which: str, now_s: float) -> Token:
    """Make one token void, known by its name or the beginning of its SHA-256; it stays listed nowhere.

    Raises LevadactlError when none or several are meant.
    """
    known = live(store)
    found = [one for one in known if one.name == which]
    if not found and len(which) >= LEAST:
        found = [one for one in known if one.digest.startswith(which.lower())]
    if not found:
        names = ", ".join(one.name for one in known) or "none"
        raise LevadactlError(
            f"{which!r:.80}: no token has this name or SHA-256 (of {LEAST} characters); there are: {names}"
        )
    if len(found) > 1:
        several = ", ".join(one.digest[:SHOWN] for one in found)
        raise LevadactlError(f"{which!r:.80}: several tokens are meant; name one by its SHA-256: {several}")
    (token,) = found
    # an item that has expired is not read, and the table deletes it some days later: until then it says who it was
    store.put([token.to_item() | {"revoked_at": int(now_s), "expires_at": int(now_s)}])
    return token


def shown(token: Token) -> dict[str, Any]:
    """What may be seen of a token by whoever manages them."""
    return {
        "name": token.name,
        "tenant": token.tenant,
        "scopes": list(token.scopes),
        "created": instant(token.created_s * 1_000_000),
        "expires": instant(token.expires_s * 1_000_000),
        "sha256": token.digest[:SHOWN],
    }
