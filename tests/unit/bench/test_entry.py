"""The bench's one entry point: every part answers one JSON object, and what was missed is said."""

from __future__ import annotations

import ast
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from bench import __main__ as entry
from bench import harness


@pytest.mark.parametrize("name", entry.PARTS)
def test_every_part_is_a_module_with_a_command_of_its_own(name: str) -> None:
    """Read, not imported: peers are installed in the bench's own environment."""
    module = ast.parse((Path(entry.__file__).parent / f"{name}.py").read_text())

    assert any(isinstance(one, ast.FunctionDef) and one.name == "main" for one in module.body)
    assert isinstance(module.body[-1], ast.If), "python -m bench.<part> runs it"


def test_all_parts_come_out_as_one_object(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    asked: list[tuple[str, Sequence[str]]] = []

    def answer(module: str, arguments: Sequence[str], given: object = None) -> Any:
        asked.append((module, arguments))
        return {"subjects": [], "targets": [{"target": f"fast {module}", "reached": module == "bench.aggregate"}]}

    monkeypatch.setattr(harness, "in_own_process", answer)

    assert entry.main(["--json", "--repeats", "3"]) == 0
    out, err = capsys.readouterr()

    assert asked == [(f"bench.{name}", ["--json", "--repeats", "3"]) for name in entry.PARTS]
    assert list(json.loads(out)["parts"]) == list(entry.PARTS)
    assert json.loads(out)["machine"]["processors"] >= 1
    assert "fast bench.clean" in err
    assert "fast bench.aggregate" not in err
