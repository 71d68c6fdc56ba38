"""Interleaved timing of several subjects in one process, peak memory of each in a process of its own. Pure but for the
clock and the operating system's counters."""

from __future__ import annotations

import contextlib
import gc
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.abc import MetaPathFinder
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, TextIO

WARM_UPS = 3
PACKAGES = ("aws-lambda-powertools", "pydantic", "msgspec", "pyarrow", "pybase64", "python-dateutil", "zstandard")


@dataclass(frozen=True, slots=True)
class Subject:
    """One thing to time."""

    name: str
    label: str
    events: int
    """Handled by one run."""
    run: Callable[[], object]


@dataclass(frozen=True, slots=True)
class Measured:
    """CPU time of one subject over all repeats."""

    name: str
    label: str
    events: int
    median_us: float
    """Per event: user and system time of all threads, microseconds."""
    fastest_us: float
    spread: float
    """Half the range between the quartiles, as a share of the median."""
    events_per_s: float
    times: float = 0.0
    """How many times as fast as the first subject, per event: median over the rounds of the ratio in each."""
    added_mib: float = 0.0
    """Resident memory that the runs add at most to imports and input, in a process of its own; 0: not measured."""


@dataclass(frozen=True, slots=True)
class Target:
    """A ratio that was promised."""

    name: str
    subject: str
    against: str
    at_least: float = 0.0
    """How many times as fast per event; 0 for no such promise."""
    at_most: float = 0.0
    """How many times the time per event; 0 for no such promise."""


def interleave(
    subjects: Sequence[Subject], repeats: int, *, clock: Callable[[], int] = time.process_time_ns
) -> dict[str, list[float]]:
    """CPU seconds of each run, by subject: A B C, A B C, … so that a slow minute of the machine hits all alike.

    Before each run a full collection; during it the collector is on, as it is in a function.
    """
    for subject in subjects:
        for _ in range(WARM_UPS):
            subject.run()
    times: dict[str, list[float]] = {subject.name: [] for subject in subjects}
    gc.collect()
    gc.freeze()  # all subjects' inputs lie in memory; a function has its own only, so no collection looks at them
    for _ in range(repeats):
        for subject in subjects:
            gc.collect()
            start = clock()
            subject.run()
            times[subject.name].append((clock() - start) / 1e9)
    return times


def summarise(subjects: Sequence[Subject], times: Mapping[str, Sequence[float]]) -> list[Measured]:
    """Medians per event; ``times`` of each against the first subject."""
    first = subjects[0]
    return [
        Measured(
            name=s.name,
            label=s.label,
            events=s.events,
            median_us=statistics.median(times[s.name]) / s.events * 1e6,
            fastest_us=min(times[s.name]) / s.events * 1e6,
            spread=spread(times[s.name]),
            events_per_s=s.events / statistics.median(times[s.name]),
            times=ratio(times[first.name], first.events, times[s.name], s.events),
        )
        for s in subjects
    ]


def ratio(slow: Sequence[float], slow_events: int, fast: Sequence[float], fast_events: int) -> float:
    """How many times as fast per event: the median over the rounds, so that load that comes and goes cancels out."""
    return statistics.median((a / slow_events) / (b / fast_events) for a, b in zip(slow, fast, strict=True))


def spread(times: Sequence[float]) -> float:
    if len(times) < 2:
        return 0.0
    low, _, high = statistics.quantiles(times, n=4)
    return (high - low) / 2 / statistics.median(times)


def judge(
    targets: Sequence[Target], subjects: Sequence[Subject], times: Mapping[str, Sequence[float]]
) -> list[dict[str, Any]]:
    """What was promised, what was measured, and whether that is enough."""
    events = {s.name: s.events for s in subjects}
    out = []
    for t in targets:
        found = ratio(times[t.against], events[t.against], times[t.subject], events[t.subject])
        if t.at_most:
            out.append(
                {"target": t.name, "at_most": t.at_most, "measured": 1 / found, "reached": 1 / found <= t.at_most}
            )
        else:
            out.append({"target": t.name, "at_least": t.at_least, "measured": found, "reached": found >= t.at_least})
    return out


def rss_mib() -> float:
    """Resident memory of this process now."""
    statm = Path("/proc/self/statm")
    if statm.exists():
        return int(statm.read_text().split()[1]) * resource.getpagesize() / 2**20
    return peak_mib()


def forget_peak() -> None:
    """Let ``peak_mib`` begin anew; on Linux only, elsewhere the peak stays that of the whole process."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def peak_mib() -> float:
    """The most resident memory that this process ever had, or since ``forget_peak``."""
    status = Path("/proc/self/status")
    if status.exists():
        return int(status.read_text().partition("VmHWM:")[2].split()[0]) / 2**10
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)


def in_own_process(module: str, arguments: Sequence[str], given: object = None) -> Any:
    """What ``python -m module arguments`` printed, as JSON; raises CalledProcessError.

    Args:
        given: what it finds on its standard input, as JSON: made there, it would leave free memory behind.
    """
    command = [sys.executable, "-m", module, *arguments]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, input=json.dumps(given).encode())
    return json.loads(done.stdout)


KEPT = {"MALLOC_TRIM_THRESHOLD_": "134217728", "MALLOC_MMAP_THRESHOLD_": "16777216"}
"""What the template sets for aggregate: glibc keeps freed memory, for all subjects alike."""


def keep_memory(module: str) -> None:
    """Begin anew with the allocator's settings of the function, which glibc reads once."""
    if any(os.environ.get(name) != value for name, value in KEPT.items()):
        os.execve(sys.executable, [sys.executable, "-m", module, *sys.argv[1:]], os.environ | KEPT)  # noqa: S606  # ours


class _NoPandas(MetaPathFinder):
    def find_spec(self, fullname: str, path: object = None, target: object = None) -> None:  # noqa: ARG002
        if fullname == "pandas":
            raise ModuleNotFoundError("hidden: no function but archive has pandas", name=fullname)


def hide_pandas() -> None:
    """No function's artifact but archive's holds pandas; here it may be installed, and pyarrow would import it."""
    sys.meta_path.insert(0, _NoPandas())


def show(rows: Sequence[Measured], verdicts: Sequence[Mapping[str, Any]], out: TextIO) -> None:
    """A table for people."""
    print(f"{'subject':60}{'events':>8}{'µs/event':>10}{'± %':>6}{'events/s':>12}{'times':>8}{'+MiB':>7}", file=out)
    for r in rows:
        print(
            f"{r.label:60}{r.events:>8}{r.median_us:>10.3f}{r.spread * 100:>6.1f}{r.events_per_s:>12,.0f}"
            f"{r.times:>8.2f}{r.added_mib:>7.1f}",
            file=out,
        )
    for v in verdicts:
        bound = f"at most {v['at_most']}" if "at_most" in v else f"at least {v['at_least']}"
        print(f"{'reached' if v['reached'] else 'MISSED ':8} {v['target']}: {v['measured']:.2f}, {bound}", file=out)


def to_json(rows: Sequence[Measured]) -> list[dict[str, Any]]:
    return [asdict(r) for r in rows]


def machine() -> dict[str, Any]:
    """Where a report was made: interpreter, system, processors, and versions of what the numbers depend on."""
    packages = {}
    for name in PACKAGES:
        with contextlib.suppress(PackageNotFoundError):
            packages[name] = version(name)
    return {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "processors": os.cpu_count(),
        "packages": packages,
    }
