"""``python -m bench.aggregate``: canonical rows to windows with quantile bins, merged with open ones, encoded; beside a
Python dict and polars. And what a batch pays for 10,000 open windows. JSON on stdout."""

from __future__ import annotations

import argparse
import json
import math
import os
import pickle
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

from bench import harness

harness.hide_pandas()
os.environ["POLARS_MAX_THREADS"] = "1"  # CPU time is what is compared

import numpy as np  # noqa: E402
import pyarrow as pa  # noqa: E402  # pyarrow must not see pandas

from bench.aggregate_peers import Windows, dict_batch, dict_closed, dict_windows, polars_windows, to_polars  # noqa: E402
from bench.harness import Subject, Target  # noqa: E402
from levada.aggregate.layers import Layer, open_parts  # noqa: E402
from levada.aggregate.state import AggregateState, Windowed  # noqa: E402
from levada.core import merging, rowparts  # noqa: E402
from levada.core.checkpoint import Checkpoint  # noqa: E402
from levada.core.parts import Parts  # noqa: E402
from levada.core.positions import pad_sequence  # noqa: E402
from levada.core.records import MEASUREMENT, SERIES  # noqa: E402
from levada.core.vectors import to_numpy  # noqa: E402

WIDTH_S = 60
SERIES_COUNT, SPREAD_S = 500, 120
"""Series, and the seconds over which one batch's rows lie, as a live stream's do."""
START_US = 1_767_225_600_000_000
SIZES = (10_000, 100_000)
OPEN = 10_000
"""Open windows of the second part."""
RECORD_ROWS = 500
LABELS = {
    "dict": "windows in a Python dict, row by row",
    "dict_state": "the same, its state read and written (pickle)",
    "polars": "polars group_by, statistics and bins",
    "rows": "levada: partials from rows",
    "laid": "levada: state read, partials laid over it, written",
    "merged": "levada: the same, all merged at once",
}
BATCHES = 16
"""Of a stream that moves on."""
STREAM = ("bench", "default")
LATENESS_US = 60_000_000
STREAMS = {"still": (SPREAD_S - 4, 0), "fast": (20, 20), "slow": (SPREAD_S, SPREAD_S)}
"""How many seconds a batch of 10,000 rows is long, and how many the next is further on. Still: all batches fall into
the same 1,000 windows, none closes. Fast: a reading of each series every second. Slow: one every 6 s, so that windows
do not stay open for long."""
STREAM_LABELS = {
    "dict": "windows in a Python dict, row by row",
    "dict_state": "the same, its state read and written (pickle)",
    "polars": "polars group_by, statistics and bins",
    "levada": "levada: the whole of a batch, amortised",
}
TIMES = len(SERIES)
"""Place of the times in the dict's columns."""
EMPTY = AggregateState().to_checkpoint().to_bytes()
WANTED_MS = 50.0
"""What load, merge and store of OPEN windows may cost a batch, in milliseconds of CPU."""


def canonical_rows(
    n: int, *, seed: int, spread_s: int = SPREAD_S, series: int = SERIES_COUNT, after_s: int = 0
) -> pa.Table:
    """n measurements as clean publishes them, in order of their positions; times a little out of order."""
    dice = np.random.default_rng(seed)
    times = (
        START_US
        + after_s * 1_000_000
        + np.sort(dice.integers(0, spread_s * 1000, n)) * 1000
        - dice.integers(0, 2_000_000, n)
    )
    names = pa.array([f"sensor-{i:05d}" for i in range(series)])
    records = np.arange(n) // RECORD_ROWS
    sequences = [pad_sequence(seed * 1_000_000 + i) for i in range(int(records[-1]) + 1)]
    texts = {"domain": ["bench"], "tenant": ["default"], "site": ["plant"], "unit": [""], "metric": ["temperature"]}
    texts |= {"shard": ["6553f100-000000000000"], "source": ["file/0#01"]}
    columns: dict[str, Any] = {name: _coded(np.zeros(n, np.int32), pa.array(one)) for name, one in texts.items()}
    columns |= {
        "time": pa.array(times).cast(MEASUREMENT.field("time").type),
        "series": _coded(dice.integers(0, series, n).astype(np.int32), names),
        "value": pa.array(np.round(dice.normal(20, 5, n), 2)),
        "quality": pa.array(np.zeros(n, np.uint8)),
        "event_id": pa.nulls(n, pa.string()),
        "sequence": _coded(records.astype(np.int32), pa.array(sequences)),
        "position": pa.array(np.zeros(n, np.int64)),
        "row": pa.array((np.arange(n) % RECORD_ROWS).astype(np.int32)),
    }
    return pa.table([columns[f.name] for f in MEASUREMENT], schema=MEASUREMENT)


def _coded(codes: np.ndarray[Any, Any], texts: pa.Array) -> pa.DictionaryArray:
    return pa.DictionaryArray.from_arrays(pa.array(codes), texts)


def windows(rows: pa.Table) -> Parts:
    return rowparts.of_rows(rows, width_s=WIDTH_S, opened=pad_sequence(1), watermark_us=None, quantile_error=0.01)


def laid(state: bytes, rows: pa.Table) -> bytes:
    """The whole of a batch but reading its records: state read, windows laid over the open ones, state written."""
    known = AggregateState.from_checkpoint(Checkpoint.from_bytes(state))
    known.add(Windowed(partials=[windows(rows)]))
    return known.to_checkpoint().to_bytes()


def merged(state: bytes, rows: pa.Table) -> bytes:
    """As ``laid``, and all layers merged into one at once, which a stage does when there are too many of them."""
    known = AggregateState.from_checkpoint(Checkpoint.from_bytes(state))
    found = open_parts(known.layers)
    known.layers = [Layer.of(merging.merged([*([found] if found else []), windows(rows)]))]
    return known.to_checkpoint().to_bytes()


def step(state: bytes, rows: pa.Table) -> bytes:
    """A batch of a stream that moves on: as ``laid``, and what the watermark has passed closes, as a table that could
    be emitted."""
    known = AggregateState.from_checkpoint(Checkpoint.from_bytes(state))
    known.clear_outbox()
    known.add(Windowed(partials=[windows(rows)], highest_us={STREAM: int(to_numpy(rows["time"]).max())}))
    known.close({STREAM: known.highest_us[STREAM] - LATENESS_US})
    assert known.outbox.num_rows == known.leaving.rows
    return known.to_checkpoint().to_bytes()


def stream(batches: Sequence[pa.Table]) -> bytes:
    """One batch after the other, from an empty state on."""
    state = EMPTY
    for rows in batches:
        state = step(state, rows)
    return state


def dict_stream(batches: Sequence[Sequence[Sequence[Any]]], *, kept: bool) -> Windows:
    """The same by the dict; kept: its state, and what has closed, read and written at each batch."""
    state, windows = pickle.dumps(({}, []), protocol=5), {}
    for columns in batches:
        if kept:
            windows, _ = pickle.loads(state)  # noqa: S301  # our own bytes
        closed = dict_closed(dict_windows(columns, windows), max(columns[TIMES]) - LATENESS_US)
        if kept:
            state = pickle.dumps((windows, closed), protocol=5)
    return windows


def stream_subjects(name: str, spread_s: int, step_s: int) -> list[Subject]:
    """A stream of BATCHES batches of 10,000 rows, spread_s seconds long, each step_s seconds further on."""
    n = SIZES[0]
    batches = [canonical_rows(n, seed=i + 1, spread_s=spread_s, after_s=i * step_s + 3) for i in range(BATCHES)]
    lists, frames = [plain(rows) for rows in batches], [to_polars(rows, SERIES) for rows in batches]
    left = AggregateState.from_checkpoint(Checkpoint.from_bytes(stream(batches)))
    expected = dict_stream(lists, kept=True)
    assert left.open.num_rows == len(expected)
    assert left.open["count"].to_pylist() == [expected[key].count for key in sorted(expected)]
    runs: dict[str, Callable[[], object]] = {
        "dict": lambda: dict_stream(lists, kept=False),
        "dict_state": lambda: dict_stream(lists, kept=True),
        "polars": lambda: [polars_windows(frame, SERIES) for frame in frames],
        "levada": lambda: stream(batches),
    }
    return [Subject(f"{subject}_{name}", STREAM_LABELS[subject], n * BATCHES, run) for subject, run in runs.items()]


def subjects(n: int) -> list[Subject]:
    """The four at this number of rows; a batch of as many was there before, over the same windows."""
    before, rows = canonical_rows(n, seed=1), canonical_rows(n, seed=2)
    lists = [plain(table) for table in (before, rows)]
    state = merged(EMPTY, before)
    frame = to_polars(rows, SERIES)
    _check(state, before, rows, dict_windows(lists[1], dict_windows(lists[0], {})))
    known = dict_windows(lists[0], {})  # grows no further: every run adds to the same windows
    kept = pickle.dumps(known, protocol=5)
    runs: dict[str, Callable[[], object]] = {
        "dict": lambda: dict_windows(lists[1], known),
        "dict_state": lambda: dict_batch(lists[1], kept),
        "polars": lambda: polars_windows(frame, SERIES),
        "rows": lambda: windows(rows),
        "laid": lambda: laid(state, rows),
        "merged": lambda: merged(state, rows),
    }
    return [Subject(f"{name}_{n}", LABELS[name], n, run) for name, run in runs.items()]


def plain(rows: pa.Table) -> list[list[Any]]:
    lists = [rows[name].cast(pa.string()).to_pylist() for name in SERIES]
    return [*lists, rows["time"].cast(pa.int64()).to_pylist(), rows["value"].to_pylist()]


def _check(state: bytes, before: pa.Table, rows: pa.Table, expected: Windows) -> None:
    """All three find the same: a wrong answer is not worth timing."""
    found = AggregateState.from_checkpoint(Checkpoint.from_bytes(merged(state, rows))).open
    assert found.num_rows == len(expected), f"{found.num_rows} windows, not {len(expected)}"
    starts = found["window_start"].cast(pa.int64()).to_pylist()
    keys = zip(*(found[name].cast(pa.string()).to_pylist() for name in SERIES), starts, strict=True)
    for key, row in zip(keys, found.to_pylist(), strict=True):
        want = expected[key]
        assert (row["count"], row["min"], row["max"]) == (want.count, want.low, want.high)
        assert (row["first"], row["last"]) == (want.first, want.last)
        assert dict(zip(row["bin_keys"], row["bin_counts"], strict=True)) == want.bins
        assert math.isclose(row["m2"], want.m2, rel_tol=1e-9, abs_tol=1e-6)
    statistics, histogram = polars_windows(to_polars(pa.concat_tables([before, rows]), SERIES), SERIES)
    assert statistics.height == len(expected)
    assert histogram.height == sum(len(window.bins) for window in expected.values())


def state_costs(repeats: int) -> dict[str, Any]:
    """CPU milliseconds of load, merge and store of OPEN windows of 60 values each, for batches of 10,000 rows that fall
    into them: the mean of BATCHES in a row, and the most that one of them took (median of the repeats)."""
    series = 1_000
    minutes = OPEN // series
    spread_s = minutes * 60 - 4
    state = merged(EMPTY, canonical_rows(OPEN * 60, seed=3, spread_s=spread_s, series=series, after_s=3))
    batches = [canonical_rows(10_000, seed=4 + i, spread_s=spread_s, series=series, after_s=3) for i in range(BATCHES)]
    for rows in batches:  # as many layers as there usually are
        state = laid(state, rows)
    runs, size = [], []
    for i, rows in enumerate(batches):
        size.append(len(state))
        runs.append(Subject(f"whole_{i}", "a batch", 1, partial(laid, state, rows)))
        state = laid(state, rows)
    runs.append(Subject("rows", "windows of the rows", 1, lambda: windows(batches[0])))
    times = {name: float(np.median(some)) * 1e3 for name, some in harness.interleave(runs, repeats).items()}
    alone = times.pop("rows")
    count = AggregateState.from_checkpoint(Checkpoint.from_bytes(state)).open.num_rows
    mean, most = float(np.mean(list(times.values()))), max(times.values())
    costs = {"state_ms": mean - alone, "most_ms": most - alone, "batch_ms": mean}
    return {"open_windows": count, "state_bytes": max(size), **costs}


def _targets() -> Iterator[Target]:
    about = {
        "still": "16 batches of 10,000 rows into the same windows",
        "fast": "16 batches of 10,000 rows, 20 s each",
        "slow": "16 batches of 10,000 rows, 120 s each",
    }
    for name, what in about.items():
        yield Target(f"{what}, against a Python dict", f"levada_{name}", f"dict_{name}", at_least=8)
        yield Target(f"{what}, against a dict that keeps its state", f"levada_{name}", f"dict_state_{name}", at_least=8)
        yield Target(f"{what}, against polars", f"levada_{name}", f"polars_{name}", at_least=1.5)
    for n, times in zip(SIZES, (8, 12), strict=True):
        for kind, how in (("laid", "laid over"), ("merged", "merged at once")):
            yield Target(f"{n:,} rows, {how}, against a Python dict", f"{kind}_{n}", f"dict_{n}", at_least=times)
            yield Target(f"{n:,} rows, {how}, against polars", f"{kind}_{n}", f"polars_{n}", at_least=1.5)


TARGETS = list(_targets())


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.aggregate", description=__doc__)
    parser.add_argument("--repeats", type=int, default=15, help="rounds; in each every subject runs once")
    parser.add_argument("--json", action="store_true", help="the report on stdout")
    options = parser.parse_args(argv)
    sets = [subjects(n) for n in SIZES] + [stream_subjects(name, *seconds) for name, seconds in STREAMS.items()]
    chosen = [subject for one in sets for subject in one]
    times = harness.interleave(chosen, options.repeats)
    rows = [row for one in sets for row in harness.summarise(one, times)]
    verdicts = harness.judge(TARGETS, chosen, times)
    state = state_costs(options.repeats)
    about = f"{state['open_windows']:,} open windows: load, merge, store, ms"
    for target, name in ((f"{about}, mean", "state_ms"), (f"{about}, of the batch that takes longest", "most_ms")):
        reached = state[name] < WANTED_MS
        verdicts.append({"target": target, "at_most": WANTED_MS, "measured": state[name], "reached": reached})
    harness.show(rows, verdicts, sys.stderr)
    if options.json:
        report = {"repeats": options.repeats, "subjects": harness.to_json(rows), "targets": verdicts, "state": state}
        print(json.dumps(report, indent=2))
    return 0


if __name__ == "__main__":
    harness.keep_memory("bench.aggregate")
    sys.exit(main())
