"""Figure 4 of the windows' issue: the anomalies of the published file, listed with their windows (D14)."""

from __future__ import annotations

import csv
import json
from collections import defaultdict
from datetime import UTC, datetime
from pathlib import Path

import pytest

from levada.aggregate.handler import handler as aggregate
from levada.archive.handler import handler as archive
from levada.core.anomalies import FORGET_US
from levada.core.instants import micros
from levada.domains.air_quality import AIR_QUALITY
from levada.query.handler import handler as query
from levada.wiring import using
from levadactl import events
from levadactl.events import rest
from levadactl.memory import MemoryDeps
from tests.rules_by_hand import by_hand
from tests.unit.tools.pipeline import clean, file_packs

Listed = list[tuple[str, int, str]]
"""(metric, start of the window in seconds, rule)."""


def listed(file: Path, *, batch: int) -> Listed:
    """What /v1/anomalies lists once the file has gone through the functions, so many records in a batch."""
    memory = MemoryDeps()
    with using(memory):
        clean(memory, file_packs(file.read_text()))
        sent = [entry.data for entry in memory.clean.entries]
        for start in range(0, len(sent), batch):
            records = sent[start : start + batch]
            aggregate(events.kinesis(records, stream="clean", first=start + 1), None)
            aggregate(events.kinesis(records, stream="clean", first=start + 1), None)  # delivered again
        archive({"source": "levada.test", "detail": {"idle_after_s": 0}}, None)
        answer = query(rest("GET", "/v1/anomalies", query={"domain": "air_quality", "limit": "10000"}), None)
    found = json.loads(answer["body"])
    assert found["next"] is None
    return sorted((r["metric"], micros(r["time"]) // 1_000_000, r["rule"]) for r in found["anomalies"])


def in_plain_python(file: Path) -> Listed:
    """The same from the file's own text: one reading an hour is one window."""
    values: dict[str, dict[int, float]] = defaultdict(dict)
    with file.open(newline="") as lines:
        for row in csv.DictReader(lines, delimiter=";"):
            if not row["Date"]:
                continue
            at = datetime.strptime(f"{row['Date']} {row['Time']}", "%d/%m/%Y %H.%M.%S").replace(tzinfo=UTC)
            for column, metric in AIR_QUALITY.metrics.items():
                value = float(row[column].replace(",", "."))
                low, high = metric.low, metric.high
                if value != -200 and (low is None or value >= low) and (high is None or value <= high):
                    values[metric.name][int(at.timestamp())] = value
    watch = AIR_QUALITY.watch[0]
    return sorted(
        (metric, at, rule)
        for metric, hours in values.items()
        for at, rule in by_hand(sorted(hours.items()), watch, forget=FORGET_US / 1_000_000)
    )


@pytest.mark.parametrize("batch", [7, 1_000])
def test_anomalies_of_the_published_file_are_those_of_the_rules(batch: int, air_quality_file: Path) -> None:
    """However the stream is batched and however often delivered; few enough to be read."""
    wanted = in_plain_python(air_quality_file)

    assert listed(air_quality_file, batch=batch) == wanted
    assert 20 < len(wanted) < 200
