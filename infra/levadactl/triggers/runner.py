"""The stream triggers as a process: ``python -m levadactl.triggers.runner --endpoint-url URL --state FILE``.

Serves every mapping with a Kinesis source that the Lambda API lists. One control thread owns all state; reads and
invocations run in worker threads. Exit status: 0 stopped by SIGTERM or SIGINT, 1 a file or another runner is in the
way, 2 wrong usage.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from levadactl.errors import LevadactlError
from levadactl.triggers.aws import Aws, Clients, Discovery, Source, load_settings, said
from levadactl.triggers.failure_record import iso_ms
from levadactl.triggers.files import JsonLog, Positions, locked, write_json
from levadactl.triggers.pacing import Pace, ReadClock
from levadactl.triggers.unit import Shop, Unit
from levadactl.triggers.workers import Inbox, Workers

READERS, CALLERS = 8, 64


class Runner:
    """Serves mappings until ``stop`` is called; ``run`` is the control thread."""

    def __init__(
        self,
        aws: Aws,
        *,
        positions: Positions,
        status_file: Path | None = None,
        endpoint: str = "",
        grace_s: float = 10.0,
        log: JsonLog | None = None,
        pace: Pace | None = None,
        clock: Callable[[], float] = time.time,
        look_every_s: float = 2.0,
        status_every_s: float = 0.5,
    ) -> None:
        """``grace_s``: how long a stop waits for invocations in flight.

        ``look_every_s``: between two looks at mappings and shards; ``status_every_s``: between two status files while
        something happens (otherwise ten times as long).
        """
        self._look_every_s = look_every_s
        self._status_every_s = status_every_s
        self._inbox = Inbox()
        callers, readers = Workers(self._inbox, CALLERS, "call"), Workers(self._inbox, READERS, "read")
        self._shop = Shop(
            aws=aws,
            readers=readers,
            callers=callers,
            log=log or JsonLog(),
            clock=clock,
            monotonic=time.monotonic,
            reads=ReadClock(pace or Pace(), time.monotonic),
            shards=lambda: sum(unit.readable for unit in self._units.values()),
            wake_all=self._wake_all,
        )
        self._positions = positions
        self._status_file = status_file
        self._endpoint = endpoint
        self._grace_s = grace_s
        self._units: dict[str, Unit] = {}
        self._problems: list[str] = ["not looked yet"]
        self._started_s = clock()
        self._stopping = False
        self._looking = False
        self._next_look_s = 0.0
        self._status_written_s = 0.0
        self._status_stale = True

    def stop(self) -> None:
        """End ``run`` soon; may be called from a signal handler or another thread."""
        self._stopping = True
        self._inbox.put(lambda _value, _error: None)

    def run(self) -> None:
        """Serve until stopped, then wait for what is in flight (at most the grace period) and save."""
        self._shop.log.info("started", endpoint=self._endpoint, pid=os.getpid())
        self._write_status()
        while not self._stopping:
            self._look()
            for unit in self._units.values():
                unit.step()
            self._save()
            if self._inbox.handle(self._wait_s()):
                self._status_stale = True
        self._drain()
        self._save()
        self._write_status(stopped=True)
        self._shop.log.info("stopped", in_flight=sum(len(unit.machine.in_flight) for unit in self._units.values()))

    def status(self, *, stopped: bool = False) -> dict[str, Any]:
        """What the status file says."""
        return {
            "version": 1,
            "updated_at": iso_ms(self._shop.clock()),
            "started_at": iso_ms(self._started_s),
            "pid": os.getpid(),
            "endpoint": self._endpoint,
            "state": "stopped" if stopped else "running",
            "problems": self._problems,
            "mappings": [unit.status() for unit in self._units.values()],
        }

    # -- mappings --------------------------------------------------------------------------------------------------

    def _look(self) -> None:
        if not self._looking and time.monotonic() >= self._next_look_s:
            self._looking = True
            self._shop.readers.submit(self._shop.aws.discover, self._looked)

    def _looked(self, found: Discovery | None, error: BaseException | None) -> None:
        self._looking = False
        self._next_look_s = time.monotonic() + self._look_every_s
        if found is None:
            # Even an answer that makes no sense must not end the runner: an emulator that is just starting gives some.
            found_problems = [f"list_event_source_mappings: {said(error)}"]
        else:
            found_problems = found.problems
            self._serve({source.key: source for source in found.sources})
        for problem in found_problems:
            if problem not in self._problems:
                self._shop.log.warning("problem", detail=problem)
        self._problems = found_problems

    def _serve(self, sources: dict[str, Source]) -> None:
        for key in [key for key in self._units if key not in sources]:
            unit = self._units[key]
            unit.retiring = True
            if not unit.busy:
                self._remove(key)
        for key, source in sources.items():
            unit_now = self._units.get(key)
            if unit_now is None:
                self._add(key, source)
            elif unit_now.source.mapping != source.mapping or unit_now.source.retention_s != source.retention_s:
                self._change(key, unit_now, source)
            else:
                unit_now.retiring = False
                unit_now.list_shards(source)

    def _add(self, key: str, source: Source) -> None:
        state = self._positions.get(key)
        self._units[key] = Unit(source, state, self._shop)
        self._shop.log.info("mapping_found", key=key, resumed=state is not None)

    def _change(self, key: str, unit: Unit, source: Source) -> None:
        # New settings apply between batches: first what is in flight ends.
        unit.retiring = True
        if unit.busy:
            return
        self._positions.save({key: unit.machine.export()}, self._shop.clock())
        self._units[key] = Unit(source, self._positions.get(key), self._shop)
        self._shop.log.info("mapping_changed", key=key)

    def _remove(self, key: str) -> None:
        unit = self._units.pop(key)
        self._positions.save({key: unit.machine.export()}, self._shop.clock())
        self._shop.log.info("mapping_gone", key=key)

    def _wake_all(self) -> None:
        for unit in self._units.values():
            unit.wake()

    # -- the loop --------------------------------------------------------------------------------------------------

    def _wait_s(self) -> float:
        at_s = time.monotonic()
        waits = [unit.wait_s() for unit in self._units.values()]
        if not self._looking:
            waits.append(self._next_look_s - at_s)
        waits.append(self._next_status_s() - at_s)
        return max(0.0, min(waits))

    def _drain(self) -> None:
        end_s = time.monotonic() + self._grace_s
        for unit in self._units.values():
            unit.retiring = True
        while any(unit.busy for unit in self._units.values()) and time.monotonic() < end_s:
            self._inbox.handle(min(0.5, end_s - time.monotonic()))

    def _save(self) -> None:
        moved = {key: unit.machine.export() for key, unit in self._units.items() if unit.dirty}
        if moved:
            self._positions.save(moved, self._shop.clock())
            for key in moved:
                self._units[key].dirty = False
        if time.monotonic() >= self._next_status_s():
            self._write_status()

    def _next_status_s(self) -> float:
        return self._status_written_s + self._status_every_s * (1 if self._status_stale else 10)

    def _write_status(self, *, stopped: bool = False) -> None:
        self._status_written_s = time.monotonic()
        self._status_stale = False
        if self._status_file is not None:
            write_json(self._status_file, self.status(stopped=stopped))


def connect(endpoint_url: str | None, region: str) -> Clients:
    """boto3 clients; calls are not retried below us, since a retried Invoke would be a second delivery."""
    import boto3
    from botocore.config import Config

    def client(service: Any, read_timeout_s: int, connections: int) -> Any:
        config = Config(
            connect_timeout=2,
            read_timeout=read_timeout_s,
            max_pool_connections=connections,
            retries={"total_max_attempts": 1},
        )
        return boto3.client(service, endpoint_url=endpoint_url, region_name=region, config=config)

    # A function may run for 15 minutes; everything else answers at once.
    return Clients(
        kinesis=client("kinesis", 15, READERS + 2),
        lambda_=client("lambda", 920, CALLERS + READERS),
        sqs=client("sqs", 15, 8),
        sns=client("sns", 15, 8),
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m levadactl.triggers.runner", description=__doc__)
    parser.add_argument("--endpoint-url", help="where Lambda, Kinesis, SQS and SNS answer (default: AWS itself)")
    parser.add_argument("--state", type=Path, help="file with positions; without one a restart begins again")
    parser.add_argument("--status", type=Path, help="file that says how each shard is doing")
    parser.add_argument("--mappings", type=Path, help="JSON list of settings that the endpoint does not echo")
    parser.add_argument("--region", default="us-east-1")
    parser.add_argument("--log-file", type=Path, help="append the log here instead of stderr")
    parser.add_argument("--grace", type=float, default=10.0, help="seconds that a stop waits for invocations")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """See the module's first lines."""
    arguments = _parser().parse_args(argv)
    try:
        with ExitStack() as stack:
            stack.enter_context(locked(arguments.state, wait_s=15.0))
            log = JsonLog(stack.enter_context(arguments.log_file.open("a")) if arguments.log_file else None)
            settings = load_settings(json.loads(arguments.mappings.read_text())) if arguments.mappings else []
            runner = Runner(
                Aws(connect(arguments.endpoint_url, arguments.region), settings),
                positions=Positions(arguments.state),
                status_file=arguments.status,
                endpoint=arguments.endpoint_url or "",
                grace_s=arguments.grace,
                log=log,
            )
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, lambda _number, _frame: runner.stop())
            runner.run()
    except (LevadactlError, OSError, ValueError) as err:
        print(f"triggers: {err}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
