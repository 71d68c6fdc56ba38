"""Silent series (C19, D14): one anomaly and alert per silence, none of a replay of old data, whatever fails."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from levada.archive.rollups import make_due
from levada.archive.silence import LOOK_BACK_US, Done, Telling, note
from levada.core import keys, parquet
from levada.core.errors import UnavailableError
from levada.core.findings import pk
from levada.domains.declaration import Domain, Metric, Time
from levada.ports import AlertSink
from levadactl.memory import MemoryAlertSink, MemoryBlobStore, MemoryServingStore
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


def run(
    blobs: MemoryBlobStore, serving: MemoryServingStore, at_s: float, sink: AlertSink | None = None, **options: Any
) -> Done:
    telling = Telling(blobs=blobs, serving=serving, sink=sink, **options)
    return note(telling, {DOMAIN: SENSOR}, int(at_s * 1_000_000))


def opened(serving: MemoryServingStore) -> list[tuple[str, str, int]]:
    items = serving.query(pk("alerts", "default", DOMAIN))
    return [(item["series"], item["sk"].partition("#")[0][11:16], item["count"]) for item in items]


def told(serving: MemoryServingStore) -> list[tuple[str, str, str]]:
    items = serving.query(pk("anomalies", "default", DOMAIN))
    return [(item["series"], item["sk"].partition("#")[0][11:16], item["rule"]) for item in items]


def test_a_series_without_values_for_longer_than_its_domain_allows_is_told_once() -> None:
    blobs, serving = lake(("a", NOON, 1.0), ("b", NOON + 600, 1.0)), MemoryServingStore()

    assert run(blobs, serving, NOON + 900).counts() == {"silent": 0, "noted": 0, "alerts": 0}
    assert run(blobs, serving, NOON + 901).counts() == {"silent": 1, "noted": 1, "alerts": 1}
    before = (dict(blobs.objects), dict(serving.items))
    assert run(blobs, serving, NOON + 1000).counts() == {"silent": 1, "noted": 0, "alerts": 0}
    assert (blobs.objects, serving.items) == before
    assert run(blobs, serving, NOON + 3600).counts() == {"silent": 2, "noted": 1, "alerts": 1}
    assert told(serving) == [("a", "12:00", "silent"), ("b", "12:10", "silent")]


def test_a_series_that_comes_back_may_fall_silent_again() -> None:
    blobs, serving = lake(("a", NOON, 1.0)), MemoryServingStore()
    run(blobs, serving, NOON + 1000)
    lake(("a", NOON + 1200, 2.0), generation=2, into=blobs)

    assert run(blobs, serving, NOON + 1300).counts() == {"silent": 0, "noted": 0, "alerts": 0}
    assert run(blobs, serving, NOON + 3000).counts() == {"silent": 1, "noted": 1, "alerts": 1}
    assert told(serving) == [("a", "12:00", "silent"), ("a", "12:20", "silent")]
    rows = parquet.from_bytes(blobs.objects[keys.silences(DOMAIN, "2026-03-01")]).to_pylist()
    assert [(row["value"], row["severity"], row["detail"]) for row in rows] == [
        (1.0, "error", "no value for more than 900 s"),
        (2.0, "error", "no value for more than 900 s"),
    ]


def test_a_domain_that_never_had_a_row_is_not_silent() -> None:
    assert run(MemoryBlobStore(), MemoryServingStore(), NOON).counts() == {"silent": 0, "noted": 0, "alerts": 0}


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
        cut_short = run(blobs, serving, NOON + 1000)
        assert cut_short.failures == [f"silent series of {DOMAIN}: {part} is down"]

    assert cut_short.noted + run(blobs, serving, NOON + 1000).noted == 1
    assert told(serving) == [("a", "12:00", "silent")]


def test_each_silence_opens_one_alert_and_is_published_once() -> None:
    blobs, serving, sink = lake(("a", NOON, 1.0), ("b", NOON + 60, 1.0)), MemoryServingStore(), MemoryAlertSink()

    for at_s in (1000, 1100, 4000):
        run(blobs, serving, NOON + at_s, sink)
    assert opened(serving) == [("a", "12:00", 1), ("b", "12:01", 1)]
    (notice,) = sink.notices
    body = json.loads(notice.body)
    assert (body["alerts"], body["severity"], {row["rule"] for row in body["first"]}) == (2, "error", {"silent"})
    assert notice.attributes == {"domain": DOMAIN, "tenant": "default", "severity": "error"}


def test_a_sensor_that_flaps_is_heard_of_when_it_dies() -> None:
    """A quiet period would hide the silence that does not end behind the one that did."""
    blobs, serving, sink = lake(("a", NOON, 1.0)), MemoryServingStore(), MemoryAlertSink()
    run(blobs, serving, NOON + 1000, sink)
    lake(("a", NOON + 1200, 2.0), generation=2, into=blobs)
    run(blobs, serving, NOON + 3000, sink)

    assert opened(serving) == [("a", "12:00", 1), ("a", "12:20", 1)]
    assert len({notice.id for notice in sink.notices}) == 2


def test_a_severity_above_that_of_a_silence_keeps_it_an_anomaly() -> None:
    blobs, serving, sink = lake(("a", NOON, 1.0)), MemoryServingStore(), MemoryAlertSink()

    assert run(blobs, serving, NOON + 1000, sink, severity="critical").counts() == {
        "silent": 1, "noted": 1, "alerts": 0,
    }  # fmt: skip
    assert (told(serving), opened(serving), sink.notices) == ([("a", "12:00", "silent")], [], [])


def test_a_silence_that_nobody_noticed_for_days_is_kept_but_wakes_no_one() -> None:
    blobs, serving, sink = lake(("a", NOON, 1.0)), MemoryServingStore(), MemoryAlertSink()

    assert run(blobs, serving, NOON + 3 * 86_400, sink).alerts == 1
    assert (opened(serving), sink.notices) == ([("a", "12:00", 1)], [])


def test_two_runs_at_once_publish_no_more_than_one_of_them_would(monkeypatch: pytest.MonkeyPatch) -> None:
    blobs, serving, sink = lake(("a", NOON, 1.0)), MemoryServingStore(), MemoryAlertSink()
    put_if, inside = blobs.put_if, [False]

    def late(key: str, body: bytes, *, etag: str | None) -> str:
        if not inside[0]:  # another run overtakes this one just before its commit
            inside[0] = True
            run(blobs, serving, NOON + 1000, sink)
        return put_if(key, body, etag=etag)

    monkeypatch.setattr(blobs, "put_if", late)
    assert run(blobs, serving, NOON + 1000, sink).noted == 0
    assert (len(sink.notices), opened(serving)) == (1, [("a", "12:00", 1)])


@given(st.integers(0, 6), st.booleans(), st.integers(0, 6))
def test_a_crash_before_or_after_any_write_changes_nothing_in_the_end(nth: int, after: bool, again: int) -> None:
    """C19: whatever call dies, twice, the same items stand there, and a notice that is told again has the same id."""
    calm = _outcome([])
    crashed = _outcome([(nth, after), (again, not after)])
    assert crashed == calm


def _outcome(crashes: list[tuple[int, bool]]) -> Any:
    blobs, serving, sink = lake(("a", NOON, 1.0), ("b", NOON + 86_400, 1.0)), MemoryServingStore(), MemoryAlertSink()
    for crash in crashes:
        parts: list[Any] = [Dying(port, *crash) for port in (blobs, serving, sink)]
        run(parts[0], parts[1], NOON + 90_000, parts[2])
    for _ in range(2):
        run(blobs, serving, NOON + 90_000, sink)
    lying = {k: body for k, body in blobs.objects.items() if k.startswith("anomalies/")}
    return serving.items, lying, {notice.id: notice for notice in sink.notices}


class Dying:
    """A port whose n-th write fails, before or after it has taken effect."""

    def __init__(self, port: Any, nth: int, after: bool) -> None:
        self._port, self._left, self._after = port, nth, after

    def __getattr__(self, name: str) -> Any:
        call = getattr(self._port, name)
        if name not in ("put", "put_if", "put_newer", "publish"):
            return call

        def write(*args: Any, **named: Any) -> Any:
            self._left -= 1
            if self._left == -1 and not self._after:
                raise UnavailableError("died before")
            answer = call(*args, **named)
            if self._left == -1:
                raise UnavailableError("died after")
            return answer

        return write
