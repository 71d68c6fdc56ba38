"""Periods of rollups (C14): ISO weeks, calendar months, and days that have 23 or 25 hours."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from levada.core.errors import ConfigError
from levada.core.periods import DAY, DAY_US, HOUR, HOUR_US, MONTH, PERIODS, WEEK, Calendar, us_of, zone_named

ZONES = ("UTC", "Europe/Berlin", "America/Sao_Paulo", "Asia/Kolkata", "Pacific/Apia", "America/Havana")


def us(text: str) -> int:
    return (datetime.fromisoformat(text) - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


def calendar(zone: str = "Europe/Berlin") -> Calendar:
    return Calendar(ZoneInfo(zone))


@pytest.mark.parametrize(
    ("at", "start", "hours"),
    [
        ("2026-03-29T12:00:00Z", "2026-03-28T23:00:00Z", 23),
        ("2026-10-25T12:00:00Z", "2026-10-24T22:00:00Z", 25),
        ("2026-11-22T23:30:00Z", "2026-11-22T23:00:00Z", 24),
    ],
)
def test_a_day_on_which_clocks_change_has_23_or_25_hours(at: str, start: str, hours: int) -> None:
    assert calendar().span(DAY, us(at)) == (us(start), us(start) + hours * HOUR_US)


def test_a_day_whose_midnight_does_not_exist_begins_when_clocks_have_gone_forward() -> None:
    """In São Paulo clocks went from 00:00 to 01:00 on 4 November 2018: the day has 23 hours."""
    start, end = calendar("America/Sao_Paulo").span(DAY, us("2018-11-04T12:00:00Z"))

    assert (start, end) == (us("2018-11-04T03:00:00Z"), us("2018-11-05T02:00:00Z"))


def test_a_week_is_of_iso_and_begins_on_monday() -> None:
    assert calendar("UTC").span(WEEK, us("2027-01-03T12:00:00Z")) == (
        us("2026-12-28T00:00:00Z"),
        us("2027-01-04T00:00:00Z"),
    )
    assert calendar("UTC").partition(WEEK, us("2027-01-03T12:00:00Z")).name == "2026-W53"


def test_a_month_is_of_the_calendar_of_the_zone() -> None:
    found = calendar().partition(MONTH, us("2024-01-31T23:30:00Z"))

    assert (found.name, found.start_us, found.end_us) == (
        "2024-02",
        us("2024-01-31T23:00:00Z"),
        us("2024-02-29T23:00:00Z"),
    )


def test_hours_are_those_of_utc_in_every_zone() -> None:
    assert calendar("Asia/Kolkata").span(HOUR, us("2026-01-01T12:59:59Z"))[0] == us("2026-01-01T12:00:00Z")


INSTANTS = st.integers(us("1900-01-01T00:00:00Z"), us("2100-01-01T00:00:00Z"))


@given(st.sampled_from(ZONES), st.sampled_from(PERIODS), INSTANTS)
def test_periods_cover_all_time_without_overlap(zone: str, period: str, at: int) -> None:
    """Each instant lies in its period, both ends of which belong to this and the next."""
    found = calendar(zone)
    near = [at + days * DAY_US for days in range(3)]
    starts, ends = found.starts(period, np.array(near, np.int64))
    for t, start, end in zip(near, starts.tolist(), ends.tolist(), strict=True):
        assert start <= t < end
        assert found.span(period, start) == found.span(period, end - 1) == (start, end)
        assert found.span(period, end)[0] == end


@given(
    st.sampled_from(ZONES),
    st.sampled_from(PERIODS),
    st.integers(us("1950-01-01T00:00:00Z"), us("2100-01-01T00:00:00Z")),
)
def test_a_partition_is_found_by_its_name_its_instants_and_its_days(zone: str, period: str, at: int) -> None:
    found = calendar(zone)
    mine = found.partition(period, at)

    assert mine.start_us <= found.span(period, at)[0] < mine.end_us
    assert found.span(period, at)[1] <= mine.end_us
    assert found.partition_named(period, mine.name) == mine
    for day in (mine.dates[0], mine.dates[-1]):
        assert mine in found.touching(period, day)
    assert us_of(mine.dates[0]) <= mine.start_us
    assert mine.end_us <= us_of(mine.dates[-1]) + DAY_US


@pytest.mark.parametrize(("period", "name"), [(HOUR, "2004-02-30"), (WEEK, "2004-W60"), (MONTH, "2004-13"), (DAY, "x")])
def test_a_name_that_is_no_partition_is_refused(period: str, name: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        calendar().partition_named(period, name)


def test_a_zone_that_is_not_there_is_refused_with_its_name() -> None:
    with pytest.raises(ConfigError, match="'Europe/Ulm'"):
        zone_named("Europe/Ulm")
    assert str(zone_named("Europe/Berlin")) == "Europe/Berlin"
