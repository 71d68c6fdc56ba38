"""``levada reprocess`` in the simulation: days made anew while everything else goes on, and domains that change."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from levada.aggregate.handler import keep
from levada.archive import rollups
from levada.core import editions
from levada.core.errors import UnavailableError
from levada.core.periods import DAY_US, Calendar, zone_named
from levada.domains import registry
from levada.domains.declaration import Domain, Metric
from levadactl.deadletters import listing
from levadactl.reprocessing.places import waiting
from levadactl.reprocessing.ports import Days, Ports, ReprocessError
from levadactl.reprocessing.run import Report, reprocess
from tests.simulation import deadletters
from tests.simulation.faults import Faults, FaultyBlobs, FaultyServing, Milder, SkewedClock

if TYPE_CHECKING:
    from collections.abc import Iterable

    from levadactl.memory import MemoryDeps
    from tests.simulation.world import World

DAYS_BACK = 4
"""A run is about days that end so many days ago at most."""
SHARE = 0.1
"""A run makes hundreds of calls: of the world's faults it gets this share, so that some come to an end."""


class Waiting(SkewedClock):
    """Who waits for the stages lets them go on."""

    def sleep(self, seconds: float) -> None:
        for _ in range(20):
            Faults.pause()
        super().sleep(seconds)


@contextmanager
def _silent(*_: object) -> Iterator[Callable[[float], None]]:
    yield lambda _: None


def declare(domains: Iterable[Domain]) -> None:
    """From now on every process that is started has these."""
    setattr(registry, "BUILT_IN", tuple(domains))  # noqa: B010  # as many as it takes
    registry.registered.cache_clear()


def change(world: World) -> None:
    """A deployment: values are valid in narrower ranges, windows are wider, and events pass that were refused before.

    What is under way goes on as it began.
    """
    world.log("domains change")
    world.changed = True
    world.warm.clear()
    declare(changed(domain) for domain in registry.registered().values())


def changed(domain: Domain) -> Domain:
    highs: dict[str, float] = {"a": 20, "b": 60_000}
    metrics = {name: Metric(one.name, one.low, highs[name]) for name, one in domain.metrics.items()}
    types = (*domain.event_types, "lost") if domain.event_types else ()
    return replace(domain, metrics=metrics, event_types=types, window_s=2 * domain.window_s)


def order(world: World, deps: MemoryDeps) -> Callable[[dict[str, Any], object], Any]:
    """What one run is asked for, chosen at random: a domain and all of its days, or some."""
    rng = world.rng
    name = rng.choice(sorted(registry.registered()))
    first, n = rng.randrange(DAYS_BACK), rng.randrange(1, 4)
    until_us = int(world.clock.now_s() * 1e6) - first * DAY_US
    days = Days() if rng.random() < 0.75 else Days.touched(until_us - n * DAY_US, until_us)
    unchanged, wait_s = rng.random() < 0.95, rng.choice([0, 3, 3])
    ports = _ports(world, deps, name, Milder(world.faults, world.plan.fault_rate * SHARE))

    def run(_: dict[str, Any], __: object) -> None:
        try:
            report = reprocess(ports, days, _silent, apply=True, unchanged=unchanged, wait_s=wait_s)
        except ReprocessError as err:
            world.faults.injected["reprocess_refused"] += 1
            world.log(f"reprocess {name}: {err}")
        except UnavailableError:
            raise
        except Exception as err:  # whoever asked for it must be told what was wrong
            world.unexpected.append(f"reprocess {name} of {days}: {type(err).__name__}: {err}")
            raise
        else:
            world.faults.injected["reprocessed_days"] += len(report.applied)
            world.log(f"reprocess {name}: applied {report.applied}, finished {report.finished}, left {report.left}")

    return run


def compaction(world: World) -> dict[str, Any] | None:
    """An order for archive: some day of silver, if there is any."""
    days = sorted({tuple(blob.key.split("/")[1:3]) for blob in world.blobs.list("silver/")})
    if not days:
        return None
    domain, date = (part.partition("=")[2] for part in world.rng.choice(days))
    return {"source": "levada.simulation", "detail": {"compact": {"domain": domain, "date": date}}}


def _ports(world: World, deps: MemoryDeps, name: str, faults: Faults) -> Ports:
    blobs, calendar = FaultyBlobs(world.blobs, faults), Calendar(zone_named(deps.config.timezone))
    domains = registry.enabled("*")

    def roll_up(since: str) -> Mapping[str, Any]:
        made = rollups.make(blobs, calendar, name, lambda: 900.0, since=since)
        if made.failures or made.conflicts:  # archive fails then, or the tools see it
            raise UnavailableError(f"rollups: {made.failures} {made.conflicts}")
        return made.counts()

    def letters() -> str:
        faults.pause()
        return waiting(listing.overview(deadletters.ports_of(world, deps)))

    return Ports(
        blobs=blobs,
        serving=FaultyServing(world.serving, faults),
        clock=Waiting(world.clock, 0),
        config=deps.config,
        domain=domains[name],
        calendar=calendar,
        keep=keep(deps, domains),
        waiting=letters,
        roll_up=roll_up,
    )


def finish(world: World) -> dict[str, str]:
    """The last runs, when nothing is under way: they find no difference, but what the domains' change has made.

    Returns domain → digest of no difference. Raises AssertionError when there is one, or a day that cannot be made so.
    """
    assert not world.unexpected, world.unexpected[0]
    digests = {}
    for name in sorted(registry.registered()):
        ports = _ports(world, world.cold(), name, Faults(world.rng, 0.0))
        looked = _run(ports) if world.plan.changes else None
        done = _run(ports, apply=True, expected=looked.digest if looked else None)
        assert looked or not done.differing, f"reprocess {name}: {done.to_json()}"
        dates = editions.dates(ports.blobs, name)
        halfway = [date for date in dates if not editions.load(ports.blobs, name, date)[0].finished]
        assert not halfway, f"reprocess {name}: {halfway} are not finished"
        digests[name] = _run(ports).digest if done.differing else done.digest
    return digests


def all_anew(world: World, digests: Mapping[str, str]) -> None:
    """Every day of every domain once more, though nothing differs.

    Raises AssertionError when something does, or the digests are others.
    """
    for name, digest in digests.items():
        done = _run(_ports(world, world.cold(), name, Faults(world.rng, 0.0)), apply=True, unchanged=True)
        assert not done.differing, f"reprocess {name} once more: {done.to_json()}"
        assert done.digest == digest, f"reprocess {name} once more: {done.digest}, not {digest}"


def _run(ports: Ports, *, apply: bool = False, unchanged: bool = False, expected: str | None = None) -> Report:
    report = reprocess(ports, Days(), _silent, apply=apply, unchanged=unchanged, expected=expected, wait_s=0)
    assert not report.left, f"reprocess {ports.domain.name}: {report.left}"
    return report
