"""Event times: every spelling of the data set gives the same instant; what is no time is said to be none (B8, B17)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from levada.clean.times import parse
from levada.domains.air_quality import AIR_QUALITY

SIX = datetime(2004, 3, 10, 18, tzinfo=UTC)


def _parse(date: str | None, time: str | None) -> tuple[datetime | None, bool]:
    times, wrong = parse([pa.array([date], pa.string()), pa.array([time], pa.string())], AIR_QUALITY.time)
    return times[0].as_py(), wrong[0].as_py()


@pytest.mark.parametrize(
    ("date", "time"),
    [
        ("10/03/2004", "18.00.00"),
        ("10-03-2004", "18:00:00"),
        ("10.03.2004", "18:00"),
        ("2004-03-10", "18:00:00"),
        (" 10/3/2004 ", "18.00.00 "),
    ],
)
def test_spellings_of_one_instant(date: str, time: str) -> None:
    assert _parse(date, time) == (SIX, False)


@pytest.mark.parametrize(
    ("date", "time"),
    [
        ("31/02/2004", "18.00.00"),
        ("29/02/2005", "18.00.00"),
        ("10/13/2004", "18.00.00"),
        ("10/03/2004", "24.00.00"),
        ("10/03/2004", "18.00.60"),
        ("10/03/04", "18.00.00"),
        ("yesterday", "18.00.00"),
        ("10/03/2004", "18.00.00x"),
        ("10/03/2004", ""),
        ("", "18.00.00"),
    ],
)
def test_what_is_no_time_is_refused_and_never_rolled_over(date: str, time: str) -> None:
    assert _parse(date, time) == (None, True)


@pytest.mark.parametrize(("date", "time"), [("", ""), (None, None), (" ", "")])
def test_no_text_at_all_is_undated_not_wrong(date: str | None, time: str | None) -> None:
    assert _parse(date, time) == (None, False)


def test_a_leap_day_is_a_day() -> None:
    assert _parse("29/02/2004", "00.00.00") == (datetime(2004, 2, 29, tzinfo=UTC), False)


@given(st.lists(st.integers(0, 100 * 365 * 24 * 3600), min_size=1, max_size=30))
def test_any_second_since_1970_survives_its_published_spelling(seconds: list[int]) -> None:
    times = [datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=s) for s in seconds]
    dates = pa.array([t.strftime("%d/%m/%Y") for t in times])

    parsed, wrong = parse([dates, pa.array([t.strftime("%H.%M.%S") for t in times])], AIR_QUALITY.time)

    assert parsed.to_pylist() == times
    assert not any(wrong.to_pylist())
