"""Filter criteria: EventBridge patterns on a stream record's data and metadata.

https://docs.aws.amazon.com/lambda/latest/dg/invocation-eventfiltering.html
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

from levadactl.triggers.errors import MappingError
from levadactl.triggers.event import Envelope
from levadactl.triggers.model import Record

Pattern = dict[str, Any]
MISSING = object()
"""Stands for a key that the record does not have; ``null`` is a value."""
MAX_FILTERS = 10

_COMPARE: dict[str, Callable[[float, float], bool]] = {
    "=": lambda a, b: a == b,
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
}
_OPERATORS = "prefix, suffix, equals-ignore-case, exists, anything-but, numeric"


def parse_pattern(text: str | Pattern, field: str = "FilterCriteria.Filters[].Pattern") -> Pattern:
    """A pattern from its JSON text (or already decoded); MappingError when Lambda would refuse it."""
    pattern: Any = text
    if isinstance(text, str):
        try:
            pattern = json.loads(text)
        except ValueError:
            raise MappingError(field, text, "a JSON object as text") from None
    if not isinstance(pattern, dict) or not pattern:
        raise MappingError(field, text, "a JSON object with at least one key")
    if "data" in pattern and not isinstance(pattern["data"], dict):
        raise MappingError(f"{field}.data", pattern["data"], "a JSON object (Kinesis filters need JSON data)")
    _check_node(pattern, field)
    return pattern


def wanted(patterns: Sequence[Pattern], record: Record, envelope: Envelope) -> bool:
    """True when the record meets one of the patterns, or there are none.

    A record whose data is no JSON is dropped by a pattern that looks at ``data``; one that looks at metadata only
    (``partitionKey`` …) still sees it.
    """
    if not patterns:
        return True
    entry = envelope.record(record)
    document = {**entry, **entry["kinesis"], "data": _json_data(record.data)}
    return any(_object(pattern, document) for pattern in patterns)


def matches(pattern: Pattern, document: dict[str, Any]) -> bool:
    """True when a decoded JSON object meets a pattern."""
    return _object(pattern, document)


def _json_data(data: bytes) -> Any:
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        return MISSING


def _object(pattern: Pattern, value: Any) -> bool:
    if isinstance(value, list):
        return any(_object(pattern, item) for item in value)
    if not isinstance(value, dict):
        return _only_wants_absence(pattern)
    return all(
        any(_object(branch, value) for branch in wanted_value)
        if key == "$or"
        else _field(wanted_value, value.get(key, MISSING))
        for key, wanted_value in pattern.items()
    )


def _only_wants_absence(pattern: Pattern) -> bool:
    return all(
        any(_only_wants_absence(branch) for branch in rules) if key == "$or" else _field(rules, MISSING)
        for key, rules in pattern.items()
    )


def _field(rules: Any, value: Any) -> bool:
    if isinstance(rules, dict):
        return _object(rules, value)
    candidates = value if isinstance(value, list) and value else [value]
    return any(_rule(rule, candidate) for rule in rules for candidate in candidates)


def _rule(rule: Any, value: Any) -> bool:
    if not isinstance(rule, dict):
        return value is not MISSING and _same(rule, value)
    ((operator, operand),) = rule.items()
    if operator == "exists":
        # AWS: exists looks at leaves only; an object below the key is not one.
        return (value is not MISSING and not isinstance(value, dict)) is operand
    if value is MISSING:
        return False
    if operator == "anything-but":
        return not _any_of(operand, value)
    return _compare(operator, operand, value)


def _any_of(operand: Any, value: Any) -> bool:
    if isinstance(operand, dict):
        ((operator, inner),) = operand.items()
        return any(_compare(operator, one, value) for one in (inner if isinstance(inner, list) else [inner]))
    return any(_same(one, value) for one in (operand if isinstance(operand, list) else [operand]))


def _compare(operator: str, operand: Any, value: Any) -> bool:
    if operator == "numeric":
        if isinstance(value, bool) or not isinstance(value, int | float):
            return False
        pairs = zip(operand[::2], operand[1::2], strict=True)
        return all(_COMPARE[sign](value, bound) for sign, bound in pairs)
    if not isinstance(value, str):
        return False
    ignore_case = isinstance(operand, dict) or operator == "equals-ignore-case"
    rule = str(operand["equals-ignore-case"] if isinstance(operand, dict) else operand)
    text, rule = (value.lower(), rule.lower()) if ignore_case else (value, rule)
    if operator == "prefix":
        return text.startswith(rule)
    if operator == "suffix":
        return text.endswith(rule)
    return text == rule


def _same(rule: Any, value: Any) -> bool:
    return bool(isinstance(rule, bool) is isinstance(value, bool) and rule == value)


def _check_node(pattern: Any, field: str) -> None:
    if not isinstance(pattern, dict):
        raise MappingError(field, pattern, "an object of fields")
    for key, rules in pattern.items():
        where = f"{field}.{key}"
        if key == "$or":
            if not isinstance(rules, list) or len(rules) < 2:
                raise MappingError(where, rules, "a list of at least two objects")
            for branch in rules:
                _check_node(branch, where)
        elif isinstance(rules, dict):
            _check_node(rules, where)
        elif not isinstance(rules, list) or not rules:
            raise MappingError(where, rules, "a list of values or rules, or an object of fields")
        else:
            for rule in rules:
                _check_rule(rule, where)


def _check_rule(rule: Any, field: str) -> None:
    if isinstance(rule, list):
        raise MappingError(field, rule, "values and rules, not lists of lists")
    if not isinstance(rule, dict):
        return
    if len(rule) != 1:
        raise MappingError(field, rule, f"one operator of {_OPERATORS}")
    ((operator, operand),) = rule.items()
    if not _operand_fits(operator, operand):
        raise MappingError(field, rule, f"{_OPERATORS}, each with an operand of its kind")


def _operand_fits(operator: str, operand: Any) -> bool:
    match operator:
        case "exists":
            return isinstance(operand, bool)
        case "equals-ignore-case":
            return isinstance(operand, str)
        case "prefix" | "suffix":
            return isinstance(operand, str) or _is_ignore_case(operand)
        case "numeric":
            signs, bounds = (operand[::2], operand[1::2]) if isinstance(operand, list) else ([], [])
            numbers = all(isinstance(b, int | float) and not isinstance(b, bool) for b in bounds)
            return bool(signs) and len(signs) == len(bounds) <= 2 and all(s in _COMPARE for s in signs) and numbers
        case "anything-but":
            return _anything_but_fits(operand)
    return False


def _is_ignore_case(operand: Any) -> bool:
    return isinstance(operand, dict) and len(operand) == 1 and isinstance(operand.get("equals-ignore-case"), str)


def _anything_but_fits(operand: Any) -> bool:
    if isinstance(operand, dict):
        if len(operand) != 1:
            return False
        ((operator, inner),) = operand.items()
        values = inner if isinstance(inner, list) else [inner]
        return operator in ("prefix", "suffix", "equals-ignore-case") and all(isinstance(v, str) for v in values)
    values = operand if isinstance(operand, list) else [operand]
    return bool(values) and not any(isinstance(v, dict | list | bool) or v is None for v in values)
