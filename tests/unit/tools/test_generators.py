"""Generators: the same plan gives the same lines, and what the ledger says is what the windows hold (E1, E3)."""

from __future__ import annotations

import io
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from levada.config import Config
from levada.core import packs
from levada.core.errors import UnavailableError
from levada.domains.registry import registered
from levada.wiring import using
from levadactl.generators import check, outlets, running
from levadactl.generators.known import SOURCES, source_named
from levadactl.generators.ledger import Ledger, read
from levadactl.generators.model import Plan, Source
from levadactl.generators.sending import lines
from levadactl.loading import Lake
from levadactl.memory import ManualClock, MemoryDeps, MemorySink
from tests.unit.tools import pipeline

START_US = 1_767_225_600_000_000 - 3_600_000_000
"""An hour before the clock of the tests."""
KNOWN = [pytest.param(source, id=name) for name, source in SOURCES.items() if name in registered()]


@pytest.fixture
def everything() -> Iterator[MemoryDeps]:
    """The stages in memory, every domain enabled."""
    config = Config(bucket="lake", table="serving", raw_stream="raw", clean_stream="clean", auth="OPEN")
    with using(MemoryDeps(config=config)) as replaced:
        assert isinstance(replaced, MemoryDeps)
        yield replaced


def plan(**changed: float | tuple[float, float]) -> Plan:
    return Plan(start_us=START_US, **({"duration_s": 300, "rate": 10} | changed))  # type: ignore[arg-type]


@pytest.mark.parametrize("source", KNOWN)
def test_the_same_plan_gives_the_same_lines_and_another_seed_others(source: Source) -> None:
    one, two, three = (
        [sent.line for sent in lines(source, plan(seed=seed, bad=0.05, late=0.1, twice=0.1))] for seed in (1, 1, 2)
    )

    assert one == two != three


@pytest.mark.parametrize("source", KNOWN)
def test_events_ascend_in_time_and_lines_in_the_time_of_sending(source: Source) -> None:
    times = [made.time_us for made in source.events(plan())]
    due = [sent.due_us for sent in lines(source, plan(late=0.2, twice=0.1))]

    assert len(times) == 3000
    assert times == sorted(times)
    assert due == sorted(due)
    assert times[-1] < START_US + 300_000_000


@pytest.mark.parametrize("source", KNOWN)
def test_the_summary_adds_up(source: Source) -> None:
    ledger = Ledger(registered()[source.domain])
    made = list(lines(source, plan(bad=0.05, late=0.1, twice=0.1), ledger))
    totals = ledger.summary()

    assert totals["lines"] == len(made) == totals["events"] + sum(totals["bad"].values()) + totals["twice"]
    assert totals["events"] == sum(totals["kinds"].values())
    assert set(totals["bad"]) == set(source.breaks)
    assert sum(sent.made is None for sent in made) == sum(totals["bad"].values())
    assert 0.05 < totals["late"] / totals["events"] < 0.15


@pytest.mark.parametrize("source", KNOWN)
def test_resends_late_and_broken_lines_end_in_the_windows_that_the_ledger_says(
    source: Source, everything: MemoryDeps
) -> None:
    domain, written = registered()[source.domain], io.StringIO()
    given, ledger = (
        plan(duration_s=180, bad=0.02, late=0.02, late_by_s=(60, 240)),
        Ledger(registered()[source.domain], written),
    )
    sink = MemorySink()
    made = running.run(
        source,
        given,
        lambda: outlets.StreamOutlet(sink, everything.clock, domain, running.session_of(source, given), "default"),
        everything.clock,
        ledger,
        paced=False,
        resend=2,
    )
    lake = pipeline.run(everything, [entry.data for entry in sink.entries], batch=200)

    expected, _ = read(iter(written.getvalue().splitlines()))
    found = check.windows_of(lake, domain)
    assert len(expected) == made["windows"] > 0
    assert check.differences(expected, found["gold"]) == []
    assert check.differences(expected, found["serving"]) == []
    counters = lake.counters("clean")[source.domain]
    refused = {name.partition(":")[2]: n for name, n in counters.items() if name.startswith("quarantined:")}
    assert refused == made["bad"]
    assert counters["duplicates"] == made["sent"]["packs"] // made["sent"]["times"] * (made["sent"]["times"] - 1)


def test_a_difference_is_seen() -> None:
    key = (0, "", "", "s", "m")
    window = {"count": 2, "missing": 0, "sum": 3.0, "min": 1.0, "max": 2.0, "distinct": 2}

    assert check.differences({key: window}, {key: window | {"sum": 3.0 + 1e-15}}) == []
    assert check.differences({key: window}, {}) == [f"missing: {key}"]
    assert check.differences({}, {key: window}) == [f"not expected: {key}"]
    for name, value in (("count", 3), ("missing", 1), ("sum", 3.1), ("min", None), ("max", 2.1), ("distinct", 4)):
        assert len(check.differences({key: window}, {key: window | {name: value}})) == 1


def test_a_file_is_not_there_before_it_is_whole_and_compressed_as_its_name_says(tmp_path: Path) -> None:
    import gzip

    import zstandard

    source, texts = source_named("air_quality"), set()
    for name in ("a.ndjson", "a.ndjson.gz", "a.ndjson.zst"):
        path = tmp_path / "new" / name
        to = outlets.FileOutlet(path)
        for sent in lines(source, plan(duration_s=10)):
            to.take([sent.line])
        assert not path.exists()
        assert to.close()["bytes"] == path.stat().st_size
        body = path.read_bytes()
        if path.suffix == ".gz":
            body = gzip.decompress(body)
        elif path.suffix == ".zst":
            body = zstandard.ZstdDecompressor().stream_reader(body).read()
        texts.add(body)

    assert len(texts) == 1
    assert texts.pop().count(b"\n") == 100
    assert not list((tmp_path / "new").glob(".*"))


def test_http_requests_repeat_with_their_key_and_per_item_refusals_are_counted() -> None:
    source, given = source_named("air_quality"), plan(duration_s=100, bad=0.2)
    seen: list[tuple[str, int]] = []
    refusals = iter([UnavailableError("down"), None])

    def post(path: str, body: bytes, headers: object) -> tuple[int, dict[str, object]]:
        assert path == "/v1/events/batch?domain=air_quality"
        items = packs.inflate(body, packs.NDJSON_GZIP).splitlines()
        seen.append((dict(headers)["Idempotency-Key"], len(items)))  # type: ignore[call-overload]
        for refusal in refusals:
            if refusal:
                raise refusal
            return 503, {"error": "busy"}
        wrong = 0
        for item in items:
            try:
                msgspec.json.decode(item)
            except msgspec.DecodeError:
                wrong += 1
        return 200, {"total": len(items), "success": len(items) - wrong, "failed": wrong}

    ledger = Ledger(registered()["air_quality"])
    made = running.run(
        source,
        given,
        lambda: outlets.HttpOutlet(post, ManualClock(), registered()["air_quality"], "k"),
        ManualClock(),
        ledger,
        paced=False,
    )

    assert seen[0] == seen[1] == seen[2] != seen[3]
    assert made["sent"]["retries"] == 2
    assert made["sent"]["refused"] == made["bad"]["not_json"] > 0
    assert made["sent"]["accepted"] + made["sent"]["refused"] == made["lines"]
    assert max(Counter(key for key, _ in seen[2:]).values()) == 1


def test_paced_lines_leave_at_their_time() -> None:
    clock, sink, domain = ManualClock(START_US / 1e6), MemorySink(), registered()["air_quality"]
    left: list[float] = []

    class Watch(outlets.StreamOutlet):
        def take(self, some: object) -> None:
            left.append(clock.now_s())
            super().take(some)  # type: ignore[arg-type]

    running.run(
        source_named("air_quality"),
        plan(duration_s=5),
        lambda: Watch(sink, clock, domain, "s", "default"),
        clock,
        Ledger(domain),
        paced=True,
    )

    assert left == [START_US / 1e6 + i for i in range(1, 6)]


def test_a_long_run_holds_one_window_and_what_is_late_in_memory() -> None:
    source, domain = source_named("air_quality"), registered()["air_quality"]
    ledger, most = Ledger(domain), 0
    for _ in lines(source, plan(duration_s=100_000, rate=0.1), ledger):
        most = max(most, len(ledger._open))

    assert most == 13
    assert ledger.windows == 13 * 28


@pytest.mark.parametrize("changed", [{"bad": 1.0}, {"late": -0.1}, {"rate": 0}, {"duration_s": 0.01}])
def test_a_plan_out_of_range_is_refused_by_name(changed: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(changed))):
        plan(**changed)


def test_the_ledger_is_written_as_lines_that_read_back(tmp_path: Path) -> None:
    path = tmp_path / "ledger.ndjson"
    with path.open("w") as out:
        for _ in lines(source_named("air_quality"), plan(), Ledger(registered()["air_quality"], out)):
            pass

    windows, entities = read(iter(path.read_text().splitlines()))
    assert len(windows) == 13
    assert entities == {}
    assert all(json.loads(line) for line in path.read_text().splitlines())


def test_lake_is_what_the_check_reads(everything: MemoryDeps) -> None:
    found = check.windows_of(Lake(everything.blobs, everything.serving), registered()["air_quality"])

    assert found == {"gold": {}, "serving": {}}
