"""A small hostile world: the unchanged handlers under the stream triggers, and one seed that decides everything."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote_plus

from greenlet import greenlet

from levada.aggregate.handler import handler as aggregate
from levada.archive.handler import handler as archive
from levada.clean.handler import handler as clean
from levada.config import Config
from levada.core.publishing import publish
from levada.ingest.files_handler import handler as ingest_files
from levada.ports import Entry
from levada.wiring import using
from levadactl.memory import ManualClock, MemoryAlertSink, MemoryDeps, MemoryServingStore
from levadactl.triggers import Discard, Failed, Invoke, Machine, Mapping, MemoryStream, Returned, Throttled, Unavailable
from levadactl.triggers import Entry as StreamEntry
from levadactl.triggers.mapping import FOREVER
from tests.simulation import reprocessing
from tests.simulation.deadletters import send_again
from tests.simulation.faults import (
    Crash,
    Faults,
    FaultyAlertSink,
    FaultyBlobs,
    FaultyServing,
    FaultySink,
    RememberingBlobStore,
    SkewedClock,
    StreamsTopology,
)
from tests.unit.deadletters.fakes import Queue

START_S = 1_767_225_600.0
STREAMS = {"raw": clean, "clean": aggregate}
Handler = Callable[[dict[str, Any], object], Any]


@dataclass(slots=True)
class Call:
    """One invocation under way: a process between two calls of a port."""

    name: str
    deps: MemoryDeps
    machine: Machine | None = None
    command: Invoke | None = None
    """Set while its trigger still waits for the answer; a zombie has none."""
    again: Callable[[], None] | None = None
    """What its source does when it fails: queue it once more."""
    process: greenlet = field(init=False)
    result: Any = None
    error: BaseException | None = None


@dataclass(slots=True)
class Plan:
    """What a seed decides before anything runs."""

    seed: int
    steps: int = 400
    fault_rate: float = 0.03
    reshards: bool = True
    gives_up: bool = True
    """May aggregate's trigger give batches up, which then come back by a redrive?"""
    shards: int = 2
    reprocesses: bool = False
    """Are days made anew from bronze meanwhile, and compacted?"""
    changes: bool = False
    """Are the domains declared otherwise half-way, and everything made anew in the end?"""

    @classmethod
    def of(cls, seed: int) -> Plan:
        """What is usual: one schedule of eight makes days anew, every other of these with domains that change."""
        if seed % 8:
            return cls(seed)
        return cls(seed, steps=250, reprocesses=True, changes=seed % 16 == 8)


@dataclass(slots=True)
class Context:
    aws_request_id: str = "simulated"

    def get_remaining_time_in_millis(self) -> int:
        return 900_000


class World:
    """Streams, stores, triggers, and processes; ``run`` is one schedule."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.rng = random.Random(plan.seed)
        self.clock = ManualClock(START_S)
        self.faults = Faults(self.rng, plan.fault_rate)
        self.faults.note = self.log
        self.trace: list[str] = []
        self.blobs, self.serving, self.topic = RememberingBlobStore(), MemoryServingStore(), MemoryAlertSink()
        self.blobs.now_s = self.clock.now_s
        self.streams = {
            name: MemoryStream(name, shards=plan.shards, clock=self.clock.now_s, fail=self.faults.refuses_entry)
            for name in STREAMS
        }
        self.reshards = plan.reshards
        self.gives_up = plan.gives_up and self.rng.random() < 0.5
        self.queue = Queue()
        self.machines = {name: Machine(self._mapping(name)) for name in STREAMS}
        self.warm: dict[str, list[MemoryDeps]] = {}
        self.calls: list[Call] = []
        self.due: list[tuple[str, Handler, dict[str, Any]]] = []
        """Deliveries that no stream trigger makes: object notifications and schedules."""
        self.zombies = 0
        self.pack_rows = 3
        self.closed = False
        """Are there windows that have closed, so that there is something to make anew?"""
        self.changed = False
        """Are the domains others than they were in the beginning? Then rows that were refused may pass."""
        self.unexpected: list[str] = []
        """Errors of processes that no fault explains."""
        self.spread = 6 if plan.reprocesses else 1
        """How much further apart the input lies in event time: one day, or several."""

    def log(self, text: str) -> None:
        self.trace.append(text)

    def _mapping(self, name: str) -> Mapping:
        return Mapping(
            stream_arn=self.streams[name].arn,
            function_name=name,
            batch_size=self.rng.choice([1, 2, 5, 100]),
            bisect_on_error=self.rng.random() < 0.5,
            report_batch_item_failures=True,
            batching_window_s=self.rng.choice([0, 0, 5]),
            maximum_retry_attempts=self.rng.choice([0, 1, 3]) if self.gives_up and name == "clean" else FOREVER,
            on_failure_destination="arn:aws:sqs:us-east-1:000000000000:dead-letters",
        )

    # -- input -----------------------------------------------------------------------------------------------------

    def land(self, key: str, body: bytes) -> None:
        """Put a file; its notification comes late, more than once, and not in order."""
        self.blobs.put(key, body)
        record = {"s3": {"bucket": {"name": "lake"}, "object": {"key": quote_plus(key), "size": len(body)}}}
        event = {"Records": [record | {"eventSource": "aws:s3", "eventName": "ObjectCreated:Put"}]}
        for _ in range(self.rng.choice([1, 1, 2, 3])):
            self.due.append((f"ingest {key}", ingest_files, event))

    def produce(self, entries: list[Entry]) -> None:
        """A producer that sends until all is acknowledged, so that what was lost on the way comes twice."""

        def send(_: dict[str, Any], __: object) -> None:
            publish(FaultySink(self.streams["raw"], self.faults), entries, self.clock)

        self.due.append(("producer", send, {}))

    def produce_plain(self, bodies: list[bytes]) -> None:
        """A producer of plain records: their place is their identity, so it repeats only what was refused."""

        def send(_: dict[str, Any], __: object) -> None:
            while bodies:
                self.faults.pause()
                if not self.streams["raw"].put_records([StreamEntry(bodies[0], "plain")])[0].error:
                    del bodies[0]

        self.due.append(("plain producer", send, {}))

    # -- one step --------------------------------------------------------------------------------------------------

    def step(self) -> None:
        """One thing happens, chosen at random among all that could."""
        kinds: dict[str, float] = {"process": 50, "trigger": 20, "deliver": 6, "time": 6, "tick": 2}
        kinds |= {"timeout": 2 if self.faults.rate else 0, "reshard": 0.5 if self.reshards else 0}
        kinds |= {"refuse_call": 1, "deploy": 0.5, "redrive": 0.5}
        if self.plan.reprocesses and self.closed:
            kinds |= {"reprocess": 3, "compact": 0.5, "redrive": 2}
        kind = self.rng.choices(list(kinds), list(kinds.values()))[0]
        getattr(self, f"_{kind}")()

    def _process(self) -> None:
        if self.calls:
            self._resume(self.rng.choice(self.calls))

    def _resume(self, call: Call) -> None:
        with using(call.deps):
            call.process.switch()
        if not call.process.dead:
            return
        self.calls.remove(call)
        if call.error is None:
            self.warm.setdefault(call.name, []).append(call.deps)
        if call.machine is not None and call.command is not None:
            answer = Failed(detail=str(call.error)) if call.error else Returned(call.result)
            call.machine.answer(call.command.id, answer, self.clock.now_s())
        if call.error is not None and call.again is not None:
            call.again()

    def _trigger(self, name: str = "") -> None:
        name = name or self.rng.choice(list(STREAMS))
        machine, stream = self.machines[name], self.streams[name]
        now_s = self.clock.now_s()
        machine.list_shards(stream.shard_infos(), now_s)
        for read in machine.reads():
            at = read.position
            page = stream.read(
                stream.iterator(read.shard_id, at.kind, sequence_number=at.sequence_number, timestamp_s=at.timestamp_s),
                min(read.limit, self.rng.choice([1, 3, 10_000])),
            )
            machine.feed(read.shard_id, page.records, now_s, end=page.next_iterator is None)
        for command in machine.poll(now_s):
            if isinstance(command, Discard):
                self._give_up(name, command)
                continue
            self._start(name, STREAMS[name], command.event, machine=machine, command=command)

    def _give_up(self, name: str, command: Discard) -> None:
        assert self.gives_up, f"nothing may be discarded: {command.condition}"
        self.log(f"give up {name} {command.shard_id[-3:]} {len(command.records)} records")
        self.faults.injected[f"given_up_{name}"] += 1
        self.queue.send(command.body)
        self.machines[name].discarded(command.id, self.clock.now_s())

    def _redrive(self) -> None:
        """Somebody sends dead letters again, when no attempt at them can go on any more."""
        wanted = self.queue.messages or (self.changed and self.rng.random() < 0.3)
        if wanted and not any(call.name == "clean" for call in self.calls):
            self.faults.injected["redrive"] += 1
            deps = self.cold()
            self._start("redrive", lambda *_: send_again(self, deps), {})

    def _refuse_call(self) -> None:
        """The function cannot be called, or its answer does not come through."""
        waiting = [c for c in self.calls if c.command is not None and c.machine is not None]
        if not waiting or not self.faults.rate:
            return
        call = self.rng.choice(waiting)
        lost = Throttled() if self.rng.random() < 0.5 else Unavailable("response lost")
        self._abandon(call, lost)

    def _timeout(self) -> None:
        """Its trigger gives an invocation up; the process goes on as a zombie."""
        waiting = [c for c in self.calls if c.command is not None and c.machine is not None]
        if waiting:
            self._abandon(self.rng.choice(waiting), Failed(detail="Task timed out"))

    def _abandon(self, call: Call, answer: Failed | Throttled | Unavailable) -> None:
        assert call.machine is not None
        assert call.command is not None
        self.log(f"{type(answer).__name__} of {call.name} #{call.command.id}: it goes on as a zombie")
        call.machine.answer(call.command.id, answer, self.clock.now_s())
        call.machine = call.command = None
        self.zombies += 1
        self.faults.injected[type(answer).__name__.lower()] += 1

    def _deliver(self) -> None:
        if self.due:
            name, handler, event = self.due.pop(self.rng.randrange(len(self.due)))
            self._start(name, handler, event, again=lambda: self.due.append((name, handler, event)))

    def _tick(self, *, rollups: bool = False) -> None:
        detail = {"rollups": "due"} if rollups or self.rng.random() < 0.3 else {}
        self._start("archive", archive, {"source": "aws.events", "time": "2026-01-01T00:00:00Z", "detail": detail})

    def _reprocess(self) -> None:
        if sum(call.name == "reprocess" for call in self.calls) < 2:
            deps = self.cold()
            self._start("reprocess", reprocessing.order(self, deps), {}, deps=deps)

    def _compact(self) -> None:
        if order := reprocessing.compaction(self):
            self._start("archive", archive, order)

    def _time(self) -> None:
        self.clock.time_s += self.rng.choice([0.2, 1, 1, 5, 70, *([500] if self.plan.reprocesses else [])])

    def _deploy(self) -> None:
        """New code between two attempts: no process is warm, and settings are others than those a load began with."""
        self.warm.clear()
        self.pack_rows = self.rng.choice([1, 2, 3, 7])
        self.faults.injected["deploy"] += 1

    def _reshard(self) -> None:
        stream = self.streams[self.rng.choice(list(STREAMS))]
        shards = sorted((s for s in stream.list_shards() if s.ends_at is None), key=lambda s: s.first_hash)
        self.faults.injected["reshard"] += 1
        if len(shards) > 1 and self.rng.random() < 0.5:
            at = self.rng.randrange(len(shards) - 1)
            child: object = stream.merge_shards(shards[at].info.shard_id, shards[at + 1].info.shard_id)
        elif len(shards) < 5:
            child = stream.split_shard(self.rng.choice(shards).info.shard_id)
        else:
            return
        self.log(f"reshard {stream.name} -> {child}")

    def _start(
        self,
        name: str,
        handler: Handler,
        event: dict[str, Any],
        *,
        machine: Machine | None = None,
        command: Invoke | None = None,
        again: Callable[[], None] | None = None,
        deps: MemoryDeps | None = None,
    ) -> None:
        warm = self.warm.get(name, [])
        if deps is None:
            deps = warm.pop() if warm and self.rng.random() < 0.7 else self.cold()
        event = json.loads(json.dumps(event))
        call = Call(name, deps, machine, command, again)
        call.process = greenlet(lambda: self._run(call, handler, event))
        self.log(f"start {name}" + (f" #{command.id} {_span(command)}" if command else ""))
        self.calls.append(call)

    def _run(self, call: Call, handler: Handler, event: dict[str, Any]) -> None:
        try:
            call.result = handler(event, Context())
        except (Exception, Crash) as err:  # noqa: BLE001  # whatever ends an invocation is its result
            call.error = err
            self.log(f"{call.name} ended by {type(err).__name__}: {err}")

    def cold(self) -> MemoryDeps:
        """The ports of a process that has just been started, all of them hostile."""
        deps = MemoryDeps(
            config=Config(
                bucket="lake",
                table="serving",
                raw_stream="raw",
                clean_stream="clean",
                pack_rows=self.pack_rows,
                alert_severity="info",
                alert_quiet_s=120,
                alert_max_age_s=31_536_000,
            ),
            clock=SkewedClock(self.clock, self.rng.choice([0, 0, -200, 45, 300])),
        )
        streams = [self.streams["raw"], self.streams["clean"]]
        deps.blobs = FaultyBlobs(self.blobs, self.faults)  # type: ignore[assignment]  # the ports, with faults
        deps.serving = FaultyServing(self.serving, self.faults)  # type: ignore[assignment]
        deps.raw, deps.clean = (FaultySink(s, self.faults) for s in streams)  # type: ignore[assignment]
        deps.alerts = FaultyAlertSink(self.topic, self.faults)  # type: ignore[assignment]
        deps.topology = StreamsTopology(streams, self.faults)  # type: ignore[assignment]
        return deps

    # -- a whole schedule ------------------------------------------------------------------------------------------

    def run(self) -> None:
        """The storm, then calm: everything that was begun comes to its end and idle windows close."""
        if self.plan.reprocesses:
            self._lull()
        self._storm(self.plan.steps)
        self.faults.rate = 0.0
        self.reshards = False
        for _ in range(2000):
            if self._settled():
                break
            self._settle()
        else:
            raise AssertionError("the world does not come to rest: a record is retried for ever")
        for _ in range(3):  # windows close at the first tick, their outbox is cleared at the next
            self._hour()

    def _storm(self, steps: int) -> None:
        for n in range(steps):
            if self.plan.changes and n == steps // 2:
                reprocessing.change(self)
            self.step()

    def _lull(self) -> None:
        """A storm with a part of the input, and the quiet behind it: there are windows then that have closed."""
        later = [self.due.pop(self.rng.randrange(len(self.due))) for _ in range(len(self.due) // 2)]
        for _ in range(self.plan.steps // 4):
            self.step()
        for _ in range(4):
            self._settle()
        self._hour()
        self._hour()
        self.due += later
        self.closed = True

    def _hour(self) -> None:
        self.clock.time_s += 3600
        self._tick(rollups=True)
        for _ in range(self.rng.choice([1, 2, 3]) if self.plan.reprocesses else 0):
            self._reprocess()
        self._finish_calls()

    def _settled(self) -> bool:
        return (
            not self.calls and not self.due and not self.queue.messages and all(self._drained(name) for name in STREAMS)
        )

    def _drained(self, name: str) -> bool:
        machine = self.machines[name]
        for shard in self.streams[name].list_shards():
            done = machine.checkpoint(shard.info.shard_id) if shard.info.shard_id in machine.shards else None
            if shard.records and (done is None or int(done) < shard.records[-1].position):
                return False
        return not machine.in_flight

    def _settle(self) -> None:
        while self.due:
            self._deliver()
            self._finish_calls()
        for name in STREAMS:
            self._trigger(name)
            self._finish_calls()
        self._redrive()
        self._finish_calls()
        self.clock.time_s += 20

    def _finish_calls(self) -> None:
        while self.calls:
            self._resume(self.rng.choice(self.calls))


def _span(command: Invoke) -> str:
    return f"{command.shard_id[-3:]} {len(command.records)} records"
