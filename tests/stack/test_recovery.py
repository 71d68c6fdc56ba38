"""SIGKILL in the middle of a load, then ``up`` and the load again: the same exact result as if nothing had happened."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from levadactl import embedded, generate, verify
from levadactl.domains import domain_named
from levadactl.embedded import ports, processes
from levadactl.embedded.state import load as stack_state
from levadactl.loading import Lake, close_idle_windows, upload
from levadactl.places import Place, wait_until
from tests.stack.loads import DOMAIN, load

pytestmark = [pytest.mark.stack, pytest.mark.slow]
ROWS = 6_000
PARAMETERS = {"Schedules": "DISABLED"}


@pytest.mark.parametrize(
    "killed_at", ["checkpoints/ingest/", "silver/", "checkpoints/clean/", "checkpoints/aggregate/"]
)
def test_a_kill_in_mid_load_and_the_load_again_are_exact(killed_at: str, tmp_path: Path) -> None:
    """The emulator forgets its streams and its tables then; ``up`` notices and says what it did."""
    folder, path = tmp_path / "state", tmp_path / "readings.csv"
    generate.write(path, n=ROWS, seed=21, every_s=60)
    first = embedded.start(folder=folder, port=ports.choose(), parameters=PARAMETERS)
    try:
        upload(first.place, path, domain=DOMAIN)
        lake = Lake.of(first.place)
        assert wait_until(lambda: any(True for _ in lake.blobs.list(killed_at)), timeout_s=60, every_s=0.01)
        kill(folder)

        second = embedded.start(folder=folder, parameters=PARAMETERS)
        assert second.recovered is not None
        assert {"records_cleaned", "rows_republished", "load_again"} <= set(second.recovered.republished)
        load(second.place, path)

        assert_exact(second.place, path)
    finally:
        embedded.stop(folder)


def kill(folder: Path) -> None:
    """SIGKILL for the emulator, its workers and the triggers, as the kernel does when memory runs out."""
    state = stack_state(folder)
    assert state is not None
    for process in processes.marked(folder):
        process.signal(signal.SIGKILL)
    assert wait_until(lambda: not processes.marked(folder), timeout_s=10)


def assert_exact(place: Place, path: Path) -> None:
    close_idle_windows(place)
    report = verify.verify_place(place, domain_named(DOMAIN), file=path)
    assert report.mismatches == 0, (report.examples, report.silver)
    assert report.windows == ROWS // 60 * 13 + 13 * (ROWS % 60 > 0)
    assert report.open == 0
    assert report.drained
