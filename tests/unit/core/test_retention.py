"""The policy (C13, C16, D21): terms are never shorter than they say, and those of one day's items end together."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from levada.core.errors import ConfigError
from levada.core.retention import DAY_S, GRACE_S, HOUR_S, KINDS, Expiry, Keep, begin_s, parse

NOW_S = 1_767_225_600
DAYS = st.integers(0, 40_000)
SECONDS = st.integers(0, DAY_S - 1)
HOURS = st.integers(0, 20_000)


def test_the_defaults_are_those_of_the_requirements() -> None:
    """C13: raw 72 h; C16: aggregates 90 days; D21: 180, 365 and 730 days."""
    days = {kind: spec.hours / 24 for kind, spec in KINDS.items()}
    assert days == {
        "raw": 3, "windows": 90, "gold": 180, "events": 365, "findings": 365, "rollups": 730, "bronze": 730,
        "quarantine": 730,
    }  # fmt: skip


@given(DAYS, SECONDS, DAYS, SECONDS, HOURS)
def test_nothing_expires_before_its_term_since_it_happened_and_since_it_was_written(
    event_day: int, event_s: int, day: int, second: int, hours: int
) -> None:
    at_s, emitted_s = event_day * DAY_S + event_s, day * DAY_S + second
    expiry = Expiry(Keep({"windows": hours}), emitted_s)

    found = expiry.at("windows", "d", at_s * 1_000_000)

    assert found is None if hours == 0 else found is not None and found >= max(at_s, emitted_s) + hours * HOUR_S


@given(DAYS, SECONDS, SECONDS, st.integers(0, GRACE_S), st.integers(0, GRACE_S))
def test_what_is_written_within_a_week_of_its_day_expires_together(
    day: int, one_s: int, other_s: int, soon_s: int, later_s: int
) -> None:
    """Or a window would be read from half of its partials."""
    end_s = (day + 1) * DAY_S
    starts = {
        begin_s((day * DAY_S + at) * 1_000_000, end_s + late) for at, late in ((one_s, soon_s), (other_s, later_s))
    }
    assert len(starts) == 1


@given(DAYS, st.integers(0, 10**10), st.integers(0, 10**8))
def test_what_is_written_later_never_expires_earlier(day: int, emitted_s: int, more_s: int) -> None:
    assert begin_s(day * DAY_S * 1_000_000, emitted_s) <= begin_s(day * DAY_S * 1_000_000, emitted_s + more_s)


def test_a_backfill_of_2004_is_kept_its_full_term_from_now_on() -> None:
    found = Expiry(Keep(), NOW_S).at("windows", "air_quality", 1_078_940_000_000_000)

    assert found == NOW_S + 90 * DAY_S


TERMS = st.dictionaries(st.sampled_from(sorted(KINDS)), HOURS)


@given(TERMS, TERMS)
def test_what_is_made_from_rows_is_kept_as_long_as_they_are(setting: dict[str, int], own: dict[str, int]) -> None:
    keep = Keep(setting, {"d": own})
    long = {kind: keep.seconds(kind, "d") or float("inf") for kind in KINDS}

    assert long["raw"] <= long["gold"] <= min(long["rollups"], long["bronze"])
    for kind, spec in KINDS.items():
        named = own.get(kind, setting.get(kind, spec.hours)) * HOUR_S or float("inf")
        assert long[kind] >= named


def test_a_domain_goes_before_the_setting_and_that_before_the_default() -> None:
    keep = Keep(parse("raw=7d, windows=forever"), {"lab": {"raw": 24}})

    assert [keep.seconds("raw", name) for name in ("lab", "shop")] == [DAY_S, 7 * DAY_S]
    assert (keep.seconds("windows", "lab"), keep.seconds("events", "lab")) == (None, 365 * DAY_S)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("row=1d", r"'row' must be one of raw, windows"),
        ("raw=1d,raw=2d", r"'raw' must be one of .*, each once"),
        ("raw", r"raw='' must be hours \(72h\), days \(90d\) or forever"),
        ("raw=0h", "raw='0h' must be"),
        ("raw=1.5d", "raw='1.5d' must be"),
        ("raw=٣d", "raw='٣d' must be"),
        ("raw=9999999h", "raw='9999999h' must be"),
    ],
)
def test_a_setting_that_cannot_be_read_is_named(text: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        parse(text)


def test_a_setting_is_read() -> None:
    assert parse("") == {}
    assert parse("raw=72h, windows = 90d,bronze=forever,") == {"raw": 72, "windows": 2160, "bronze": 0}
