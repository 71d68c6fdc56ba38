"""``python -m bench.producer``: events into packs on their way, beside one JSON record per event. JSON on stdout.

The stream is faked on both sides: it takes what it is given and says yes.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from bench import harness

harness.hide_pandas()

import pyarrow as pa  # noqa: E402  # must not see pandas

from bench.data import SENSORS, sensor_events  # noqa: E402
from bench.harness import Subject  # noqa: E402
from levada.ports import Entry  # noqa: E402
from levada.producer import Producer  # noqa: E402
from levada.producer.disk import FolderDisk  # noqa: E402
from levada.wiring import SystemClock  # noqa: E402

LABELS = {
    "usual": "json.dumps of each event, PutRecords of 500",
    "dicts": "producer, a dict per event, NDJSON + zstd",
    "lines": "producer, a JSON text per event, NDJSON + zstd",
    "spooled": "producer, a dict per event, spool folder with sync",
    "table": "producer, an Arrow table of all rows, texts plain",
    "coded": "producer, an Arrow table of all rows, texts coded",
}


class YesSink:
    """A stream that takes everything."""

    def __init__(self) -> None:
        self.records = 0
        self.bytes = 0

    def put(self, entries: Sequence[Entry]) -> list[str | None]:
        self.records += len(entries)
        self.bytes += sum(len(entry.data) for entry in entries)
        return [None] * len(entries)


class _Client:
    """boto3's PutRecords, as far as a producer of its own uses it."""

    def __init__(self, sink: YesSink) -> None:
        self._sink = sink

    def put_records(self, *, StreamName: str, Records: list[dict[str, Any]]) -> dict[str, Any]:  # noqa: N803, ARG002
        self._sink.records += len(Records)
        self._sink.bytes += sum(len(one["Data"]) for one in Records)
        return {"FailedRecordCount": 0, "Records": [{}] * len(Records)}


def usual(items: Sequence[dict[str, Any]], sink: YesSink) -> None:
    """What a producer does that knows no packs."""
    client = _Client(sink)
    for start in range(0, len(items), 500):
        part = items[start : start + 500]
        records = [{"Data": json.dumps(item).encode(), "PartitionKey": item["sensor_id"]} for item in part]
        assert not client.put_records(StreamName="raw", Records=records)["FailedRecordCount"]


def subjects(events: int, folders: ExitStack) -> tuple[list[Subject], dict[str, float]]:
    """Each with a producer that lives on, as one does; and bytes per event on the wire."""
    items, _ = sensor_events(events, bad_share=0)
    lines = [json.dumps(item, separators=(",", ":")).encode() for item in items]
    table = pa.Table.from_pylist(items)
    coded = pa.table(
        {
            name: column.combine_chunks().dictionary_encode() if pa.types.is_string(column.type) else column
            for name, column in zip(table.column_names, table.columns, strict=True)
        }
    )
    sinks = {name: YesSink() for name in LABELS}
    folder = Path(folders.enter_context(tempfile.TemporaryDirectory(prefix="levada-bench-")))
    made = {
        name: Producer(sinks[name], SystemClock(), SENSORS, disk=FolderDisk(folder) if name == "spooled" else None)
        for name in LABELS
        if name != "usual"
    }
    folders.callback(made["spooled"].close)

    def dicts(producer: Producer) -> None:
        producer.send_all(items)
        assert producer.flush()

    def texts() -> None:
        for line in lines:
            made["lines"].send_line(line)
        assert made["lines"].flush()

    runs: dict[str, Callable[[], object]] = {
        "usual": lambda: usual(items, sinks["usual"]),
        "dicts": lambda: dicts(made["dicts"]),
        "lines": texts,
        "spooled": lambda: dicts(made["spooled"]),
        "table": lambda: made["table"].send_table(table),
        "coded": lambda: made["coded"].send_table(coded),
    }
    for name, run in runs.items():
        run()
        assert name == "usual" or made[name].stats.sent == events
    wire = {name: sinks[name].bytes / events for name in LABELS}
    return [Subject(name, LABELS[name], events, run) for name, run in runs.items()], wire


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.producer", description=__doc__)
    parser.add_argument("--events", type=int, default=10_000, help="given to each subject in a run")
    parser.add_argument("--repeats", type=int, default=15, help="rounds; in each every subject runs once")
    parser.add_argument("--json", action="store_true", help="the report on stdout")
    options = parser.parse_args(argv)
    with ExitStack() as folders:
        chosen, wire = subjects(options.events, folders)
        times = harness.interleave(chosen, options.repeats)
    rows = harness.summarise(chosen, times)
    harness.show(rows, [], sys.stderr)
    if options.json:
        report = {
            "repeats": options.repeats,
            "subjects": harness.to_json(rows),
            "wire_bytes": wire,
        }
        print(json.dumps(report, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
