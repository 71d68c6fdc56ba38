"""Seeing a file through: what a load waits for, and what it says when nothing moves any more."""

from __future__ import annotations

import json
import re
from types import SimpleNamespace
from typing import Any

import pytest

from levada.core import keys
from levadactl.loading import TENANT, UNEMITTED, Lake, Load, LoadError, Streams
from levadactl.memory import MemoryBlobStore, MemoryServingStore

CONTENT = "ab" * 32
LEDGER = {"done": True, "counts": {"rows_read": 7}}


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Seconds, which pass only where the load sleeps."""
    now = [0.0]
    passing = SimpleNamespace(monotonic=lambda: now[0], sleep=lambda s: now.__setitem__(0, now[0] + s))
    monkeypatch.setattr("levadactl.loading.time", passing)  # there alone: other threads of this process have their own
    return now


def a_load(ledger: dict[str, Any] | None = None) -> Load:
    lake = Lake(MemoryBlobStore(), MemoryServingStore())
    if ledger is not None:
        lake.blobs.put(keys.ledger("air_quality", TENANT, CONTENT), json.dumps(ledger).encode())
    place: Any = None
    return Load(lake, place, "air_quality", CONTENT, "landing/air_quality/a.csv")


def test_a_tick_of_archive_is_waited_for(clock: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    """What aggregate could not emit behind its last batch comes with the schedule: two minutes later at worst."""
    monkeypatch.setattr(Streams, "awaited", lambda _: "" if clock[0] > 2 * 60 + 10 else UNEMITTED)

    assert a_load(LEDGER).wait(known=None) == LEDGER


@pytest.mark.parametrize(("ledger", "awaited"), [(None, "ingest to load the file"), (LEDGER, UNEMITTED)])
def test_a_load_that_is_stuck_says_what_it_waits_for_and_where_to_look(
    clock: list[float], monkeypatch: pytest.MonkeyPatch, ledger: dict[str, Any] | None, awaited: str
) -> None:
    monkeypatch.setattr(Streams, "awaited", lambda _: UNEMITTED)

    with pytest.raises(
        LoadError, match=rf"nothing has moved for 180 s at: .*; waiting for {re.escape(awaited)}; see .*dlq ls"
    ):
        a_load(ledger).wait(known=None)
    assert clock[0] == pytest.approx(180, abs=1)


def test_a_change_of_what_is_waited_for_is_a_move(clock: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    stages = ["clean to read the raw stream to its end", "aggregate to read the clean stream to its end", UNEMITTED, ""]
    monkeypatch.setattr(Streams, "awaited", lambda _: stages[int(clock[0] // 150)])

    assert a_load(LEDGER).wait(known=None) == LEDGER
    assert clock[0] == pytest.approx(450, abs=1)


def test_a_file_that_was_loaded_before_is_waited_for_anew(clock: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    """Its ledger is there and done: only a change of it says that this upload has been looked at."""
    monkeypatch.setattr(Streams, "awaited", lambda _: "")

    with pytest.raises(LoadError, match="waiting for ingest"):
        a_load(LEDGER).wait(known=LEDGER)
    assert a_load({**LEDGER, "duplicates": 1}).wait(known=LEDGER)["duplicates"] == 1
    assert clock[0] == pytest.approx(180, abs=1)
