"""Run your own handler under the stream triggers, in one process, on a virtual clock.

Nothing sleeps: waiting for a batching window or a retry moves the clock. See docs/stream-triggers.md.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from levadactl.triggers.errors import NotDrainedError
from levadactl.triggers.event import encode
from levadactl.triggers.machine import Machine
from levadactl.triggers.mapping import Mapping
from levadactl.triggers.memory import Entry, MemoryStream, PutResult
from levadactl.triggers.model import Answer, Backoff, Command, Discard, Failed, Invoke, Record, Returned

Handler = Callable[[dict[str, Any], Any], Any]
Body = bytes | str | dict[str, Any] | list[Any]
START_S = 1_767_225_600.0
"""2026-01-01T00:00:00Z, where virtual clocks start."""


class VirtualClock:
    """Epoch seconds that move only when told to."""

    def __init__(self, now_s: float = START_S) -> None:
        self.now_s = now_s

    def __call__(self) -> float:
        return self.now_s

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.now_s += seconds


@dataclass(frozen=True, slots=True)
class HandlerContext:
    """What a handler may ask of its second argument."""

    aws_request_id: str
    invoked_function_arn: str
    function_name: str = "function"
    function_version: str = "$LATEST"
    memory_limit_in_mb: int = 512
    timeout_s: float = 60.0

    def get_remaining_time_in_millis(self) -> int:
        """The whole timeout: no time passes inside a handler."""
        return int(self.timeout_s * 1000)


@dataclass(frozen=True, slots=True)
class Invocation:
    """One call of the handler and what came of it."""

    shard_id: str
    lane: int
    records: tuple[Record, ...]
    event: dict[str, Any] = field(repr=False)
    answer: Answer
    at_s: float

    @property
    def bodies(self) -> list[bytes]:
        """The records' data, in order."""
        return [record.data for record in self.records]


class Harness:
    """A handler, a mapping, and an in-memory stream; ``stream``, ``machine`` and ``clock`` may be used directly."""

    def __init__(
        self,
        handler: Handler,
        mapping: Mapping | None = None,
        *,
        shards: int = 1,
        stream: MemoryStream | None = None,
        clock: VirtualClock | None = None,
        backoff: Backoff | None = None,
        intercept: Callable[[Invoke], Answer | None] | None = None,
        state: dict[str, Any] | None = None,
    ) -> None:
        """``intercept`` may answer in the handler's place (Throttled, Unavailable …); None lets the handler run."""
        self.clock = clock or VirtualClock()
        self.stream = stream or MemoryStream(shards=shards, clock=self.clock)
        self.mapping = replace(mapping or Mapping(), stream_arn=self.stream.arn)
        self.machine = Machine(self.mapping, backoff=backoff, retention_s=self.stream.retention_s, state=state)
        self.invocations: list[Invocation] = []
        self.discarded: list[Discard] = []
        self._handler = handler
        self._intercept = intercept
        self.machine.list_shards(self.stream.shard_infos(), self.clock())

    @property
    def messages(self) -> list[dict[str, Any]]:
        """What the on-failure destination received."""
        return [discard.body for discard in self.discarded if discard.destination is not None]

    @property
    def batches(self) -> list[list[bytes]]:
        """The data of each invocation, in order."""
        return [invocation.bodies for invocation in self.invocations]

    def put(self, *bodies: Body, partition_key: str = "key") -> list[PutResult]:
        """Put one record per body (dicts and lists as JSON) under one partition key."""
        entries = [Entry(_data(body), partition_key) for body in bodies]
        results: list[PutResult] = []
        for first in range(0, len(entries), 500):
            results += self.stream.put_records(entries[first : first + 500])
        return results

    def advance(self, seconds: float) -> None:
        """Let time pass and do everything that falls due meanwhile, at its time."""
        end_s = self.clock() + seconds
        self.run_due()
        while (next_s := self._next_s()) is not None and next_s <= end_s:
            self.clock.now_s = next_s
            self.run_due()
        self.clock.now_s = end_s
        self.run_due()

    def step(self) -> bool:
        """Read once and carry out what is due now; False when there was nothing to do."""
        progress = self._read()
        for command in self.machine.poll(self.clock()):
            self.carry_out(command)
            progress = True
        return progress

    def run_due(self) -> None:
        """Do everything that is due without letting time pass."""
        while self.step():
            pass

    def run_until_drained(self, max_invocations: int = 10_000) -> None:
        """Until nothing waits, moving the clock as needed.

        Raises NotDrainedError after ``max_invocations`` calls: a poison record under a mapping that retries forever.
        """
        while True:
            self._run_due_up_to(max_invocations)
            next_s = self._next_s()
            if next_s is None:
                return
            self.clock.now_s = next_s

    def _run_due_up_to(self, max_invocations: int) -> None:
        while self.step():
            if len(self.invocations) > max_invocations:
                raise NotDrainedError(f"{self.machine.waiting} records still wait after {max_invocations} invocations")

    def carry_out(self, command: Command) -> None:
        """Call the handler, or note the discarded records."""
        if isinstance(command, Discard):
            self.discarded.append(command)
            self.machine.discarded(command.id, self.clock())
            return
        answer = self._intercept(command) if self._intercept else None
        answer = answer or self._call(command)
        self.invocations.append(
            Invocation(command.shard_id, command.lane, command.records, command.event, answer, self.clock())
        )
        self.machine.answer(command.id, answer, self.clock())

    def _next_s(self) -> float | None:
        wake_s = self.machine.wake_s()
        return None if wake_s is None else max(wake_s, self.clock() + 0.001)

    def _read(self) -> bool:
        now_s = self.clock()
        self.machine.list_shards(self.stream.shard_infos(), now_s)
        progress = False
        for read in self.machine.reads():
            at = read.position
            iterator = self.stream.iterator(
                read.shard_id, at.kind, sequence_number=at.sequence_number, timestamp_s=at.timestamp_s
            )
            page = self.stream.read(iterator, read.limit)
            end = page.next_iterator is None
            progress |= self.machine.feed(read.shard_id, page.records, now_s, end=end) > 0 or end
        return progress

    def _call(self, command: Invoke) -> Answer:
        request_id = f"00000000-0000-4000-8000-{command.id:012d}"
        context = HandlerContext(request_id, self.mapping.function_arn)
        try:
            # Through JSON both ways, as on Lambda: what cannot be encoded fails here too.
            result = self._handler(json.loads(encode(command.event)), context)
            payload = json.loads(json.dumps(result))
        except Exception as err:  # noqa: BLE001  # whatever a handler raises is a function error
            return Failed(request_id=request_id, detail=f"{type(err).__name__}: {err}")
        return Returned(payload, request_id)


def _data(body: Body) -> bytes:
    if isinstance(body, bytes):
        return body
    return body.encode() if isinstance(body, str) else json.dumps(body).encode()
