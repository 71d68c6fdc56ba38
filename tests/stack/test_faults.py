"""On the embedded stack: functions that die at random, and a producer that sends everything sixty times (E3, D27)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from levadactl import embedded, generate, verify
from levadactl.domains import domain_named
from levadactl.embedded import ports, triggers
from levadactl.errors import LevadactlError
from levadactl.loading import TENANT, Lake, Streams, close_idle_windows, sha256_of, upload
from levadactl.places import Place, wait_until
from tests.stack.loads import DOMAIN, load

pytestmark = [pytest.mark.stack, pytest.mark.slow]
ROWS = 3_000
RESENDS = 60
FAULT_EVERY = 100
PUTS = 3


def _raw_records(place: Place) -> Iterator[Any]:
    kinesis = place.client("kinesis")
    for shard in kinesis.list_shards(StreamName=place.raw_stream)["Shards"]:
        iterator = kinesis.get_shard_iterator(
            StreamName=place.raw_stream, ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON"
        )["ShardIterator"]
        for record in kinesis.get_records(ShardIterator=iterator)["Records"]:
            yield {"Data": record["Data"], "PartitionKey": record["PartitionKey"]}


def _resend(place: Place, packs: list[Any]) -> None:
    place.client("kinesis").put_records(StreamName=place.raw_stream, Records=packs)


def test_everything_sent_sixty_times_leaves_the_totals_exact(embedded_stack: Place, tmp_path: Path) -> None:
    path = tmp_path / "sixty.csv"
    generate.write(path, n=ROWS, seed=60, every_s=60)
    load(embedded_stack, path)
    lake = Lake.of(embedded_stack)
    before = lake.counters("clean")[DOMAIN]
    packs = list(_raw_records(embedded_stack))

    for _ in range(RESENDS):
        _resend(embedded_stack, packs)

    more = RESENDS * len(packs)
    assert wait_until(
        lambda: lake.counters("clean")[DOMAIN]["duplicates"] == before["duplicates"] + more, timeout_s=120, every_s=0.5
    )
    after = lake.counters("clean")[DOMAIN]
    assert {k: v for k, v in after.items() if k != "duplicates"} == {
        k: v for k, v in before.items() if k != "duplicates"
    }
    close_idle_windows(embedded_stack)
    assert verify.verify_place(embedded_stack, domain_named(DOMAIN)).mismatches == 0


def test_functions_that_die_at_random_lose_and_double_nothing(tmp_path: Path) -> None:
    folder, path = tmp_path / "state", tmp_path / "readings.csv"
    generate.write(path, n=ROWS, seed=86, every_s=3600)
    parameters = {"Schedules": "DISABLED", "FaultEvery": str(FAULT_EVERY)}
    place = embedded.start(folder=folder, port=ports.choose(), parameters=parameters).place
    try:
        _load(place, path)
        packs = list(_raw_records(place))

        def died() -> bool:
            """A short load makes too few calls for one to be sure to go wrong: the same is sent until one has."""
            _resend(place, packs)
            return _failures(folder) > 0

        assert wait_until(died, timeout_s=120, every_s=1.0), "no function has died: the switch does nothing"
        assert wait_until(lambda: _closed(place), timeout_s=120, every_s=0.1)
        report = verify.verify_place(place, domain_named(DOMAIN), file=path)
        assert report.mismatches == 0, (report.examples, report.silver)
        assert report.windows == ROWS * 13
    finally:
        embedded.stop(folder)


def _load(place: Place, path: Path) -> None:
    """Until every row is in its window. Not ``load``, which waits for gold too: what aggregate dies over behind its
    last commit is archive's to emit, and no schedule calls it here. A landed file is given up after three attempts
    that die, and is put once more then."""
    lake, content = Lake.of(place), sha256_of(path)

    def applied() -> bool:
        ledger = lake.ledger(DOMAIN, TENANT, content)
        return ledger is not None and ledger["done"] and Streams(place, lake).drained()

    for _ in range(PUTS):
        upload(place, path, domain=DOMAIN)
        if wait_until(applied, timeout_s=120, every_s=0.5):
            return
    raise AssertionError(f"ledger {lake.ledger(DOMAIN, TENANT, content)}, waits for {Streams(place, lake).awaited()}")


def _closed(place: Place) -> bool:
    """Archive dies at times too: it is a schedule's business to call it again."""
    try:
        close_idle_windows(place)
    except LevadactlError:
        return False
    return True


def _failures(folder: Path) -> int:
    status = triggers.status(folder)
    assert status is not None
    return sum(shard["failures"] for mapping in status["mappings"] for shard in mapping["shards"])
