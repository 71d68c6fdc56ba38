"""Query parameters: times, widths, limits, cursors; what cannot be served is refused by name (A14)."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from levada.core.instants import instant
from levada.core.partials import PARTIAL
from levada.core.segments import MAX_US, MIN_US
from levada.domains.air_quality import AIR_QUALITY
from levada.query import parameters
from levada.query.errors import ParameterError
from levada.query.parameters import cursor
from levada.query.windows import Page, Selection

NOW_US = int(datetime(2026, 1, 1, tzinfo=UTC).timestamp()) * 1_000_000
DOMAINS = {"air_quality": AIR_QUALITY}
HOUR_US = 3_600_000_000
EMPTY = PARTIAL.empty_table()


def windows(**query: str) -> tuple[Selection, int]:
    return parameters.windows(query, DOMAINS, "default", NOW_US)


def event(query: dict[str, str] | None, multi: dict[str, list[str]] | None = None) -> dict[str, Any]:
    return {"queryStringParameters": query, "multiValueQueryStringParameters": multi}


def test_nothing_given_is_everything_of_the_only_domain() -> None:
    assert windows() == (Selection(domain="air_quality", tenant="default"), 1000)


@pytest.mark.parametrize(
    ("text", "us"),
    [
        ("2026-01-01T00:00:00Z", NOW_US),
        ("2026-01-01T02:00:00+02:00", NOW_US),
        ("2026-01-01T02:00:00 02:00", NOW_US),  # an unquoted + in a query string
        ("2025-12-31T19:00:00.5-05:00", NOW_US + 500_000),
        ("2026-01-01", NOW_US),
        ("-24h", NOW_US - 24 * HOUR_US),
        ("-7d", NOW_US - 168 * HOUR_US),
        ("-90m", NOW_US - 90 * 60_000_000),
        ("-30s", NOW_US - 30_000_000),
        ("-1w", NOW_US - 168 * HOUR_US),
        ("1969-12-31T23:00:00Z", -HOUR_US),
        ("0001-01-01T00:00:00+14:00", MIN_US),
        ("9999-12-31T23:59:59-14:00", MAX_US),
        ("-999999999w", MIN_US),
    ],
)
def test_times_are_absolute_or_relative_to_now(text: str, us: int) -> None:
    assert windows(since=text)[0].since_us == us
    assert windows(until=text)[0].until_us == us


@pytest.mark.parametrize(
    "text", ["yesterday", "2026-01-01T00:00:00", "2026-13-01", "24h", "-1y", "-h", "1767225600", "-٣h", "2026-01-01TZ"]
)
@pytest.mark.parametrize("name", ["since", "until"])
def test_other_times_are_refused(name: str, text: str) -> None:
    with pytest.raises(ParameterError) as caught:
        windows(**{name: text})

    assert (caught.value.status, caught.value.field, caught.value.value) == (422, name, text)
    assert "2004-03-10T18:00:00Z" in caught.value.allowed


def test_until_is_not_before_since_and_may_be_equal() -> None:
    assert windows(since="-1h", until="-1h")[0].since_us == NOW_US - HOUR_US
    with pytest.raises(ParameterError, match="until='-2h': must be at or after since=-1h"):
        windows(since="-1h", until="-2h")


def test_a_width_is_a_multiple_of_the_base_window() -> None:
    assert windows(width="86400")[0].width_s == 86_400
    for text in ("60", "5400", "0", "-3600", "3600.0", "1h", str(3600 * 24 * 367), "٣٦٠٠"):
        with pytest.raises(ParameterError, match=r"must be a multiple of the 3600 s of domain air_quality"):
            windows(width=text)


def test_limits_have_a_range() -> None:
    assert windows(limit="1")[1] == 1
    assert windows(limit="10000")[1] == 10_000
    for text in ("0", "10001", "-1", "many", "1e3", ""):
        with pytest.raises(ParameterError, match="must be a whole number from 1 to 10000"):
            windows(limit=text)


def test_a_domain_must_be_named_when_there_are_several_and_must_be_one_of_them() -> None:
    several = DOMAINS | {"tides": AIR_QUALITY}
    assert parameters.series({"domain": "tides"}, several, "default").domain == "tides"
    for query in ({}, {"domain": "moon"}):
        with pytest.raises(ParameterError, match="must be one of air_quality, tides"):
            parameters.series(query, several, "default")


def test_filters_are_taken_as_they_are() -> None:
    query = {"tenant": "t", "site": "s", "unit": "u", "series": "x y", "metric": "#"}
    expected = Selection(domain="air_quality", tenant="t", site="s", unit="u", series="x y", metric="#")
    assert parameters.series(query, DOMAINS, "default") == expected


def test_parameters_that_nobody_reads_or_that_come_twice_are_refused() -> None:
    assert parameters.given(event(None), ("since",)) == {}
    assert parameters.given(event({"since": "", "limit": "5"}), ("since", "limit")) == {"limit": "5"}
    with pytest.raises(ParameterError, match="limti='5': must be one of the parameters since, limit"):
        parameters.given(event({"limti": "5"}), ("since", "limit"))
    with pytest.raises(ParameterError, match=r"limit=.*must be given once"):
        parameters.given(event({"limit": "6"}, {"limit": ["5", "6"]}), ("since", "limit"))


@given(
    us=st.integers(MIN_US, MAX_US),
    place=st.none() | st.tuples(st.text(), st.text(), st.text(), st.text(), st.integers(1, 10**8)),
)
def test_a_cursor_comes_back_as_it_was_given(us: int, place: tuple[str, str, str, str, int] | None) -> None:
    text = cursor(Page(EMPTY, us, place))
    assert text is not None

    selection, _ = windows(since=text)

    assert (selection.since_us, selection.after) == (us, place)
    assert text.isascii()
    assert not set(text) & set("&=#%/ ")


def test_the_last_page_has_no_cursor() -> None:
    assert cursor(Page(EMPTY)) is None


@pytest.mark.parametrize("tail", ["~", "~e30", "~WzFd", "~!", "~WyIiXQ", "~WyIiLCIiLCIiLCIiLCJ4Il0"])
def test_a_cursor_that_was_tampered_with_is_refused(tail: str) -> None:
    with pytest.raises(ParameterError, match="the next of an answer"):
        windows(since=f"2026-01-01T00:00:00Z{tail}")


def test_instants_are_written_with_a_z() -> None:
    assert instant(NOW_US) == "2026-01-01T00:00:00Z"
    assert instant(-1) == "1969-12-31T23:59:59.999999Z"
