"""docs/stream-triggers.md: its examples run, and it names every setting and every counter."""

from __future__ import annotations

import re
from dataclasses import fields
from typing import Any

import pytest

from levadactl.triggers import Mapping
from levadactl.triggers.shard import ShardStats
from tests.conftest import ROOT

PAGE = (ROOT / "docs" / "stream-triggers.md").read_text()
EXAMPLES = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


def test_the_first_example_has_at_most_ten_lines() -> None:
    assert len([line for line in EXAMPLES[0].splitlines() if line]) <= 10


@pytest.mark.parametrize("example", EXAMPLES)
def test_every_example_runs(example: str) -> None:
    names: dict[str, Any] = {}
    exec(compile(example, "docs/stream-triggers.md", "exec"), names)  # noqa: S102  # it is our own page
    assert "Mapping" in names


@pytest.mark.parametrize("name", [field.name for field in fields(Mapping)])
def test_every_setting_is_documented(name: str) -> None:
    assert f"| `{name}` |" in PAGE


@pytest.mark.parametrize("name", [f.name for f in fields(ShardStats) if f.name != "iterator_age_s"])
def test_every_counter_of_the_status_is_documented(name: str) -> None:
    assert f"`{name}`" in PAGE
