"""The ledger survives being written, and refuses what another version wrote."""

from __future__ import annotations

import json
from collections import Counter

import pytest

from levada.core.errors import ConfigError
from levada.ingest.ledger import MAX_NAMES, Ledger, Plan, Progress, begin

PLAN = Plan("csv", "gzip", 4096, 100, 500)


def ledger() -> Ledger:
    found = begin(PLAN, 1_700_000_000, Progress(offset=9, line=2, counts=Counter(lines=1, bytes=99)))
    found.seen_as("landing/tiny/a.csv")
    found.progress.offset, found.progress.positions[17] = 300, 4
    found.progress.counts["rows_read"] = 12
    return found


def test_what_is_written_is_read_again() -> None:
    written = ledger()

    read = Ledger.from_bytes(written.to_bytes())

    assert read == written
    assert read.to_bytes() == written.to_bytes()
    assert json.loads(written.to_bytes())["stream"] == {"created_s": 1_700_000_000}


def test_a_restart_goes_back_to_the_first_block_and_keeps_the_plan() -> None:
    found = ledger()
    found.done, found.duplicates = True, 3

    found.restart(1_800_000_000)

    assert (found.progress, found.done, found.created_s) == (found.started, False, 1_800_000_000)
    assert (found.plan, found.duplicates, found.names) == (PLAN, 3, ["landing/tiny/a.csv"])
    assert found.progress is not found.started


def test_names_are_kept_once_and_not_without_end() -> None:
    found = ledger()

    for i in range(30):
        found.seen_as(f"landing/tiny/{i % 25}.csv")

    assert len(found.names) == len(set(found.names)) == MAX_NAMES


@pytest.mark.parametrize("body", [b'{"v":2}', b"{}", b"[]"])
def test_a_ledger_of_another_version_is_not_guessed_at(body: bytes) -> None:
    with pytest.raises(ConfigError, match="this version reads v=1"):
        Ledger.from_bytes(body)
