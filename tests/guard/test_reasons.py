"""Every reason that the code gives for a dead letter stands in docs/dead-letters.md, and no other (B24)."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
CODE = ROOT / "functions" / "levada"
SLUG = re.compile(r"[a-z]+(?:_[a-z]+)+")
REASON_AT = {"BadRecordError": 0, "Fault": 0, "BadRow": 2, "Refused": 4}
"""Calls that name a reason, and as which argument."""
IN_PAIRS = ("clean",)
"""Stages that also hold reasons in tuples with their detail."""
NO_REASONS = {"entity_type", "out_of_range"}
"""First items of other tuples there."""


def _slugs(node: ast.AST) -> Iterator[str]:
    for one in ast.walk(node):
        if isinstance(one, ast.Constant) and isinstance(one.value, str) and SLUG.fullmatch(one.value):
            yield one.value


def _given(node: ast.AST, stage: str) -> Iterator[str]:
    if isinstance(node, ast.Call):
        name = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
        at = REASON_AT.get(name)
        if at is not None and len(node.args) > at:
            yield from _slugs(node.args[at])
        for word in node.keywords:
            if word.arg == "reason":
                yield from _slugs(word.value)
    elif isinstance(node, ast.Tuple) and stage in IN_PAIRS and len(node.elts) in (2, 3):
        yield from set(_slugs(node.elts[0])) - NO_REASONS if isinstance(node.elts[0], ast.Constant) else ()
    elif isinstance(node, ast.Constant) and isinstance(node.value, str) and stage == "ingest":
        found = re.match(rf"({SLUG.pattern}): ", node.value)  # "<slug>: <detail>" of a line
        yield from (found[1],) if found else ()


def raised() -> set[str]:
    found: set[str] = set()
    for path in CODE.rglob("*.py"):
        stage = path.relative_to(CODE).parts[0]
        for node in ast.walk(ast.parse(path.read_text())):
            found.update(_given(node, stage))
    return found


def documented() -> set[str]:
    text = (ROOT / "docs" / "dead-letters.md").read_text()
    table = text.partition("## Reasons")[2].partition("\n## ")[0]
    cells = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]
    return {slug for cell in cells for slug in re.findall("`([a-z_]+)`", cell)}


def test_the_scan_sees_every_form_in_which_a_reason_is_given() -> None:
    """In a call, behind a condition, in a tuple, before a line's detail."""
    assert {"pack_columns", "not_an_object", "too_many_items", "too_few_fields", "too_many_fields"} <= raised()


def test_every_reason_is_documented() -> None:
    assert sorted(raised() - documented()) == []


def test_no_reason_is_documented_that_nothing_gives() -> None:
    assert sorted(documented() - raised()) == []
