"""``python -m bench.aggregate``: windows from canonical rows, beside a plain Python dict of windows. JSON on stdout."""

from __future__ import annotations

import argparse
import json
import math
import sys
from typing import Any

from bench import harness

harness.hide_pandas()

import pyarrow as pa  # noqa: E402  # pyarrow must not see pandas

from bench.data import NOW_S, SENSORS, arrow_packs  # noqa: E402
from bench.harness import Subject  # noqa: E402
from levada.clean.normalise import Origin, melt  # noqa: E402
from levada.clean.reading import Rules, read  # noqa: E402
from levada.core import kinesis_event, partials  # noqa: E402
from levada.core.positions import pad_sequence  # noqa: E402
from levada.core.records import SERIES  # noqa: E402

WIDTH_S = 60
LABELS = {
    "dict": "windows in a Python dict, row by row",
    "from_rows": "partials.from_rows",
    "with_merge": "partials.from_rows, and merge with those that are open",
}


def canonical_rows(events: int) -> pa.Table:
    """What clean publishes of so many events: a row per metric, with a time and mostly a value."""
    given = arrow_packs(events, typed=True, bad_share=0)
    batch = kinesis_event.parse(given.event)
    assert batch is not None
    rules = Rules(domains={SENSORS.name: SENSORS}, tenant="default", latest_us=NOW_S * 1_000_000)
    found = read(batch, 0, rules, lambda _: True)
    n = len(batch)
    sources = [found.headers[i].source for i in range(n)]
    origin = Origin("6553f100-000000000000", list(map(pad_sequence, batch.sequences)), sources, [0] * n, ["t"] * n)
    return melt(found.tables[0], found.tables[0].rows, origin)


def dict_windows(columns: list[list[Any]]) -> dict[tuple[Any, ...], list[Any]]:
    """(series, window) → count, sum, min, max, mean, M2, first, last with their times: Welford's update per row.

    Args:
        columns: the rows as Python values already (that costs as much again): series parts, time us, value.
    """
    windows: dict[tuple[Any, ...], list[Any]] = {}
    for *series, time_us, value in zip(*columns, strict=True):
        key = (*series, time_us - time_us % (WIDTH_S * 1_000_000))
        window = windows.get(key)
        if window is None:
            windows[key] = [1, value, value, value, value, 0.0, time_us, value, time_us, value]
            continue
        count = window[0] = window[0] + 1
        window[1] += value
        window[2] = min(window[2], value)
        window[3] = max(window[3], value)
        off = value - window[4]
        window[4] += off / count
        window[5] += off * (value - window[4])
        if time_us < window[6]:
            window[6:8] = time_us, value
        if time_us >= window[8]:
            window[8:] = time_us, value
    return windows


def subjects(events: int) -> list[Subject]:
    rows = canonical_rows(events)
    plain = [rows[name].cast(pa.string()).to_pylist() for name in SERIES]
    plain += [rows["time"].cast(pa.int64()).to_pylist(), rows["value"].to_pylist()]
    half = rows.num_rows // 2
    known = partials.from_rows(rows.slice(0, half), width_s=WIDTH_S, opened="0", watermark_us=None)

    def from_rows() -> pa.Table:
        return partials.from_rows(rows, width_s=WIDTH_S, opened="0", watermark_us=None)

    _check(from_rows(), dict_windows(plain))
    n = rows.num_rows
    runs = {
        "dict": lambda: dict_windows(plain),
        "from_rows": from_rows,
        "with_merge": lambda: partials.merge([known, from_rows()]),
    }
    return [Subject(name, LABELS[name], n, run) for name, run in runs.items()]


def _check(found: pa.Table, expected: dict[tuple[Any, ...], list[Any]]) -> None:
    assert found.num_rows == len(expected), f"{found.num_rows} windows, not {len(expected)}"
    assert sum(found["count"].to_pylist()) == sum(window[0] for window in expected.values())
    for name, at in (("sum", 1), ("m2", 5), ("first", 7)):
        total = math.fsum(found[name].to_pylist())
        assert math.isclose(total, math.fsum(w[at] for w in expected.values()), rel_tol=1e-6), name


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.aggregate", description=__doc__)
    parser.add_argument("--events", type=int, default=10_000, help="source rows; two canonical rows each")
    parser.add_argument("--repeats", type=int, default=15, help="rounds; in each every subject runs once")
    parser.add_argument("--json", action="store_true", help="the report on stdout")
    options = parser.parse_args(argv)
    chosen = subjects(options.events)
    rows = harness.summarise(chosen, harness.interleave(chosen, options.repeats))
    harness.show(rows, [], sys.stderr)
    if options.json:
        print(json.dumps({"repeats": options.repeats, "subjects": harness.to_json(rows)}, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
