"""Silent series (C19): told once per silence, not of a replay of old data, whatever fails on the way."""

from __future__ import annotations

from typing import Any

import pytest

from levada.archive.rollups import make_due
from levada.archive.silence import LOOK_BACK_US, Done, note
from levada.core import keys, parquet
from levada.core.errors import UnavailableError
from levada.core.findings import pk
from levada.domains.declaration import Domain, Metric, Time
from levadactl.memory import MemoryBlobStore, MemoryServingStore
from tests.unit.archive.gold import DOMAIN, Reading, emitted
from tests.unit.archive.test_rollups import UTC_CALENDAR, s, unlimited

SENSOR = Domain(
    name=DOMAIN,
    time=Time(columns=("t",), formats=("iso",)),
    metrics={"mm": Metric("mm")},
    constants={"series": "a"},
    silence_s=900,
)
NOON = s("2026-03-01T12:00")


def lake(*readings: Reading, generation: int = 1, into: MemoryBlobStore | None = None) -> MemoryBlobStore:
    blobs = into or MemoryBlobStore()
    emitted(blobs, generation, readings)
    make_due(blobs, UTC_CALENDAR, unlimited)
    return blobs


def run(blobs: MemoryBlobStore, serving: MemoryServingStore, at_s: float) -> Done:
    return note(blobs, serving, {DOMAIN: SENSOR}, int(at_s * 1_000_000))


def told(serving: MemoryServingStore) -> list[tuple[str, str, str]]:
    items = serving.query(pk("anomalies", "default", DOMAIN))
    return [(item["series"], item["sk"].partition("#")[0][11:16], item["rule"]) for item in items]


def test_a_series_without_values_for_longer_than_its_domain_allows_is_told_once() -> None:
    blobs, serving = lake(("a", NOON, 1.0), ("b", NOON + 600, 1.0)), MemoryServingStore()

    assert run(blobs, serving, NOON + 900).counts() == {"silent": 0, "noted": 0}
    assert run(blobs, serving, NOON + 901).counts() == {"silent": 1, "noted": 1}
    before = (dict(blobs.objects), dict(serving.items))
    assert run(blobs, serving, NOON + 1000).counts() == {"silent": 1, "noted": 0}
    assert (blobs.objects, serving.items) == before
    assert run(blobs, serving, NOON + 3600).counts() == {"silent": 2, "noted": 1}
    assert told(serving) == [("a", "12:00", "silent"), ("b", "12:10", "silent")]


def test_a_series_that_comes_back_may_fall_silent_again() -> None:
    blobs, serving = lake(("a", NOON, 1.0)), MemoryServingStore()
    run(blobs, serving, NOON + 1000)
    lake(("a", NOON + 1200, 2.0), generation=2, into=blobs)

    assert run(blobs, serving, NOON + 1300).counts() == {"silent": 0, "noted": 0}
    assert run(blobs, serving, NOON + 3000).counts() == {"silent": 1, "noted": 1}
    assert told(serving) == [("a", "12:00", "silent"), ("a", "12:20", "silent")]
    rows = parquet.from_bytes(blobs.objects[keys.silences(DOMAIN, "2026-03-01")]).to_pylist()
    assert [(row["value"], row["severity"], row["detail"]) for row in rows] == [
        (1.0, "error", "no value for more than 900 s"),
        (2.0, "error", "no value for more than 900 s"),
    ]


def test_rows_without_a_value_do_not_break_a_silence() -> None:
    blobs, serving = lake(("a", NOON, 1.0), ("a", NOON + 1200, None)), MemoryServingStore()

    assert run(blobs, serving, NOON + 1300).silent == 1


def test_a_replay_of_old_data_is_not_silent() -> None:
    blobs, serving = lake(("a", NOON, 1.0)), MemoryServingStore()

    assert run(blobs, serving, NOON + LOOK_BACK_US / 1_000_000 + 1).silent == 0
    assert run(blobs, serving, NOON + LOOK_BACK_US / 1_000_000).silent == 1


@pytest.mark.parametrize("part", ["table", "lake"])
def test_what_fails_is_told_and_made_good_by_the_next_run(part: str, monkeypatch: pytest.MonkeyPatch) -> None:
    blobs, serving = lake(("a", NOON, 1.0)), MemoryServingStore()

    def down(*_: Any, **__: Any) -> None:
        raise UnavailableError(f"{part} is down")

    with monkeypatch.context() as broken:
        broken.setattr(serving if part == "table" else blobs, "put" if part == "table" else "put_if", down)
        assert run(blobs, serving, NOON + 1000).failures == [f"silent series of {DOMAIN}: {part} is down"]

    assert run(blobs, serving, NOON + 1000).noted == 1
    assert told(serving) == [("a", "12:00", "silent")]
