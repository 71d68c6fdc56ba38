"""SIGKILL in the middle of the work, again and again: each event arrives once, in order (C27)."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from random import Random

import pytest

from tests.conftest import ROOT
from tests.unit.producer.hostile import each_once
from tests.unit.producer.victim import read

EVENTS = 4000


@pytest.mark.parametrize("seed", range(3))
def test_a_producer_that_is_killed_loses_nothing_and_doubles_nothing(seed: int, tmp_path: Path) -> None:
    dice, kills = Random(seed), 0
    while True:
        command = [sys.executable, "-m", "tests.unit.producer.victim", str(tmp_path), str(EVENTS)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as victim:
            assert victim.stdout is not None
            left = dice.randrange(5, 60) if kills < 6 else -1
            for line in victim.stdout:
                left -= 1
                if line == "end\n":
                    break
                if left == 0:
                    victim.kill()
                    kills += 1
                    break
            else:
                pytest.fail("the victim ended before its work did")
        if line == "end\n":
            break

    assert victim.returncode == 0
    assert kills >= 2
    assert each_once(list(read(tmp_path / "stream")), EVENTS)
