"""Records of one width, sorted by the digest of a name, in one bytes object, of which a batch reads what it needs.

A checkpoint knows thousands of names and a batch touches a few of them: what it does not touch is carried as it is.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping
from hashlib import blake2b

DIGEST_BYTES = 16
"""Two of a billion names have one digest with a probability of 1e-21, and nobody can make such a pair."""


def digest(name: str) -> bytes:
    return blake2b(name.encode(errors="surrogatepass"), digest_size=DIGEST_BYTES).digest()


def find(records: bytes, width: int, key: bytes) -> tuple[int, int]:
    """Where the records of this key stand: ``[start, end)`` in bytes, empty at the place where they would stand.

    Args:
        records: any number of ``width`` bytes each that begin with a digest, ascending.
    """
    at = bisect_left(range(len(records) // width), key, key=lambda i: records[i * width : i * width + DIGEST_BYTES])
    start = end = at * width
    while records.startswith(key, end):
        end += width
    return start, end


def spliced(records: bytes, width: int, changes: Mapping[bytes, bytes]) -> bytes:
    """The records, with all of each of these keys replaced by what it maps to (records that begin with it, or none)."""
    parts: list[bytes] = []
    done = 0
    for key in sorted(changes):
        start, end = find(records, width, key)
        parts += records[done:start], changes[key]
        done = end
    return b"".join((*parts, records[done:]))
