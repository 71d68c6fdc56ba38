"""Retention of the lake (C13, C16, D21): what goes, when, in which order, and what nobody loses whatever crashes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext
from copy import deepcopy
from dataclasses import replace
from functools import cache
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from levada.archive import retention, rollups
from levada.archive.handler import handler
from levada.archive.retention import Done, load_ledger
from levada.config import Config
from levada.core import keys, lake, parquet
from levada.core.errors import UnavailableError
from levada.core.retention import DAY_S, Keep, parse
from levada.domains.air_quality import AIR_QUALITY
from levada.ports import Blob
from levada.wiring import using
from levadactl.loading import Lake
from levadactl.memory import MemoryBlobStore, MemoryDeps
from levadactl.verify import truth_of, verify
from tests.events.test_archive import order
from tests.unit.archive.test_rollups import UTC_CALENDAR, unlimited
from tests.unit.tools.pipeline import file_packs, generated
from tests.unit.tools.pipeline import run as load

DOMAIN = "air_quality"
LAYERS = ("silver", "gold", "anomalies", "rollups", "bronze", "quarantine")
DAYS = 5


@cache
def _loaded() -> dict[str, bytes]:
    memory = MemoryDeps(config=Config(domains_enabled=DOMAIN, bucket="lake", table="serving"))
    with using(memory):
        load(memory, [*file_packs(generated(24 * DAYS, seed=3)), b"no JSON"])
        handler(order(idle_after_s=0, rollups="due"), None)
    for layer in ("landing", "settings/limits", "checkpoints/other"):
        memory.blobs.put(f"{layer}/kept", b"x")
    return memory.blobs.objects


def loaded() -> tuple[MemoryBlobStore, float]:
    """Five days of 2004 that were loaded and rolled up just now, and when that was."""
    blobs, now_s = MemoryBlobStore(), MemoryDeps().clock.time_s
    blobs.objects = dict(_loaded())
    blobs.modified_s = dict.fromkeys(blobs.objects, now_s)
    return blobs, now_s


def retain(blobs: Any, now_s: float, setting: str = "", *, dry: bool = False) -> Done:
    return retention.Run(blobs, UTC_CALENDAR, Keep(parse(setting)), now_s, unlimited, dry=dry).all()


def layers(blobs: MemoryBlobStore) -> set[str]:
    return {key.partition("/")[0] for key in blobs.objects} & set(LAYERS)


def rolled(blobs: MemoryBlobStore) -> dict[str, bytes]:
    return {key: body for key, body in blobs.objects.items() if key.startswith("rollups/")}


def test_each_layer_goes_when_its_term_since_it_was_written_is_over_and_not_a_second_before() -> None:
    blobs, begun_s = loaded()
    assert layers(blobs) >= {"silver", "gold", "rollups", "bronze", "quarantine"}

    for days, gone in (
        (3, {"silver"}),
        (180, {"gold"}),
        (365, {"anomalies"}),
        (730, {"rollups", "quarantine"}),
        (731, {"bronze"}),  # of a day of arrival that ended then
    ):
        before = layers(blobs)
        retain(blobs, begun_s + days * DAY_S - 1)
        assert layers(blobs) == before
        assert retain(blobs, begun_s + days * DAY_S).waiting == []
        assert layers(blobs) == before - gone
    left = {key.partition("/")[0] for key in blobs.objects}
    assert left == {"landing", "settings", "checkpoints"}


def test_rollups_outlive_their_rows_and_are_never_made_from_less() -> None:
    """C14: neither the hourly run nor one that looks into every day changes them when silver and gold are gone."""
    blobs, begun_s = loaded()
    before = rolled(blobs)

    retain(blobs, begun_s + 180 * DAY_S)
    rollups.make_due(blobs, UTC_CALENDAR, unlimited)
    rollups.make(blobs, UTC_CALENDAR, DOMAIN, unlimited)

    assert not layers(blobs) & {"silver", "gold"}
    assert rolled(blobs) == before


def test_late_rows_of_a_day_that_is_gone_are_added_to_its_rollups() -> None:
    blobs, begun_s = loaded()
    [gold] = [key for key in blobs.objects if key.startswith(f"gold/domain={DOMAIN}/date=2004-03-12")][:1]
    late = parquet.from_bytes(blobs.objects[gold])
    count = _raw_rows(blobs)
    retain(blobs, begun_s + 180 * DAY_S)

    blobs.objects[gold.replace("-0000", "-9000")] = parquet.to_bytes(late)
    rollups.make_due(blobs, UTC_CALENDAR, unlimited)

    assert _raw_rows(blobs) == count + sum(late["count"].to_pylist()) + sum(late["missing"].to_pylist())


def _raw_rows(blobs: MemoryBlobStore) -> int:
    return sum(parquet.about(body)["raw_rows"] for key, body in rolled(blobs).items() if "period=1d" in key)


def test_silver_waits_for_rows_that_are_in_no_closed_window() -> None:
    """A window that is open, or an emission that is not out: gold has less than silver."""
    blobs, begun_s = loaded()
    [key, *_] = [key for key in blobs.objects if key.startswith(f"gold/domain={DOMAIN}/date=2004-03-12")]
    table = parquet.from_bytes(blobs.objects[key])
    blobs.objects[key] = parquet.to_bytes(table.slice(1))

    done = retain(blobs, begun_s + 3 * DAY_S)

    [why] = done.waiting
    assert why.startswith(f"silver {DOMAIN}/2004-03-12: closed windows lack 1 of 312 rows, 1 of series ")
    assert _days(blobs, "silver") == {"2004-03-12"}


def test_silver_and_gold_wait_for_rollups_that_do_not_hold_them() -> None:
    blobs, begun_s = loaded()
    del blobs.objects[keys.rollup(DOMAIN, "1h", "2004-03-11")]

    waiting = retain(blobs, begun_s + 180 * DAY_S).waiting

    assert waiting[0] == f"silver {DOMAIN}/2004-03-11: rollup 1h/2004-03-11 is not there"
    assert f"gold {DOMAIN}/2004-03-11: its silver is there" in waiting
    assert _days(blobs, "silver") == _days(blobs, "gold") == {"2004-03-11"}
    rollups.make(blobs, UTC_CALENDAR, DOMAIN, unlimited)
    assert retain(blobs, begun_s + 180 * DAY_S).waiting == []
    assert not layers(blobs) & {"silver", "gold"}


def test_a_rollup_for_another_time_zone_holds_nothing_up_but_what_it_should() -> None:
    from zoneinfo import ZoneInfo

    blobs, begun_s = loaded()
    calendar = replace(UTC_CALENDAR, zone=ZoneInfo("Europe/Rome"))

    done = retention.Run(blobs, calendar, Keep(), begun_s + 3 * DAY_S, unlimited, dry=False).all()

    assert len(done.waiting) == len(_days(blobs, "silver"))
    assert "was made for time zone UTC, not Europe/Rome" in done.waiting[0]


def test_bronze_waits_while_anything_of_its_domain_does() -> None:
    """It is what could repair it."""
    blobs, begun_s = loaded()
    del blobs.objects[keys.rollup(DOMAIN, "1h", "2004-03-11")]

    retain(blobs, begun_s + 5000 * DAY_S)

    assert _days(blobs, "bronze")
    assert "quarantine" not in layers(blobs)


def test_one_object_that_was_written_later_keeps_its_day_whole() -> None:
    blobs, begun_s = loaded()
    key = next(key for key in blobs.objects if "silver/" in key and "2004-03-12" in key)
    blobs.modified_s[key] += 10

    retain(blobs, begun_s + 3 * DAY_S)
    assert _days(blobs, "silver") == {"2004-03-12"}
    retain(blobs, begun_s + 3 * DAY_S + 10)
    assert _days(blobs, "silver") == set()


def test_a_day_of_today_goes_by_its_own_end_however_early_it_was_written() -> None:
    blobs, _ = loaded()
    blobs.modified_s = dict.fromkeys(blobs.objects, 0.0)
    end_s = 1_079_049_600.0  # 2004-03-12

    retain(blobs, end_s + 3 * DAY_S - 1)
    assert "2004-03-11" in _days(blobs, "silver")
    retain(blobs, end_s + 3 * DAY_S)
    assert "2004-03-11" not in _days(blobs, "silver")
    assert "2004-03-12" in _days(blobs, "silver")


def test_what_is_kept_for_ever_stays_and_so_does_what_is_made_of_it() -> None:
    blobs, begun_s = loaded()

    retain(blobs, begun_s + 9000 * DAY_S, "raw=forever")

    assert layers(blobs) >= {"silver", "gold", "rollups", "bronze"}


def test_a_dry_run_says_what_the_run_then_does_and_changes_nothing() -> None:
    blobs, begun_s = loaded()
    before = dict(blobs.objects)

    said = retain(blobs, begun_s + 180 * DAY_S, dry=True).counts()
    assert blobs.objects == before
    done = retain(blobs, begun_s + 180 * DAY_S).counts()

    assert said == done
    gone = before.keys() - blobs.objects.keys()
    assert (done["objects"], done["bytes"]) == (len(gone), sum(len(before[key]) for key in gone))
    assert [(row["layer"], row["partitions"], row["first"]) for row in done["rows"]][:2] == [
        ("silver", 6, "2004-03-10"),
        ("gold", 6, "2004-03-10"),
    ]


def test_the_ledger_tells_what_was_deleted_by_which_policy_and_when() -> None:
    blobs, begun_s = loaded()
    mine = [key for key in blobs.objects if key.startswith(f"silver/domain={DOMAIN}/date=2004-03-12/")]
    size = sum(len(blobs.objects[key]) for key in mine)

    retain(blobs, begun_s + 3 * DAY_S)

    ledger, _ = load_ledger(blobs, keys.retention_ledger("silver", DOMAIN))
    assert ledger["2004-03-12"] == [
        {"at": "2026-01-04T00:00:00Z", "objects": len(mine), "bytes": size, "policy": "raw=72h"}
    ]


def test_a_run_out_of_time_deletes_nothing_whose_dependants_it_has_not_seen() -> None:
    blobs, begun_s = loaded()
    left = iter([100.0, 100.0, *[0.0] * 1000])

    done = retention.Run(blobs, UTC_CALENDAR, Keep(), begun_s + 9000 * DAY_S, lambda: next(left), dry=False).all()

    assert done.left
    assert len(done.gone) == 2
    assert {one.layer for one in done.gone} == {"silver"}
    retain(blobs, begun_s + 9000 * DAY_S)
    assert layers(blobs) == set()


def test_a_disabled_deployment_deletes_nothing_but_tells_what_it_would() -> None:
    memory = MemoryDeps(config=Config(domains_enabled=DOMAIN, bucket="lake", table="serving"))
    memory.blobs, _ = loaded()
    memory.clock.time_s += 9000 * DAY_S
    before = dict(memory.blobs.objects)
    with using(memory):
        assert handler(order(retention="due"), None)["retention"] == {"enabled": False}
        told = handler(order(retention="look"), None)["retention"]
        assert (told["enabled"], told["dry"], told["waiting"]) == (False, True, 0)
        assert told["objects"] == len([key for key in before if key.partition("/")[0] in LAYERS])
        assert memory.blobs.objects == before
        memory.config = replace(memory.config, retention="ENABLED")
        assert handler(order(retention="due"), None)["retention"]["objects"] == told["objects"]
    assert layers(memory.blobs) == set()


def test_verify_compares_the_days_that_are_left() -> None:
    blobs, begun_s = loaded()
    memory = MemoryDeps()
    store = Lake(blobs, memory.serving)
    memory.blobs = blobs
    truth = truth_of(store, AIR_QUALITY, file=None)
    key = next(key for key in blobs.objects if "silver/" in key and "2004-03-12" in key)
    blobs.modified_s[key] += 10

    retain(blobs, begun_s + 3 * DAY_S)
    report = verify(store, AIR_QUALITY, truth, source="bronze")
    assert (report.silver.mismatches, report.gold.mismatches) == (0, 0)
    assert report.silver.distinct == 312
    assert report.retained.counts() == {"gold": 0, "serving": 0, "silver": 5}
    blobs.objects[key] = parquet.to_bytes(parquet.from_bytes(blobs.objects[key]).slice(1))
    assert verify(store, AIR_QUALITY, truth, source="bronze").silver.mismatches > 0

    retain(blobs, begun_s + 180 * DAY_S + 10)
    report = verify(store, AIR_QUALITY, truth, source="bronze", keep=Keep(), now_s=begun_s + 180 * DAY_S + 10)
    assert (report.mismatches, report.retained.counts()) == (0, {"gold": 6, "serving": 6, "silver": 6})


def _days(blobs: MemoryBlobStore, layer: str) -> set[str]:
    return {day for _, day, _ in lake.partitions(blobs.list(f"{layer}/"))}


class Died(BaseException):
    """The process is gone; no handler catches it."""


class Mortal:
    """A store on which a run dies at its n-th write or delete: before it, after it, or half-way through a delete."""

    def __init__(self, blobs: MemoryBlobStore, nth: int, how: str) -> None:
        self._blobs, self._left, self._how = blobs, nth, how

    def __getattr__(self, name: str) -> Any:
        return getattr(self._blobs, name)

    def put_if(self, key: str, body: bytes, *, etag: str | None) -> str:
        return str(self._write(lambda: self._blobs.put_if(key, body, etag=etag)))

    def delete(self, names: Iterable[str]) -> None:
        listed = list(names)
        if self._left == 0 and self._how == "half":
            self._blobs.delete(listed[: len(listed) // 2])
            raise Died
        self._write(lambda: self._blobs.delete(listed))

    def _write(self, act: Callable[[], Any]) -> Any:
        self._left -= 1
        if self._left == -1 and self._how != "after":
            raise Died
        found = act()
        if self._left == -1:
            raise Died
        return found


CRASHES = st.lists(st.tuples(st.integers(0, 25), st.sampled_from(["before", "after", "half"])), max_size=3)
TERMS = st.sampled_from([3, 4, 180, 181, 365, 730, 731])


@settings(max_examples=40, deadline=None)
@given(CRASHES, st.lists(TERMS, min_size=1, max_size=3))
def test_wherever_runs_die_rows_go_only_when_the_rollups_hold_them(
    crashes: list[tuple[int, str]], terms: list[int]
) -> None:
    blobs, begun_s = loaded()
    expected = rolled(blobs)
    for days in sorted(terms):
        now_s = begun_s + days * DAY_S
        for nth, how in crashes:
            with pytest.raises(Died) if _dies(blobs, now_s, nth, how) else nullcontext():
                retain(Mortal(blobs, nth, how), now_s)
            _nothing_is_lost(blobs, expected, days)
        assert retain(blobs, now_s).waiting == []
        _nothing_is_lost(blobs, expected, days)
    calm, _ = loaded()
    retain(calm, begun_s + max(terms) * DAY_S)
    assert blobs.objects.keys() == calm.objects.keys()


def _dies(blobs: MemoryBlobStore, now_s: float, nth: int, how: str) -> bool:
    trial = deepcopy(blobs)
    try:
        retain(Mortal(trial, nth, how), now_s)
    except Died:
        return True
    return False


def _nothing_is_lost(blobs: MemoryBlobStore, expected: dict[str, bytes], days: int) -> None:
    """What is gone of a day is gone in order, and everything gone is in the ledger."""
    there = {layer: _days(blobs, layer) for layer in ("silver", "gold")}
    assert there["silver"] <= there["gold"]
    if days < 730:
        assert rolled(blobs) == expected
    for layer in ("silver", "gold", "bronze"):
        noted, _ = load_ledger(blobs, keys.retention_ledger(layer, DOMAIN))
        all_days = {
            key.split("date=")[1].partition("/")[0] for key in _loaded() if key.startswith(f"{layer}/domain={DOMAIN}")
        }
        assert all_days - _days(blobs, layer) <= noted.keys()


def test_rows_that_come_while_a_day_is_deleted_stay() -> None:
    blobs, begun_s = loaded()
    key = next(key for key in blobs.objects if "silver/" in key and "2004-03-12" in key)
    fresh = f"{key.rpartition('-')[0]}-{'9' * 56}.parquet"
    put_if = blobs.put_if

    def beside(at: str, body: bytes, *, etag: str | None) -> str:
        blobs.put(fresh, blobs.objects.get(key, b""))
        return put_if(at, body, etag=etag)

    blobs.put_if = beside  # type: ignore[assignment,method-assign]
    retain(blobs, begun_s + 3 * DAY_S)

    assert [one for one in blobs.objects if one.startswith("silver/")] == [fresh]


def test_of_two_runs_at_once_one_leaves_the_partition_to_the_other() -> None:
    blobs, begun_s = loaded()
    put_if, overtaken = blobs.put_if, [False]

    def beside(at: str, body: bytes, *, etag: str | None) -> str:
        if not overtaken[0]:
            overtaken[0] = True
            retain(blobs, begun_s + 3 * DAY_S)
        return put_if(at, body, etag=etag)

    blobs.put_if = beside  # type: ignore[assignment,method-assign]
    done = retain(blobs, begun_s + 3 * DAY_S)

    assert (done.conflicts, layers(blobs) & {"silver"}) == (1, set())
    ledger, _ = load_ledger(blobs, keys.retention_ledger("silver", DOMAIN))
    assert len(ledger) == DAYS + 1


def test_an_outage_is_told_and_the_rest_goes_on() -> None:
    blobs, begun_s = loaded()
    delete = blobs.delete

    def refuses(names: Iterable[str]) -> None:
        listed = list(names)
        if "2004-03-11" in listed[0]:
            raise UnavailableError("S3 is down")
        delete(listed)

    blobs.delete = refuses  # type: ignore[assignment,method-assign]
    done = retain(blobs, begun_s + 3 * DAY_S)

    assert done.failures == [f"retention of silver {DOMAIN}/2004-03-11: S3 is down"]
    assert _days(blobs, "silver") == {"2004-03-11"}


def test_objects_of_somebody_else_are_left_alone() -> None:
    class Strange(MemoryBlobStore):
        def list(self, prefix: str) -> Iterator[Blob]:
            return super().list(prefix)

    blobs = Strange()
    for key in ("rollups/notes.txt", "rollups/domain=a/period=1d/today.parquet", "quarantine/readme"):
        blobs.put(key, b"x")

    retain(blobs, 1e10)

    assert len(blobs.objects) == 3
