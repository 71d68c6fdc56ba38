"""The connected producer: it sends by itself, at the end of the program too, and several threads may use it (C27)."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from levada.core.errors import ConfigError
from levada.ports import Entry
from levada.producer import Limits, connect
from levada.producer.connect import on_sink
from levadactl.memory import MemorySink
from tests.conftest import ROOT
from tests.unit.producer.hostile import SENSORS, consumed, each_once, event
from tests.unit.producer.victim import read


class Telling(MemorySink):
    """Says when something has arrived."""

    def __init__(self) -> None:
        super().__init__()
        self.arrived = threading.Event()

    def put(self, entries: Sequence[Entry]) -> list[str | None]:
        answers = super().put(entries)
        self.arrived.set()
        return answers


def test_an_event_leaves_by_itself_when_its_time_is_up() -> None:
    sink = Telling()
    with on_sink(sink, SENSORS, limits=Limits(interval_s=0.02)) as producer:
        producer.send(event(0))

        assert sink.arrived.wait(timeout=30)

    assert each_once(sink.entries, 1)


def test_what_is_left_at_the_end_of_the_program_is_sent_without_close(tmp_path: Path) -> None:
    program = f"""
from pathlib import Path
from levada.producer import Limits
from levada.producer.connect import on_sink
from tests.unit.producer.hostile import SENSORS, event
from tests.unit.producer.victim import FileStream
producer = on_sink(FileStream(Path({str(tmp_path / "stream")!r})), SENSORS, limits=Limits(interval_s=3600))
producer.send_all(event(i) for i in range(50))
"""
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True)

    assert each_once(list(read(tmp_path / "stream")), 50)


def test_several_threads_send_and_nothing_is_lost_or_doubled() -> None:
    sink = MemorySink()
    with on_sink(sink, SENSORS, limits=Limits(pack_rows=7, interval_s=0.01)) as producer:

        def some(first: int) -> None:
            # one thread a sensor: order is promised to whoever sends in order
            for i in range(first, 9 * 200, 9):
                producer.send(event(i))

        threads = [threading.Thread(target=some, args=(first,)) for first in range(9)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    found = consumed(sink.entries)
    assert sorted(i for ids in found.values() for i in ids) == list(range(1800))
    for sensor in range(9):
        (mine,) = [[i for i in ids if i % 9 == sensor] for ids in found.values() if any(i % 9 == sensor for i in ids)]
        assert mine == sorted(mine)


def test_connect_takes_a_registered_domain_by_name_and_a_client_of_the_caller() -> None:
    class Client:
        records: list[dict[str, Any]] = []  # noqa: RUF012 - one client, one test

        def put_records(self, *, StreamName: str, Records: list[dict[str, Any]]) -> dict[str, Any]:  # noqa: N803
            assert StreamName == "raw"
            self.records.extend(Records)
            return {"Records": [{} for _ in Records]}

    client = Client()
    with connect("raw", "sensor", client=client) as producer:
        reading = {"timestamp": "2026-01-01T00:00:00Z", "metric": "temperature", "value": 1}
        producer.send(reading | {"machine_id": "m1", "sensor_id": "s1"})

    assert [record["PartitionKey"][:5] for record in client.records] == ["lane-"]
    with pytest.raises(ConfigError, match="nowhere"):
        connect("raw", "nowhere", client=client)
