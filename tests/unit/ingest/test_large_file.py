"""A CSV file far larger than the memory it may take, killed half-way: constant memory, and every row exactly once.

``make large MB=1024`` is the figure that was promised; CI loads less.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pyarrow.compute as pc
import pytest

from levada.clean.decode import LINE
from levada.core import columns, packs
from levadactl.places import wait_until
from tests.conftest import ROOT
from tests.unit.ingest.large_file import records
from tests.unit.ingest.support import HEADER, KEY

pytestmark = pytest.mark.slow

LARGE_MB = int(os.environ.get("LEVADA_LARGE_MB", "160"))
MAX_PEAK_MIB = 300
CHUNK_ROWS = 50_000
PATIENCE_S = 600


def chunk(first: int) -> bytes:
    """Rows numbered from ``first`` on, the number in column a; what a row weighs does not depend on it."""
    day = first // CHUNK_ROWS % 28 + 1
    numbers = range(first, first + CHUNK_ROWS)
    lines = (f"2024-01-{day:02d};sensor-{n % 499:04d};{n:09d};{n % 100:02d},25\n" for n in numbers)
    return "".join(lines).encode()


@pytest.fixture
def large(tmp_path: Path) -> Iterator[tuple[Path, int]]:
    """(folder, rows in its file)."""
    path = tmp_path / "lake" / KEY
    path.parent.mkdir(parents=True)
    rows = 0
    with path.open("wb") as file:
        file.write(HEADER + b"\n")
        while file.tell() < LARGE_MB * 2**20:
            file.write(chunk(rows))
            rows += CHUNK_ROWS
    yield tmp_path, rows
    path.unlink()
    (tmp_path / "stream").unlink()


def start(folder: Path) -> subprocess.Popen[bytes]:
    environment = os.environ | {"PYTHONPATH": f"{ROOT}:{ROOT}/functions:{ROOT}/infra"}
    command = [sys.executable, "-m", "tests.unit.ingest.large_file", str(folder)]
    return subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE)


def offset_of(folder: Path) -> int:
    """The byte that the ledger has come to."""
    ledgers = folder.glob("lake/checkpoints/ingest/tiny/default/*.json")
    return max((int(json.loads(path.read_bytes())["progress"]["offset"]) for path in ledgers), default=0)


def peak_mib_of(child: subprocess.Popen[bytes]) -> float:
    status = Path(f"/proc/{child.pid}/status")
    return int(status.read_text().partition("VmHWM:")[2].split()[0]) / 1024 if status.exists() else 0.0


def test_a_large_file_in_constant_memory_killed_half_way_is_loaded_exactly_once(large: tuple[Path, int]) -> None:
    folder, rows = large
    size = (folder / "lake" / KEY).stat().st_size
    first = start(folder)
    assert wait_until(lambda: offset_of(folder) > size / 2 or first.poll() is not None, PATIENCE_S, 0.02)
    half, peak_before_mib = offset_of(folder), peak_mib_of(first)
    first.send_signal(signal.SIGKILL)
    first.communicate()
    sent_before = sum(1 for _ in records(folder / "stream"))

    answer = json.loads(start(folder).communicate(timeout=PATIENCE_S)[0])

    counts = answer["outcome"]
    peak_mib = max(peak_before_mib, answer["peak_mib"])
    sys.stderr.write(f"{rows} rows, {size >> 20} MiB, killed at {half >> 20}, peak {peak_mib:.0f} MiB\n")
    assert peak_mib < MAX_PEAK_MIB
    assert half < size
    assert (counts["status"], counts["rows_read"], counts["bad_rows"]) == ("loaded", rows, 0)
    assert (counts["lines"], counts["bytes"]) == (rows + 1, size)
    seen: set[tuple[str, int]] = set()
    lines = numbers = total = 0
    for data in records(folder / "stream"):
        header, body = packs.split(data)
        if (header.source, header.position) in seen:
            continue  # what clean does with a pack that comes again
        seen.add((header.source, header.position))
        table = columns.from_bytes(body)
        total += table.num_rows
        lines += pc.sum(table[LINE]).as_py()
        numbers += pc.sum(table["a"].cast("int64")).as_py()
    assert len(seen) == counts["packs"]
    assert total == rows
    assert numbers == rows * (rows - 1) // 2
    assert lines == sum(range(2, rows + 2))
    assert 0 < sent_before < counts["packs"]
