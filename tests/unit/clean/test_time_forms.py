"""Times in forms that no strptime reads; columns and single items are read the same way."""

from __future__ import annotations

from datetime import UTC, datetime

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from levada.clean import times
from levada.domains.declaration import Domain, Metric, Time
from levada.ingest.instants import NotATimeError, instant_of

READ: dict[str, tuple[tuple[str, ...], str, dict[str, str | None]]] = {
    "iso": (
        ("iso",),
        "UTC",
        {
            "2020-01-02T03:04:05Z": "2020-01-02T03:04:05",
            "2020-01-02 03:04:05.123456+01:00": "2020-01-02T02:04:05.123456",
            "2020-01-02 03:04:05,5 -0800": "2020-01-02T11:04:05.500000",
            "2020-01-02T03:04": "2020-01-02T03:04:00",
            "2020-01-02": "2020-01-02T00:00:00",
            "2020-01-02T03:04:05.123456789Z": "2020-01-02T03:04:05.123456",
            "2020-02-30": None,
            "2020-01-02T25:00:00Z": None,
            "02/01/2020": None,
            "soon": None,
        },
    ),
    "epoch": (
        ("epoch",),
        "UTC",
        {
            "1700000000": "2023-11-14T22:13:20",
            "1700000000123": "2023-11-14T22:13:20.123000",
            "1700000000123456": "2023-11-14T22:13:20.123456",
            "1700000000123456789": "2023-11-14T22:13:20.123456",
            "1700000000.5": "2023-11-14T22:13:20.500000",
            "-5": "1969-12-31T23:59:55",
            "1e400": None,
            "99999999999999999999999": None,
            "12:00": None,
        },
    ),
    "epoch in milliseconds": (
        ("epoch_ms",),
        "UTC",
        {"1700000000123": "2023-11-14T22:13:20.123000", "0": "1970-01-01T00:00:00"},
    ),
    "12-hour clock": (
        ("%m/%d/%Y %I:%M:%S %p",),
        "UTC",
        {
            "12/31/2020 01:05:09 PM": "2020-12-31T13:05:09",
            "1/2/2020 12:00:00 am": "2020-01-02T00:00:00",
            "1/2/2020 13:00:00 PM": None,
        },
    ),
    "month names": (
        ("%b %d, %Y", "%d %B %Y %H:%M"),
        "UTC",
        {
            "Jan 5, 2020": "2020-01-05T00:00:00",
            "JAN 05, 2020": "2020-01-05T00:00:00",
            "Feb 30, 2020": None,
            "5 January 2020 10:00": "2020-01-05T10:00:00",
        },
    ),
    "a fraction, an offset": (
        ("%d/%b/%Y:%H:%M:%S %z", "%Y-%m-%d %H:%M:%S.%f"),
        "UTC",
        {"02/Jan/2020:03:04:05 +0100": "2020-01-02T02:04:05", "2020-01-02 03:04:05.25": "2020-01-02T03:04:05.250000"},
    ),
    "local times": (
        ("%Y-%m-%d %H:%M",),
        "Europe/Lisbon",
        {
            "2020-07-01 12:00": "2020-07-01T11:00:00",
            "2020-10-25 01:30": "2020-10-25T00:30:00",  # shown twice: the earlier
            "2020-07-01T12:00Z": "2020-07-01T12:00:00",  # an offset of its own
        },
    ),
}
CASES = [(what, text) for what, (_, _, texts) in READ.items() for text in texts]


def of_columns(texts: list[str], spec: Time) -> list[str | None]:
    parsed, wrong = times.parse([pa.array(texts, pa.string())], spec)
    found = [None if time is None else time.replace(tzinfo=None).isoformat() for time in parsed.to_pylist()]
    assert [time is None for time in found] == wrong.to_pylist()
    return found


def of_item(text: str, spec: Time) -> str | None:
    domain = Domain(name="d", time=spec, metrics={"n": Metric("n")})
    try:
        us = instant_of({spec.columns[0]: text}, domain)
    except NotATimeError:
        return None
    assert us is not None
    found = datetime.fromtimestamp(us // 1_000_000, UTC).replace(tzinfo=None, microsecond=us % 1_000_000)
    return found.isoformat()


@pytest.mark.parametrize("what", READ)
def test_a_form_is_read_whatever_stands_beside_it(what: str) -> None:
    formats, zone, texts = READ[what]
    spec = Time(columns=("t",), formats=formats, zone=zone)

    assert of_columns(list(texts), spec) == list(texts.values())
    assert [of_columns([text], spec)[0] for text in texts] == list(texts.values())


@pytest.mark.parametrize(("what", "text"), CASES)
def test_http_reads_a_time_as_clean_does(what: str, text: str) -> None:
    formats, zone, texts = READ[what]

    assert of_item(text, Time(columns=("t",), formats=formats, zone=zone)) == texts[text]


DATES, CLOCKS = ("2020-01-02", "2021-12-31"), ("T", " ", "03:04:05", "23:59", ".5", ",25")
PIECES = st.sampled_from([*DATES, *CLOCKS, "Z", "+01:00", "-0530", "1700000000", "1e3", "000", "x"])


@given(st.lists(PIECES, min_size=1, max_size=5).map("".join))
def test_both_readers_agree_on_any_text(text: str) -> None:
    spec = Time(columns=("t",), formats=("iso", "epoch"))
    if not text.strip():
        return

    assert of_columns([text], spec)[0] == of_item(text, spec)
