"""KPI by the schedule (D15, D16): from rollups and specification limits, cut where a limit begins or ends."""

from __future__ import annotations

import math
import statistics
from typing import Any

import pytest

from levada.archive import kpi as making
from levada.archive.kpi import Done
from levada.archive.rollups import make_due
from levada.core import keys, limits, parquet
from levada.core.kpi import HOURS, MOVING_RANGE, WINDOWS
from levada.core.limits import CONTROL, SPECIFICATION, Limit
from levadactl.memory import MemoryBlobStore
from tests.unit.archive.gold import DOMAIN, HOUR_S, Reading, emitted
from tests.unit.archive.test_rollups import BERLIN, UTC_CALENDAR, s, unlimited


def specify(blobs: MemoryBlobStore, *found: Limit, tenant: str = "default") -> None:
    register = limits.load(blobs, DOMAIN, tenant)
    for one in found:
        register.add(one)
    limits.store(blobs, DOMAIN, tenant, register)


def mm(lower: float | None = 0.0, upper: float | None = 30.0, *, since: str = "2000-01-01", until: str = "") -> Limit:
    ends = s(until) * 1_000_000 if until else None
    return Limit(kind=SPECIFICATION, metric="mm", lower=lower, upper=upper, from_us=s(since) * 1_000_000, until_us=ends)


def run(blobs: MemoryBlobStore, calendar: Any = UTC_CALENDAR) -> Done:
    rolled = make_due(blobs, calendar, unlimited)
    done = Done()
    making.make(blobs, calendar, DOMAIN, unlimited, done)
    assert (rolled.failures, done.failures) == ([], [])
    return done


def held(blobs: MemoryBlobStore, period: str) -> list[dict[str, Any]]:
    found = [parquet.from_bytes(blobs.objects[b.key]) for b in blobs.list(keys.kpi_prefix(DOMAIN, period))]
    return [row for table in found for row in table.to_pylist()]


def readings(day: str, values: list[float], every_s: int = 10, series: str = "a") -> list[Reading]:
    return [(series, s(day) + i * every_s, v) for i, v in enumerate(values)]


VALUES = [14.0, 15.0, 16.0, 15.5, 13.0, 17.0, 18.0, 15.0, 14.5, 16.5, 15.0, 14.0]


def test_a_day_of_values_has_the_capability_that_the_formulas_give() -> None:
    blobs = MemoryBlobStore()
    specify(blobs, mm(8.0, 20.0))
    emitted(blobs, 1, readings("2024-01-01", VALUES))  # six to a window of 60 s

    done = run(blobs)

    [row] = held(blobs, "1d")
    windows = [VALUES[:6], VALUES[6:]]
    within = math.sqrt(sum(statistics.variance(w) for w in windows) / 2)
    mean, overall = statistics.fmean(VALUES), statistics.stdev(VALUES)
    assert (row["n"], row["within"]) == (12, WINDOWS)
    assert row["cp"] == pytest.approx(12 / (6 * within))
    assert row["cpk"] == pytest.approx(min(20 - mean, mean - 8) / (3 * within))
    assert row["pp"] == pytest.approx(12 / (6 * overall))
    assert row["ppk"] == pytest.approx(min(20 - mean, mean - 8) / (3 * overall))
    assert (done.objects, done.rows) == (3, 3)
    assert len(held(blobs, "1w")) == len(held(blobs, "1mo")) == 1


def test_without_specification_limits_nothing_is_made() -> None:
    blobs = MemoryBlobStore()
    specify(blobs, Limit(kind=CONTROL, metric="mm", upper=9.0), Limit(kind=SPECIFICATION, metric="kg", upper=1))
    specify(blobs, mm(), tenant="another")
    emitted(blobs, 1, readings("2024-01-01", VALUES))

    assert run(blobs).objects == 0
    assert not held(blobs, "1d")


def test_a_period_is_cut_where_the_limits_change_and_has_no_kpi_where_none_holds() -> None:
    """The days of January have means 1, 2, 3 …: each piece has its own values and limits."""
    blobs = MemoryBlobStore()
    specify(blobs, mm(0, 9, since="2024-01-03", until="2024-01-05"), mm(0, 99, since="2024-01-05", until="2024-01-08"))
    emitted(blobs, 1, [r for d in range(1, 11) for r in readings(f"2024-01-{d:02d}", [d - 0.5, d + 0.5])])

    run(blobs)

    found = [(r["window_start"].day, r["window_end"].day, r["n"], r["mean"], r["upper"]) for r in held(blobs, "1mo")]
    assert found == [(3, 5, 4, 3.5, 9.0), (5, 8, 6, 6.0, 99.0)]
    assert [row["n"] for row in held(blobs, "1d")] == [2] * 5


def test_sigma_within_comes_from_hours_or_neighbours_where_windows_hold_one_row() -> None:
    blobs = MemoryBlobStore()
    specify(blobs, mm())
    minutes = readings("2024-01-01", [1.0, 3.0, 5.0, 3.0], every_s=1200, series="minutes")  # three fall into an hour
    emitted(blobs, 1, [*minutes, *readings("2024-01-01", [10.0, 12.0, 11.0, 14.0], every_s=HOUR_S, series="hours")])

    run(blobs)

    found = {row["series"]: (row["within"], row["stddev_within"]) for row in held(blobs, "1d")}
    assert found["minutes"] == (HOURS, pytest.approx(statistics.stdev([1.0, 3.0, 5.0])))
    assert found["hours"] == (MOVING_RANGE, pytest.approx(2 / 1.128))


def test_what_has_not_changed_is_not_made_again_and_what_has_is() -> None:
    blobs = MemoryBlobStore()
    specify(blobs, mm())
    emitted(blobs, 1, readings("2024-01-01", VALUES))
    run(blobs)
    before = dict(blobs.objects)

    assert run(blobs).objects == 0
    assert blobs.objects == before
    emitted(blobs, 2, readings("2024-01-01", [99.0]))
    assert run(blobs).objects == 3
    assert [row["n"] for row in held(blobs, "1d")] == [13]
    register = limits.load(blobs, DOMAIN, "default")
    register.end(mm().place, s("2023-01-01") * 1_000_000)
    limits.store(blobs, DOMAIN, "default", register)
    assert run(blobs).objects == 3
    assert held(blobs, "1d") == []


def test_where_hours_are_gone_the_kpi_stays_as_it_is() -> None:
    blobs = MemoryBlobStore()
    specify(blobs, mm(since="2024-01-03"))
    emitted(blobs, 1, [r for d in range(1, 11) for r in readings(f"2024-01-{d:02d}", [d - 0.5, d + 0.5])])
    run(blobs)
    before = held(blobs, "1mo")
    blobs.delete([keys.rollup(DOMAIN, "1h", "2024-01-04")])

    done = Done()
    making.make(blobs, UTC_CALENDAR, DOMAIN, unlimited, done)

    assert held(blobs, "1mo") == before
    assert (done.kept, done.failures) == (2, [])  # the week and the month, which a limit cuts; days are whole


def test_periods_of_a_zone_have_kpi_of_that_zone() -> None:
    blobs = MemoryBlobStore()
    specify(blobs, mm())
    emitted(blobs, 1, readings("2026-10-24T22:00", [float(i % 5) for i in range(50)], every_s=HOUR_S))

    run(blobs, BERLIN)

    found = [(row["window_start"].strftime("%dT%H"), row["n"]) for row in held(blobs, "1d")]
    assert found == [("24T22", 25), ("25T23", 24), ("26T23", 1)]


def test_tenants_have_limits_of_their_own() -> None:
    blobs = MemoryBlobStore()
    specify(blobs, mm(0, 20), tenant="a")
    specify(blobs, mm(0, 40), tenant="b/c")
    for n, tenant in enumerate(("a", "b/c", "d")):
        emitted(blobs, n, readings("2024-01-01", VALUES), tenant=tenant)

    run(blobs)

    assert {row["tenant"]: row["upper"] for row in held(blobs, "1mo")} == {"a": 20.0, "b/c": 40.0}
