"""Keys of the serving table: names quoted, so that none can pose as another, and never longer than DynamoDB allows."""

from __future__ import annotations

import hashlib
from urllib.parse import quote

PARTITION_BYTES, SORT_BYTES = 2_000, 1_000
"""A little below DynamoDB's limits of 2,048 and 1,024 bytes."""
DIGEST_CHARACTERS = 64


def quoted(name: str) -> str:
    """A part of a key: percent-quoted, so that it holds no ``#``."""
    return quote(name, safe="")


def bounded(key: str, limit: int = SORT_BYTES) -> str:
    """The key, or its beginning and its digest where it is too long: what cannot be written would stop the shard."""
    encoded = key.encode()
    if len(encoded) <= limit:
        return key
    kept = encoded[: limit - DIGEST_CHARACTERS - 1].decode(errors="ignore")
    return f"{kept}~{hashlib.sha256(encoded).hexdigest()}"
