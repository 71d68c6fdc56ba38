"""Whatever functions, networks and resharding do: nothing is lost, nothing overtakes, everything ends."""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass, field
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from levadactl.triggers import (
    Answer,
    Backoff,
    Discard,
    Failed,
    Harness,
    Invoke,
    Machine,
    Mapping,
    MemoryStream,
    Returned,
    Throttled,
    Unavailable,
    VirtualClock,
)
from levadactl.triggers.event import PAYLOAD_LIMIT_BYTES, encode

QUEUE = "arn:aws:sqs:us-east-1:000000000000:dead-letters"

mappings = st.builds(
    Mapping,
    batch_size=st.integers(1, 6),
    batching_window_s=st.sampled_from([0, 2]),
    parallelization_factor=st.sampled_from([1, 1, 3]),
    bisect_on_error=st.booleans(),
    maximum_retry_attempts=st.sampled_from([0, 1, 3]),
    maximum_record_age_s=st.sampled_from([-1, 60]),
    report_batch_item_failures=st.booleans(),
    on_failure_destination=st.just(QUEUE),
)


@dataclass
class World:
    """A stream that is written and resharded, and a driver that answers late, wrongly, and in any order."""

    mapping: Mapping
    random: Random
    clock: VirtualClock = field(default_factory=VirtualClock)
    accepted: dict[str, set[int]] = field(default_factory=lambda: defaultdict(set))
    """Positions that a successful answer covered, by shard."""
    dropped: dict[str, set[int]] = field(default_factory=lambda: defaultdict(set))
    first_seen: dict[tuple[str, int], list[int]] = field(default_factory=lambda: defaultdict(list))
    """Positions in the order of their first delivery, by shard and lane."""
    calls: int = 0

    def __post_init__(self) -> None:
        self.stream = MemoryStream(shards=2, clock=self.clock)
        self.machine = self.machine_from(None)
        self.flying: list[Invoke | Discard] = []
        self.zombies: list[int] = []

    def machine_from(self, state: dict[str, object] | None) -> Machine:
        text = json.loads(json.dumps(state)) if state is not None else None
        return Machine(self.mapping, backoff=Backoff(0.5, 2, 4), state=text)

    def write(self) -> None:
        for _ in range(self.random.randrange(6)):
            self.stream.put(b"x", f"key-{self.random.randrange(9)}")
        if self.random.random() < 0.1:
            open_ids = [s.info.shard_id for s in self.stream.list_shards() if s.ends_at is None]
            if len(open_ids) < 4:
                self.stream.split_shard(self.random.choice(open_ids))
            elif {"shardId-000000000000", "shardId-000000000001"} <= set(open_ids):
                self.stream.merge_shards("shardId-000000000000", "shardId-000000000001")

    def read(self) -> None:
        self.machine.list_shards(self.stream.shard_infos(), self.clock())
        for read in self.machine.reads():
            at = read.position
            iterator = self.stream.iterator(read.shard_id, at.kind, sequence_number=at.sequence_number)
            page = self.stream.read(iterator, self.random.randint(1, 10))
            self.machine.feed(read.shard_id, page.records, self.clock(), end=page.next_iterator is None)

    def start(self) -> None:
        for command in self.machine.poll(self.clock()):
            self.check_parents(command)
            self.flying.append(command)
            if isinstance(command, Invoke):
                self.calls += 1
                seen = self.first_seen[command.shard_id, command.lane]
                known = set(seen)
                seen += [r.position for r in command.records if r.position not in known]

    def check_parents(self, command: Invoke | Discard) -> None:
        shards = {s.info.shard_id: s for s in self.stream.list_shards()}
        for parent in shards[command.shard_id].info.parents:
            done = self.accepted[parent] | self.dropped[parent]
            assert {r.position for r in shards[parent].records} <= done, "a child before its parent was drained"

    def answer_some(self, *, kindly: bool) -> None:
        self.random.shuffle(self.flying)
        for command in self.flying[: self.random.randint(0, len(self.flying))]:
            self.flying.remove(command)
            if isinstance(command, Discard):
                delivered = kindly or self.random.random() < 0.8
                self.machine.discarded(command.id, self.clock(), delivered=delivered)
                if delivered:
                    self.dropped[command.shard_id] |= {r.position for r in command.records}
            else:
                self.answer(command, Returned() if kindly else self.some_answer(command))
        for zombie in self.zombies:
            assert self.machine.answer(zombie, Returned(), self.clock()) is False
        self.zombies.clear()

    def answer(self, command: Invoke, answer: Answer) -> None:
        before = self.machine.stats(command.shard_id).delivered
        self.machine.answer(command.id, answer, self.clock())
        done = self.machine.stats(command.shard_id).delivered - before
        self.accepted[command.shard_id] |= {r.position for r in command.records[:done]}
        if not isinstance(answer, Returned):
            self.zombies.append(command.id)

    def some_answer(self, command: Invoke) -> Answer:
        failing = self.random.choice(command.records).sequence_number
        answers: list[Answer] = [
            Returned(),
            Returned({"batchItemFailures": [{"itemIdentifier": failing}]}),
            Returned({"batchItemFailures": [{"itemIdentifier": "unknown"}]}),
            Failed(),
            Throttled(),
            Unavailable(),
        ]
        return self.random.choice(answers)

    def restart(self) -> None:
        self.machine = self.machine_from(self.machine.export())
        self.flying.clear()
        self.zombies.clear()

    def finish(self) -> None:
        for _ in range(3000):
            self.read()
            self.start()
            self.answer_some(kindly=True)
            self.clock.advance(0.5)
            if not self.flying and not self.machine.waiting and self.all_read():
                return
        raise AssertionError("it does not end")

    def all_read(self) -> bool:
        last = {s.info.shard_id: s.records[-1].sequence_number for s in self.stream.list_shards() if s.records}
        known = set(self.machine.shards)
        return all(s in known and self.machine.checkpoint(s) == number for s, number in last.items())


def everything(world: World) -> dict[str, set[int]]:
    return {s.info.shard_id: {r.position for r in s.records} for s in world.stream.list_shards() if s.records}


@given(mappings, st.integers(0, 2**32), st.booleans())
def test_every_record_is_delivered_at_least_once_or_discarded(mapping: Mapping, seed: int, restarts: bool) -> None:
    world = World(mapping, Random(seed))
    for _ in range(30):
        world.write()
        world.read()
        world.start()
        world.answer_some(kindly=False)
        world.clock.advance(world.random.choice([0, 0.1, 1, 20]))
        if restarts and world.random.random() < 0.1:
            world.restart()

    world.finish()

    for shard_id, positions in everything(world).items():
        assert positions == world.accepted[shard_id] | world.dropped[shard_id]


@given(mappings, st.integers(0, 2**32))
def test_within_a_lane_records_are_first_seen_in_order(mapping: Mapping, seed: int) -> None:
    world = World(mapping, Random(seed))
    for _ in range(30):
        world.write()
        world.read()
        world.start()
        world.answer_some(kindly=False)
        world.clock.advance(world.random.choice([0, 0.1, 1]))

    world.finish()

    assert world.first_seen
    for positions in world.first_seen.values():
        assert positions == sorted(positions)


@given(st.integers(1, 40), st.sets(st.integers(0, 39)), st.integers(0, 2), st.booleans())
def test_bisect_ends_and_discards_exactly_the_poison(count: int, poison: set[int], retries: int, report: bool) -> None:
    def handler(event: dict[str, object], context: object) -> dict[str, object]:
        records = event["Records"]
        assert isinstance(records, list)
        bad = [r["kinesis"]["sequenceNumber"] for r in records if int(r["kinesis"]["partitionKey"]) in poison]
        if bad and not report:
            raise ValueError("poison")
        return {"batchItemFailures": [{"itemIdentifier": number} for number in bad]}

    mapping = Mapping(bisect_on_error=True, maximum_retry_attempts=retries, report_batch_item_failures=report)
    harness = Harness(handler, mapping)
    for n in range(count):
        harness.put(b"x", partition_key=str(n))

    harness.run_until_drained(max_invocations=2 * count * (retries + 2))

    discarded = [int(r.partition_key) for d in harness.discarded for r in d.records]
    assert discarded == sorted(poison & set(range(count)))


@given(st.lists(st.integers(1, 700_000), min_size=1, max_size=30), st.integers(1, 30))
def test_no_event_is_larger_than_six_mb_or_longer_than_the_batch_size(sizes: list[int], batch_size: int) -> None:
    lengths: list[int] = []
    harness = Harness(lambda event, context: lengths.append(len(event["Records"])), Mapping(batch_size=batch_size))
    for size in sizes:
        harness.put(b"x" * size)

    harness.run_until_drained()

    assert sum(lengths) == len(sizes)
    assert max(lengths) <= batch_size
    assert max(len(encode(invocation.event)) for invocation in harness.invocations) <= PAYLOAD_LIMIT_BYTES
