"""The log on the disk: what is read back, what is refused, what is removed, and that nobody shares it (C27)."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from levada.core.errors import LevadaError
from levada.ports import Entry
from levada.producer import Limits, Producer, SpoolBusyError, SpoolDamagedError, SpoolError, SpoolFullError
from levada.producer.connect import on_sink
from levada.producer.disk import FolderDisk, MemoryDisk
from levada.producer.spool import Pack, Spool
from levadactl.memory import ManualClock, MemorySink
from tests.unit.producer.hostile import SENSORS, HostileStream, each_once, event, sent_until_refused

OWNER = ("domain", "tenant")


def spool(disk: MemoryDisk | FolderDisk, *, owner: tuple[str, str] = OWNER, segment_bytes: int = 1000) -> Spool:
    return Spool(disk, owner, new_session=lambda: "s", max_bytes=10**9, segment_bytes=segment_bytes)


def pack(n: int, lane: int = 1, size: int = 100) -> Pack:
    return Pack(lane, n, 7, Entry(f"lane-{lane:02d}", bytes([n % 256]) * size))


def test_what_is_not_acknowledged_is_there_again_with_the_same_bytes_and_positions() -> None:
    disk = MemoryDisk()
    one = spool(disk)
    for n in range(20):
        one.append([pack(n), pack(n, lane=2)], {"line": n})
    one.acknowledge(12)

    again = spool(disk)

    assert [entry for group in again.waiting for entry in again.entries(group)] == [
        entry for n in range(12, 20) for entry in (pack(n).entry, pack(n, lane=2).entry)
    ]
    assert (again.position(1), again.position(2), again.position(3)) == (20, 20, 0)
    assert again.mark == {"line": 19}
    assert again.session == "s"


def test_segments_go_once_all_of_their_groups_are_acknowledged() -> None:
    disk = MemoryDisk()
    one = spool(disk)
    for n in range(100):
        one.append([pack(n)], None)
    before = len(disk.files)
    one.acknowledge(50)
    middle = len(disk.files)
    one.acknowledge(100)

    assert before > 10
    assert before / 3 < middle < before * 2 / 3
    assert len(disk.files) == 1
    assert spool(disk).position(1) == 100


def test_groups_beyond_a_few_megabytes_are_read_back_from_the_log(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("levada.producer.spool.KEEP_BYTES", 500)
    one = spool(MemoryDisk())
    for n in range(20):
        one.append([pack(n)], None)

    assert sum(group.entries is not None for group in one.waiting) < 5
    assert [one.entries(group) for group in one.waiting] == [[pack(n).entry] for n in range(20)]


def test_the_spool_of_another_domain_or_tenant_is_refused() -> None:
    disk = MemoryDisk()
    spool(disk)

    with pytest.raises(SpoolError, match=r"belongs to \['domain', 'tenant'\]: not to \['domain', 'other'\]"):
        spool(disk, owner=("domain", "other"))


@pytest.mark.parametrize("at", [0.2, 0.5, 0.8])
def test_bytes_that_were_changed_in_the_middle_are_an_error_that_names_the_place(at: float) -> None:
    disk = MemoryDisk()
    one = spool(disk, segment_bytes=10**6)
    for n in range(20):
        one.append([pack(n)], None)
    (name,) = disk.files
    disk.files[name][int(len(disk.files[name]) * at)] ^= 0xFF

    with pytest.raises(SpoolDamagedError, match=f"{name}: bytes .* are not what was written; move the whole spool"):
        spool(disk)


def test_a_write_that_was_cut_off_is_as_if_it_had_not_been() -> None:
    disk = MemoryDisk()
    one = spool(disk, segment_bytes=10**6)
    one.append([pack(0)], "first")
    (name,) = disk.files
    whole = len(disk.files[name])
    one.append([pack(1)], "second")
    for cut in range(whole, len(disk.files[name])):
        left = MemoryDisk()
        left.files[name] = disk.files[name][:cut]
        again = spool(left)
        assert (len(again.waiting), again.mark, again.position(1)) == (1, "first", 1)


def test_a_second_process_in_the_same_folder_is_refused_until_the_first_has_ended(tmp_path: Path) -> None:
    program = f"""
from pathlib import Path
from levada.producer.disk import FolderDisk
disk = FolderDisk(Path({str(tmp_path)!r}))
print("mine", flush=True)
input()
"""
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "mine\n"
        with pytest.raises(SpoolBusyError, match="another process sends from this spool folder"):
            on_sink(MemorySink(), SENSORS, spool=tmp_path)
        other.kill()
    with on_sink(MemorySink(), SENSORS, spool=tmp_path) as mine:
        mine.send(event(0))
    assert mine.stats.sent == 1


def test_a_folder_keeps_what_a_stream_that_is_down_did_not_take(tmp_path: Path) -> None:
    down, up = MemorySink(), MemorySink()
    down.down = True
    limits = Limits(pack_rows=5, attempts=1)
    for start in (0, 50, 100):
        with Producer(down, ManualClock(), SENSORS, disk=FolderDisk(tmp_path), limits=limits) as one:
            one.send_all(event(i) for i in range(start, start + 50))
    with Producer(up, ManualClock(), SENSORS, disk=FolderDisk(tmp_path), limits=limits) as one:
        one.send_all(event(i) for i in range(150, 200))

    assert (one.stats.recovered, one.stats.sent) == (150, 200)
    assert each_once(up.entries, 200)
    assert sum(path.stat().st_size for path in tmp_path.glob("*.log")) < 5000, "what was sent is removed"


def _full_after(writes: int, real: Callable[[int, bytes], int]) -> Callable[[int, bytes], int]:
    left = iter(range(writes))

    def write(file: int, data: bytes) -> int:
        if next(left, None) is None:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(file, data[: len(data) // 2 + 1])  # and cuts writes short before that

    return write


def test_a_full_disk_refuses_and_leaves_no_half_frame(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stream = HostileStream(["down"] * 100)
    limits = Limits(pack_rows=1, attempts=1)
    one = Producer(stream, ManualClock(), SENSORS, disk=FolderDisk(tmp_path), limits=limits)
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", _full_after(100, os.write))
        taken = sent_until_refused(one)
        with pytest.raises(SpoolFullError, match="No space left on device"):
            one.send(event(taken))

    assert 2 < taken < 30
    stream.faults.clear()
    one.close()
    assert each_once(stream.entries, taken)
    with Producer(stream, ManualClock(), SENSORS, disk=FolderDisk(tmp_path)) as again:
        assert again.stats.recovered == 0


def test_after_a_sync_that_failed_nothing_is_written_until_the_spool_is_opened_again(tmp_path: Path) -> None:
    class Failing(FolderDisk):
        fails = False

        def sync(self, name: str) -> None:
            if self.fails:
                raise OSError(errno.EIO, "Input/output error")
            super().sync(name)

    disk, stream = Failing(tmp_path), HostileStream()
    one = Producer(stream, ManualClock(), SENSORS, disk=disk)
    one.send(event(0))
    disk.fails = True
    with pytest.raises(OSError, match="Input/output"):
        one.persist()
    disk.fails = False
    with pytest.raises(SpoolError, match="a write did not end"):
        one.persist()
    with pytest.raises(LevadaError):
        one.close()

    Producer(stream, ManualClock(), SENSORS, disk=FolderDisk(tmp_path)).close()

    assert each_once(stream.entries, 1)
