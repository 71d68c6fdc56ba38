"""Files whose times are to be moved, so that old rows play as new ones: ``landing/<domain>/shift_us=<n>/<file>`` (A27).

The folder says it, since an object that lands brings nothing else but its name. The same content moved otherwise is
another content: it has a ledger and packs of its own.
"""

from __future__ import annotations

import hashlib
import re

from levada.clean.forced import MAX_SHIFT_US, SHIFT
from levada.core.errors import BadRecordError
from levada.core.keys import LANDING, TENANT

_FOLDER = re.compile(rf"{LANDING}[^/]+/(?:{TENANT}=[^/]*/)?{SHIFT}=([^/]*)/")


def folder(shift_us: int) -> str:
    """What stands before the file's name, below its domain."""
    return f"{SHIFT}={shift_us}/"


def shift_of(key: str) -> int:
    """By how much the times of a landed file are moved, microseconds. Raises BadRecordError ``bad_shift``."""
    found = _FOLDER.match(key)
    if found is None:
        return 0
    if not re.fullmatch(r"-?[0-9]{1,20}", found[1]) or abs(int(found[1])) > MAX_SHIFT_US:
        detail = f"key {key!r}: {SHIFT}={found[1]!r} must be a whole number of microseconds up to {MAX_SHIFT_US}"
        raise BadRecordError("bad_shift", detail)
    return int(found[1])


def identity(sha256: str, shift_us: int) -> str:
    """What a content is known by: its sha256, of one that is moved another digest."""
    return hashlib.sha256(f"{sha256} {SHIFT}={shift_us}".encode()).hexdigest() if shift_us else sha256
