"""Rollups (C14): merged from gold, each gold object exactly once, and never made anew from less."""

from __future__ import annotations

import math
import statistics
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from levada.archive import rollups as making
from levada.archive.rollups import RESERVE_S, make, make_due
from levada.core import editions, keys, rollups
from levada.core.errors import ConfigError, UnavailableError
from levada.core.periods import PERIODS, Calendar
from levada.core.positions import ShardToken
from levadactl.memory import MemoryBlobStore
from tests.unit.archive.gold import DOMAIN, HOUR_S, TOKEN, Reading, emitted, partials

UTC_CALENDAR = Calendar(ZoneInfo("UTC"))
BERLIN = Calendar(ZoneInfo("Europe/Berlin"))
DAY_S = 86_400


def s(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp())


def unlimited() -> float:
    return 1e9


def held(blobs: MemoryBlobStore, period: str) -> dict[tuple[str, str], dict[str, Any]]:
    """(series, start) → row of all objects of a period."""
    found = [rollups.from_bytes(blobs.objects[b.key]) for b in blobs.list(keys.rollup_prefix(DOMAIN, period))]
    rows = pa.concat_tables(found).to_pylist() if found else []
    out = {(r["series"], r["window_start"].strftime("%Y-%m-%dT%H:%M")): r for r in rows}
    assert len(out) == len(rows)
    return out


def hourly(first: str, hours: int, series: str = "a") -> list[Reading]:
    return [(series, s(first) + i * HOUR_S, float(i % 17)) for i in range(hours)]


class Flaky(MemoryBlobStore):
    """Fails at one of its puts, before or after it took effect."""

    def __init__(self, at: int, *, after: bool) -> None:
        super().__init__()
        self.at, self.after, self.count, self.armed = at, after, 0, False

    def put_if(self, key: str, body: bytes, *, etag: str | None) -> str:
        if not self.armed:
            return super().put_if(key, body, etag=etag)
        self.count += 1
        if self.count == self.at and not self.after:
            raise SystemExit("killed before a put")
        done = super().put_if(key, body, etag=etag)
        if self.count == self.at:
            raise SystemExit("killed after a put")
        return done


def test_readings_become_rows_of_all_four_periods() -> None:
    blobs, readings = MemoryBlobStore(), hourly("2024-02-26", 24 * 10)
    emitted(blobs, 1, readings)

    done = make_due(blobs, UTC_CALENDAR, unlimited)

    assert (done.failures, done.days, done.gold, done.objects) == ([], 10, 10, 10 + 2 + 2 + 2)
    assert len(held(blobs, "1h")) == 240
    assert held(blobs, "1d")["a", "2024-02-29T00:00"]["count"] == 24
    weeks, months = held(blobs, "1w"), held(blobs, "1mo")
    assert {start: row["count"] for (_, start), row in weeks.items()} == {
        "2024-02-26T00:00": 168,
        "2024-03-04T00:00": 72,
    }
    assert {start: row["count"] for (_, start), row in months.items()} == {
        "2024-02-01T00:00": 96,
        "2024-03-01T00:00": 144,
    }
    values = [v for _, t, v in readings if v is not None and t < s("2024-03-01")]
    february = months["a", "2024-02-01T00:00"]
    assert february["width_s"] == 29 * DAY_S
    assert february["mean"] == pytest.approx(statistics.fmean(values))
    assert math.sqrt(february["m2"] / (february["count"] - 1)) == pytest.approx(statistics.stdev(values))
    assert (february["first"], february["last"]) == (values[0], values[-1])


def test_a_local_day_has_25_hours_when_clocks_go_back_and_its_neighbours_24() -> None:
    blobs = MemoryBlobStore()
    emitted(blobs, 1, hourly("2026-10-23T22:00", 24 + 25 + 24))

    make_due(blobs, BERLIN, unlimited)

    found = {start: (row["count"], row["width_s"] // HOUR_S) for (_, start), row in held(blobs, "1d").items()}
    assert found == {"2026-10-23T22:00": (24, 24), "2026-10-24T22:00": (25, 25), "2026-10-25T23:00": (24, 24)}
    assert held(blobs, "1mo")["a", "2026-09-30T22:00"]["count"] == 73


def test_where_days_do_not_begin_on_the_hour_they_are_merged_from_the_windows_themselves() -> None:
    blobs, zone = MemoryBlobStore(), Calendar(ZoneInfo("Asia/Kolkata"))
    emitted(blobs, 1, [("a", s("2026-01-01T18:00") + 60 * i, 1.0) for i in range(60)])

    make_due(blobs, zone, unlimited)

    found = {start: row["count"] for (_, start), row in held(blobs, "1d").items()}
    assert found == {"2025-12-31T18:30": 30, "2026-01-01T18:30": 30}


def test_a_second_run_changes_nothing_and_reads_no_gold() -> None:
    blobs = MemoryBlobStore()
    emitted(blobs, 1, hourly("2024-01-01", 48))
    make_due(blobs, UTC_CALENDAR, unlimited)
    before = dict(blobs.objects)

    done = make_due(blobs, UTC_CALENDAR, unlimited)
    looked = make(blobs, UTC_CALENDAR, DOMAIN, unlimited)

    assert blobs.objects == before
    assert done.counts() == {"days": 0, "gold": 0, "objects": 0, "conflicts": 0, "left": 0}
    assert looked.counts() == {"days": 2, "gold": 0, "objects": 0, "conflicts": 0, "left": 0}


def test_a_late_revision_is_merged_into_the_rollups_that_it_belongs_to() -> None:
    blobs = MemoryBlobStore()
    emitted(blobs, 1, hourly("2024-01-01", 48))
    make_due(blobs, UTC_CALENDAR, unlimited)
    emitted(blobs, 2, [("a", s("2024-01-01T05:30"), 100.0)])

    done = make_due(blobs, UTC_CALENDAR, unlimited)

    assert (done.gold, done.objects) == (1, 4)
    assert held(blobs, "1h")["a", "2024-01-01T05:00"]["count"] == 2
    assert [row["max"] for row in held(blobs, "1d").values()] == [100.0, 16.0]
    assert held(blobs, "1mo")["a", "2024-01-01T00:00"]["count"] == 49


def test_a_rollup_outlives_its_gold_and_takes_up_what_comes_later() -> None:
    """The fault that hurts users of other stores: a rollup refreshed after its raw rows are gone loses them."""
    blobs = MemoryBlobStore()
    emitted(blobs, 1, hourly("2024-01-01", 24))
    make_due(blobs, UTC_CALENDAR, unlimited)
    before = {k: v for k, v in blobs.objects.items() if k.startswith(keys.ROLLUPS)}
    blobs.delete([b.key for b in list(blobs.list("gold/"))])

    make_due(blobs, UTC_CALENDAR, unlimited)
    make(blobs, UTC_CALENDAR, DOMAIN, unlimited)

    assert {k: v for k, v in blobs.objects.items() if k.startswith(keys.ROLLUPS)} == before
    emitted(blobs, 2, [("a", s("2024-01-01T05:30"), 100.0)])
    make_due(blobs, UTC_CALENDAR, unlimited)
    for period in PERIODS[1:]:
        assert [row["count"] for row in held(blobs, period).values()] == [25], period


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("at", range(1, 10))
def test_a_crash_before_or_after_any_put_is_made_good_by_the_next_run(at: int, after: bool) -> None:
    blobs = Flaky(at, after=after)
    emitted(blobs, 1, hourly("2024-01-30", 72))
    emitted(blobs, 2, [("b", s("2024-01-31T12:00"), 7.0)])
    blobs.armed = True
    with pytest.raises(SystemExit):
        make_due(blobs, UTC_CALENDAR, unlimited)
    blobs.armed = False

    make_due(blobs, UTC_CALENDAR, unlimited)

    for period, count in (("1h", [1] * 73), ("1d", [24, 24, 24, 1]), ("1w", [72, 1]), ("1mo", [48, 24, 1])):
        assert sorted(row["count"] for row in held(blobs, period).values()) == sorted(count), period


def test_of_two_runs_at_once_one_wins_each_object_and_nothing_counts_twice() -> None:
    class Beside(MemoryBlobStore):
        """Another run does all its work just before our first put."""

        other: Any = None

        def put_if(self, key: str, body: bytes, *, etag: str | None) -> str:
            if self.other is not None:
                run, self.other = self.other, None
                run()
            return super().put_if(key, body, etag=etag)

    blobs = Beside()
    emitted(blobs, 1, hourly("2024-01-01", 24))
    blobs.other = lambda: make_due(blobs, UTC_CALENDAR, unlimited)

    done = make_due(blobs, UTC_CALENDAR, unlimited)

    assert (done.conflicts, done.objects, done.failures) == (4, 0, [])
    make(blobs, UTC_CALENDAR, DOMAIN, unlimited)
    assert [row["count"] for row in held(blobs, "1mo").values()] == [24]


def test_when_the_time_runs_out_what_is_done_is_kept_and_the_rest_follows() -> None:
    blobs, left = MemoryBlobStore(), iter([100.0] * 4 + [RESERVE_S - 1] * 100)
    emitted(blobs, 1, hourly("2024-01-01", 24 * 5))

    done = make_due(blobs, UTC_CALENDAR, lambda: next(left))

    assert (done.days, done.left) == (2, 3)
    assert [row["count"] for row in held(blobs, "1mo").values()] == [48]
    make_due(blobs, UTC_CALENDAR, unlimited)
    assert [row["count"] for row in held(blobs, "1mo").values()] == [120]


def test_gold_is_read_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(making, "MAX_OBJECTS", 2)
    blobs = MemoryBlobStore()
    for n in range(5):
        emitted(blobs, n, [("a", s("2024-01-01") + n, 1.0)])

    assert make_due(blobs, UTC_CALENDAR, unlimited).gold == 5
    assert [row["count"] for row in held(blobs, "1d").values()] == [5]


def test_gold_that_cannot_be_read_is_named_and_holds_up_nothing_else() -> None:
    blobs = MemoryBlobStore()
    emitted(blobs, 1, hourly("2024-01-01", 24))
    broken = keys.gold(DOMAIN, "2024-01-01", TOKEN, 2)
    blobs.put(broken, b"PAR1 not really")

    done = make_due(blobs, UTC_CALENDAR, unlimited)

    assert len(done.failures) == 1
    assert broken in done.failures[0]
    assert [row["count"] for row in held(blobs, "1d").values()] == [24]
    assert make_due(blobs, UTC_CALENDAR, unlimited).failures == done.failures


def test_an_outage_is_told_and_made_good() -> None:
    class Down(MemoryBlobStore):
        def put_if(self, key: str, body: bytes, *, etag: str | None) -> str:
            if "period=1w" in key and self.down:
                raise UnavailableError("slow down")
            self.down, was = False, self.down
            done = super().put_if(key, body, etag=etag)
            self.down = was
            return done

        def _check(self) -> None:
            return

    blobs = Down()
    emitted(blobs, 1, hourly("2024-01-01", 24))
    blobs.down = True
    assert [line.split(":")[0] for line in make_due(blobs, UTC_CALENDAR, unlimited).failures] == [
        keys.rollup(DOMAIN, "1w", "2024-W01")
    ]
    blobs.down = False

    make_due(blobs, UTC_CALENDAR, unlimited)
    assert [row["count"] for row in held(blobs, "1w").values()] == [24]


def test_another_time_zone_does_not_mix_with_what_was_made_for_the_first() -> None:
    blobs = MemoryBlobStore()
    emitted(blobs, 1, hourly("2024-01-01", 24))
    make_due(blobs, UTC_CALENDAR, unlimited)
    before = held(blobs, "1d")
    emitted(blobs, 2, [("a", s("2024-01-01T05:30"), 100.0)])

    done = make_due(blobs, BERLIN, unlimited)

    assert held(blobs, "1d") == before
    assert any("UTC, LEVADA_TIMEZONE is Europe/Berlin" in line for line in done.failures)
    assert held(blobs, "1h")["a", "2024-01-01T05:00"]["count"] == 2  # hours are the same in every zone


def test_the_object_says_what_it_covers() -> None:
    blobs = MemoryBlobStore()
    for generation in (1, 2, 5):
        emitted(blobs, generation, [("a", s("2024-01-01T05:30") + generation, None if generation == 2 else 1.0)])
    make_due(blobs, UTC_CALENDAR, unlimited)

    about = rollups.about(blobs.objects[keys.rollup(DOMAIN, "1d", "2024-01")])

    assert about["gold"] == {"2024-01-01": {str(TOKEN): [[1, 3], [5, 6]]}}
    assert (about["rows"], about["raw_rows"], about["zone"]) == (1, 3, "UTC")
    assert (about["raw_from"], about["raw_until"]) == ("2024-01-01T05:30:01Z", "2024-01-01T05:30:05Z")


def test_a_file_of_somebody_else_is_no_rollup() -> None:
    with pytest.raises(ConfigError, match="not a rollup"):
        rollups.about(b"PAR1")
    with pytest.raises(ConfigError, match="not an object of gold"):
        editions.emission_of("gold/domain=a/date=2024-01-01/x.parquet")


def test_sigma_within_is_pooled_over_the_windows() -> None:
    """Two windows, values 1 3 and 10 14: squared deviations 2 and 8, one degree of freedom each."""
    blobs, t = MemoryBlobStore(), s("2024-01-01")
    emitted(blobs, 1, [("a", t, 1.0), ("a", t + 1, 3.0), ("a", t + 60, 10.0), ("a", t + 61, 14.0), ("b", t, 1.0)])
    make_due(blobs, UTC_CALENDAR, unlimited)

    for period in PERIODS:
        rows = [(r["within_m2"], r["within_df"]) for r in held(blobs, period).values()]
        assert rows == [(10.0, 2), (0.0, 0)], period


READINGS = st.lists(
    st.tuples(st.sampled_from("ab"), st.integers(s("2024-02-25"), s("2024-03-05")), st.integers(-50, 50).map(float)),
    min_size=1,
    max_size=30,
)


@given(READINGS, st.integers(1, 5), st.randoms(use_true_random=False), st.sampled_from([UTC_CALENDAR, BERLIN]))
def test_however_gold_is_cut_and_whenever_it_is_merged_the_rollups_are_the_same(
    readings: list[Reading], emissions: int, chance: Any, calendar: Calendar
) -> None:
    blobs, parts = MemoryBlobStore(), [list[Reading]() for _ in range(emissions)]
    for one in readings:
        chance.choice(parts).append(one)
    for n, part in enumerate(parts):
        emitted(blobs, n, part, token=ShardToken(1_700_000_000, n % 2))
        if chance.random() < 0.5:
            make_due(blobs, calendar, unlimited)
    make_due(blobs, calendar, unlimited)

    for period in PERIODS:
        want = rollups.regroup(rollups.from_partials(partials(readings)), calendar, period).to_pylist()
        got = held(blobs, period)
        assert len(got) == len(want)
        for row in want:
            mine = got[row["series"], row["window_start"].strftime("%Y-%m-%dT%H:%M")]
            exact = ("count", "missing", "min", "max", "width_s", "sum")
            assert {n: mine[n] for n in exact} == {n: row[n] for n in exact}
            assert mine["mean"] == pytest.approx(row["mean"], rel=1e-12, abs=1e-12)
            assert mine["m2"] == pytest.approx(row["m2"], rel=1e-9, abs=1e-9)
