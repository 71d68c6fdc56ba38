"""Batches that the world's triggers gave up, and ``levada dlq redrive`` over its streams."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from levada.core.kinesis_event import StreamRecord
from levada.domains.registry import enabled
from levadactl.deadletters.ports import InvokeError, Ports
from levadactl.deadletters.sending import Choice, redrive
from levadactl.triggers import MemoryStream
from tests.simulation.faults import FaultySink

if TYPE_CHECKING:
    from levada.wiring import Deps
    from levadactl.memory import MemoryDeps
    from tests.simulation.world import World


@dataclass(frozen=True, slots=True)
class _Streams:
    streams: Mapping[str, MemoryStream]

    def created_s(self, arn: str) -> int:
        return int(self._of(arn).created_s)

    def read(self, arn: str, shard_id: str, first: str, last: str) -> list[StreamRecord]:
        return [r for r in self._records(arn, shard_id) if int(first) <= r.sequence <= int(last)]

    def since(self, arn: str, at_s: float) -> Iterator[StreamRecord]:
        for shard in self._of(arn).list_shards():
            yield from (r for r in self._records(arn, shard.info.shard_id) if r.arrived_us >= at_s * 1e6)

    def _records(self, arn: str, shard_id: str) -> list[StreamRecord]:
        (shard,) = [one for one in self._of(arn).list_shards() if one.info.shard_id == shard_id]
        return [StreamRecord(r.position, round(r.arrival_s * 1e6), r.data, r.partition_key) for r in shard.records]

    def _of(self, arn: str) -> MemoryStream:
        return self.streams[arn.rpartition("/")[2]]


class _NoFunctions:
    def invoke(self, function: str, event: Mapping[str, Any]) -> Any:
        raise InvokeError(f"{function}: no call is given up here")


def send_again(world: World, deps: Deps) -> None:
    """All that waits, as the command would; its calls of the streams are as hostile as anybody's."""
    redrive(ports_of(world, deps), Choice(), dry_run=False)


def ports_of(world: World, deps: Deps | MemoryDeps) -> Ports:
    sinks = {name: FaultySink(stream, world.faults) for name, stream in world.streams.items()}
    return Ports(
        blobs=world.blobs,  # read in threads, whose order no seed decides: without faults
        raw=sinks["raw"],
        clean=sinks["clean"],
        streams=_Streams(world.streams),
        queue=world.queue,
        functions=_NoFunctions(),
        clock=deps.clock,
        config=deps.config,
        domains=enabled("*"),
    )
