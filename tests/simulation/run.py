"""Run schedules: ``python -m tests.simulation.run --seeds 2000``, or one of them again with ``--seed 17``."""

from __future__ import annotations

import argparse
import json
import logging
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from unittest.mock import patch

from rich.console import Console
from rich.progress import track

from levada.domains import registry
from tests.simulation import mutations, oracle, orders, reprocessing, shapes
from tests.simulation.world import Plan, World


@dataclass(slots=True)
class Failure:
    """A schedule that left a wrong table behind, as short as it could be made."""

    plan: Plan
    says: str
    trace: list[str]

    def __str__(self) -> str:
        head = f"seed {self.plan.seed}, {self.plan.steps} steps, fault rate {self.plan.fault_rate}: {self.says}"
        return "\n  ".join([head, *self.trace[-60:]])


@dataclass(slots=True)
class Report:
    """What a run of many schedules did."""

    schedules: int = 0
    calls: int = 0
    zombies: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    failures: list[Failure] = field(default_factory=list)


DOMAINS = (oracle.SIM, orders.ORDERS, shapes.LONG, shapes.EVENTS)


@contextmanager
def sim_domain() -> Iterator[None]:
    """The functions know the simulation's domain, and do not log."""
    logging.disable(logging.CRITICAL)
    registry.registered.cache_clear()
    try:
        with patch.object(registry, "BUILT_IN", DOMAINS):
            yield
    finally:
        logging.disable(logging.NOTSET)
        registry.registered.cache_clear()


def run_one(plan: Plan, report: Report | None = None) -> Failure | None:
    """One schedule; what it says when the tables are wrong in the end, or when anything but a fault ended it."""
    reprocessing.declare(DOMAINS)
    world = World(plan)
    truth, others = oracle.feed(world), shapes.feed(world)
    failure = None
    try:
        world.run()
        digests = reprocessing.finish(world) if plan.reprocesses else {}
        oracle.check(world, truth)
        shapes.check(world, others)
        if digests:
            reprocessing.all_anew(world, digests)
            oracle.check(world, truth)
            shapes.check(world, others)
    except Exception as err:  # noqa: BLE001  # a crash of the code under test is a finding like any other
        failure = Failure(plan, f"{type(err).__name__}: {err}", world.trace)
    if report is not None:
        report.schedules += 1
        report.calls += world.faults.calls
        report.zombies += world.zombies
        report.faults.update(world.faults.injected)
    return failure


def shrink(failure: Failure) -> Failure:
    """The shortest storm of the same seed that still fails: fewer steps, then no resharding."""
    low, best = 0, failure
    while best.plan.steps - low > 8:
        middle = (low + best.plan.steps) // 2
        smaller = run_one(replace(best.plan, steps=middle))
        if smaller is None:
            low = middle
        else:
            best = smaller
    still = run_one(replace(best.plan, reshards=False))
    return still or best


def run_many(seeds: Sequence[int], *, stop_at_first: bool = False, progress: bool = False) -> Report:
    report = Report()
    console = Console(stderr=True)
    shown = track(seeds, "schedules", console=console, disable=not (progress and console.is_terminal))
    for seed in shown:
        failure = run_one(Plan.of(seed), report)
        if failure is not None:
            report.failures.append(failure)
            if stop_at_first:
                break
    return report


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status: 0 all schedules left the right tables, 1 some did not."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.run", description=__doc__)
    parser.add_argument("--seeds", type=int, default=200, help="how many schedules (200)")
    parser.add_argument("--first", type=int, default=0, help="the first seed (0)")
    parser.add_argument("--seed", type=int, help="run this one alone and print its schedule")
    parser.add_argument("--mutate", choices=sorted(mutations.ALL), help="switch a protection off: it must be noticed")
    options = parser.parse_args(arguments)
    seeds = [options.seed] if options.seed is not None else range(options.first, options.first + options.seeds)
    begun = time.monotonic()
    with sim_domain(), mutations.applied(options.mutate):
        report = run_many(seeds, progress=True, stop_at_first=options.mutate is not None)
        for failure in report.failures[:3]:
            sys.stderr.write(f"{shrink(failure)}\n")
    seconds = round(time.monotonic() - begun, 1)
    answer = {"schedules": report.schedules, "failures": [f.plan.seed for f in report.failures], "seconds": seconds}
    answer |= {"port_calls": report.calls, "zombies": report.zombies, "faults": dict(report.faults.most_common())}
    sys.stdout.write(json.dumps(answer, indent=2) + "\n")
    return 1 if report.failures else 0


if __name__ == "__main__":
    sys.exit(main())
