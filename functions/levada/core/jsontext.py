"""JSON texts from outside: what makes one unreadable, said once for everybody who reads them. No pyarrow here."""

from __future__ import annotations

import json
import re

import msgspec

NOT_JSON = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What msgspec raises for a text that is no JSON: malformed, not UTF-8, or nested deeper than a thousand."""
MAX_DEPTH = 64
"""Objects and arrays within each other that a sender may use; no reading needs more than a few."""
_KEY_END = re.compile(rb'"\s*:')


def is_object(text: bytes) -> bool:
    """One JSON object, and nothing else?"""
    try:
        return isinstance(msgspec.json.decode(text), dict)
    except NOT_JSON:
        return False


def fault_of(text: bytes, value: object) -> str | None:
    """What a strict reader refuses in a text that msgspec took: depth, or a key that stands twice in one object.

    Args:
        text: the JSON text.
        value: what msgspec made of it; of two equal keys it keeps the last without a word.
    """
    keys, depth = _measure(value)
    if depth > MAX_DEPTH:
        return f"nested {depth} deep: at most {MAX_DEPTH}"
    if sum(1 for _ in _KEY_END.finditer(text)) == keys:
        return None
    try:  # text inside a string may look like a key: only the slow reader knows
        json.loads(text, object_pairs_hook=_once)
    except _RepeatedKeyError as err:
        return f"key {err.args[0]!r:.80} stands twice in one object"
    return None


def _measure(value: object) -> tuple[int, int]:
    """(keys of all objects in the value, how deep the value is); without recursion."""
    keys, deepest = 0, 0
    waiting = [(value, 1)]
    while waiting:
        one, depth = waiting.pop()
        if isinstance(one, dict):
            keys += len(one)
            inner: list[object] = list(one.values())
        elif isinstance(one, list):
            inner = one
        else:
            continue
        deepest = max(deepest, depth)
        waiting.extend((v, depth + 1) for v in inner if isinstance(v, dict | list))
    return keys, deepest


class _RepeatedKeyError(ValueError):
    pass


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise _RepeatedKeyError(next(name for name in names if names.count(name) > 1))
    return found
