"""The state machine driven by hand: order of answers, zombies, restarts, shards that come and go."""

from __future__ import annotations

import json

import pytest

from levadactl.triggers import (
    Condition,
    Discard,
    Failed,
    Invoke,
    Machine,
    Mapping,
    Position,
    Returned,
    ShardInfo,
    Start,
    Throttled,
    Unavailable,
)
from levadactl.triggers.event import PAYLOAD_LIMIT_BYTES, encode
from levadactl.triggers.testkit import START_S as NOW
from tests.unit.triggers.handlers import SHARD, opened, records

QUEUE = "arn:aws:sqs:us-east-1:000000000000:dead-letters"
OTHER = "shardId-000000000001"


def invoke(machine: Machine, now_s: float = NOW) -> Invoke:
    (command,) = machine.poll(now_s)
    assert isinstance(command, Invoke)
    return command


def discard(machine: Machine, now_s: float = NOW) -> Discard:
    (command,) = machine.poll(now_s)
    assert isinstance(command, Discard)
    return command


def test_a_lane_has_one_open_command_and_the_checkpoint_waits_for_its_answer() -> None:
    machine = Machine(Mapping(batch_size=2))
    opened(machine)
    machine.feed(SHARD, records(1, 2, 3), NOW)
    first = invoke(machine)

    assert machine.poll(NOW) == []
    assert machine.checkpoint(SHARD) is None
    machine.answer(first.id, Returned(), NOW)
    assert machine.checkpoint(SHARD) == "2"
    assert [r.position for r in invoke(machine).records] == [3]


def test_invocations_of_several_shards_may_be_answered_in_any_order() -> None:
    machine = Machine(Mapping())
    opened(machine, [ShardInfo(SHARD), ShardInfo(OTHER)])
    machine.feed(SHARD, records(1), NOW)
    machine.feed(OTHER, records(2), NOW)
    first, second = machine.poll(NOW)

    machine.answer(second.id, Returned(), NOW)

    assert machine.checkpoint(OTHER) == "2"
    assert machine.in_flight == (first,)


def test_a_zombies_late_result_changes_nothing() -> None:
    machine = Machine(Mapping())
    opened(machine)
    machine.feed(SHARD, records(1), NOW)
    zombie = invoke(machine)
    machine.answer(zombie.id, Failed(detail="timed out"), NOW)

    assert machine.answer(zombie.id, Returned(), NOW + 1) is False

    assert machine.checkpoint(SHARD) is None
    assert machine.stats(SHARD).late_answers == 1
    assert invoke(machine, NOW + 2).attempt == 2


def test_an_answer_does_not_fit_a_discard_nor_a_send_an_invocation() -> None:
    machine = Machine(Mapping(maximum_retry_attempts=0))
    opened(machine)
    machine.feed(SHARD, records(1), NOW)
    call = invoke(machine)

    assert machine.discarded(call.id, NOW) is False
    machine.answer(call.id, Failed(), NOW)
    message = discard(machine)
    assert machine.answer(message.id, Returned(), NOW) is False
    assert machine.discarded(message.id, NOW) is True


def test_records_fed_twice_or_in_overlapping_pages_count_once() -> None:
    machine = Machine(Mapping())
    opened(machine)

    assert machine.feed(SHARD, records(1, 2), NOW) == 2
    assert machine.feed(SHARD, records(1, 2, 3), NOW) == 1

    assert [r.position for r in invoke(machine).records] == [1, 2, 3]


def test_sequence_numbers_are_compared_as_numbers_not_as_text() -> None:
    machine = Machine(Mapping())
    opened(machine)

    machine.feed(SHARD, records(9), NOW)
    machine.feed(SHARD, records(10), NOW)

    assert [r.position for r in invoke(machine).records] == [9, 10]


def test_reading_goes_on_after_the_last_record_read_not_after_the_checkpoint() -> None:
    machine = Machine(Mapping())
    (first,) = opened(machine)
    machine.feed(SHARD, records(7), NOW)

    assert first.position == Position("TRIM_HORIZON")
    (second,) = machine.reads()
    assert second.position == Position("AFTER_SEQUENCE_NUMBER", sequence_number="7")


def test_a_shard_with_much_waiting_is_not_read_further() -> None:
    machine = Machine(Mapping())
    opened(machine)

    machine.feed(SHARD, records(*range(6000)), NOW)

    assert machine.reads() == []


def test_a_shard_with_large_records_waiting_is_not_read_further() -> None:
    machine = Machine(Mapping())
    opened(machine)

    machine.feed(SHARD, records(*range(20), data=b"x" * 1_000_000), NOW)

    assert machine.reads() == []


def test_a_disabled_mapping_neither_reads_nor_invokes() -> None:
    machine = Machine(Mapping(enabled=False))

    assert opened(machine) == []
    machine.feed(SHARD, records(1), NOW)
    assert machine.poll(NOW) == []
    assert machine.wake_s() is None


@pytest.mark.parametrize("answer", [Throttled(), Unavailable("connection reset")])
def test_a_call_that_did_not_get_through_comes_again_with_growing_waits(answer: Throttled | Unavailable) -> None:
    machine = Machine(Mapping(maximum_retry_attempts=0))
    opened(machine)
    machine.feed(SHARD, records(1), NOW)
    waits, now_s = [], NOW
    for _ in range(4):
        machine.answer(invoke(machine, now_s).id, answer, now_s)
        wake_s = machine.wake_s()
        assert wake_s is not None
        assert machine.poll(wake_s - 0.001) == []
        waits.append(wake_s - now_s)
        now_s = wake_s

    assert waits == [1, 2, 4, 8]


def test_once_the_function_was_reached_the_waits_for_throttles_start_afresh() -> None:
    machine = Machine(Mapping())
    opened(machine)
    machine.feed(SHARD, records(1), NOW)
    now_s = NOW
    for answer in (Throttled(), Throttled(), Throttled(), Failed(), Throttled()):
        machine.answer(invoke(machine, now_s).id, answer, now_s)
        answered_s, wake_s = now_s, machine.wake_s()
        assert wake_s is not None
        now_s = wake_s

    assert now_s - answered_s == 1


def test_a_retry_that_outlives_the_maximum_age_is_discarded_in_the_middle_of_its_wait() -> None:
    machine = Machine(Mapping(maximum_record_age_s=60))
    opened(machine)
    machine.feed(SHARD, records(1, arrival_s=NOW - 59.5), NOW)
    machine.answer(invoke(machine).id, Failed(), NOW)

    wake_s = machine.wake_s()
    assert wake_s is not None
    assert wake_s < NOW + 1
    message = discard(machine, wake_s)

    assert message.condition is Condition.AGE
    assert message.body["requestContext"]["approximateInvokeCount"] == 1
    assert "responseContext" not in message.body


def test_only_the_expired_part_of_a_failed_batch_is_discarded() -> None:
    machine = Machine(Mapping(maximum_record_age_s=60))
    opened(machine)
    machine.feed(SHARD, [*records(1, arrival_s=NOW - 59.5), *records(2, 3)], NOW)
    machine.answer(invoke(machine).id, Failed(), NOW)

    message = discard(machine, NOW + 1)
    machine.discarded(message.id, NOW + 1)

    assert [r.position for r in message.records] == [1]
    assert [r.position for r in invoke(machine, NOW + 1).records] == [2, 3]


def test_the_position_stays_until_the_failure_message_is_delivered() -> None:
    machine = Machine(Mapping(maximum_retry_attempts=0, on_failure_destination=QUEUE))
    opened(machine)
    machine.feed(SHARD, records(1), NOW)
    machine.answer(invoke(machine).id, Failed(), NOW)
    machine.discarded(discard(machine).id, NOW, delivered=False)

    assert machine.checkpoint(SHARD) is None
    assert machine.poll(NOW) == []
    machine.discarded(discard(machine, NOW + 1).id, NOW + 1)
    assert machine.checkpoint(SHARD) == "1"


def test_a_message_that_the_destination_refuses_is_counted_and_the_shard_goes_on() -> None:
    machine = Machine(Mapping(maximum_retry_attempts=0, on_failure_destination=QUEUE))
    opened(machine)
    machine.feed(SHARD, records(1), NOW)
    machine.answer(invoke(machine).id, Failed(), NOW)

    machine.discarded(discard(machine).id, NOW, delivered=False, refused=True)

    assert machine.checkpoint(SHARD) == "1"
    assert machine.stats(SHARD).undelivered_messages == 1


def test_after_a_restart_it_goes_on_at_the_checkpoint_and_redelivers_what_was_in_flight() -> None:
    machine = Machine(Mapping(batch_size=2))
    opened(machine)
    machine.feed(SHARD, records(1, 2, 3, 4), NOW)
    machine.answer(invoke(machine).id, Returned(), NOW)
    invoke(machine)

    again = Machine(Mapping(batch_size=2), state=json.loads(json.dumps(machine.export())))
    (read,) = opened(again)

    assert read.position == Position("AFTER_SEQUENCE_NUMBER", sequence_number="2")
    again.feed(SHARD, records(3, 4), NOW)
    assert [r.position for r in invoke(again).records] == [3, 4]


def test_after_a_restart_lanes_that_were_ahead_are_not_redelivered() -> None:
    mapping = Mapping(parallelization_factor=2)
    machine = Machine(mapping)
    opened(machine)
    slow, fast = records(1, key="a"), records(2, key="e")
    machine.feed(SHARD, [*slow, *fast], NOW)
    by_key = {command.records[0].partition_key: command for command in machine.poll(NOW)}
    assert set(by_key) == {"a", "e"}
    machine.answer(by_key["e"].id, Returned(), NOW)
    assert machine.checkpoint(SHARD) is None

    again = Machine(mapping, state=json.loads(json.dumps(machine.export())))
    opened(again)
    again.feed(SHARD, [*slow, *fast], NOW)

    assert [r.position for r in invoke(again).records] == [1]


def test_with_another_parallelization_factor_a_restart_redelivers_rather_than_loses() -> None:
    machine = Machine(Mapping(parallelization_factor=2))
    opened(machine)
    both = [*records(1, key="a"), *records(2, key="e")]
    machine.feed(SHARD, both, NOW)
    by_key = {command.records[0].partition_key: command for command in machine.poll(NOW)}
    machine.answer(by_key["e"].id, Returned(), NOW)

    again = Machine(Mapping(), state=machine.export())
    opened(again)
    again.feed(SHARD, both, NOW)

    assert [r.position for r in invoke(again).records] == [1, 2]


def test_latest_does_not_move_forward_over_a_restart() -> None:
    mapping = Mapping(starting_position=Start.LATEST)
    machine = Machine(mapping)
    opened(machine)

    again = Machine(mapping, state=machine.export())
    (read,) = opened(again, now_s=NOW + 100)

    assert read.position == Position("AT_TIMESTAMP", timestamp_s=NOW)


def test_records_before_the_starting_time_are_left_out_though_the_read_brought_them() -> None:
    machine = Machine(Mapping(starting_position=Start.LATEST))
    opened(machine, now_s=NOW + 0.5)

    machine.feed(SHARD, [*records(1), *records(2, arrival_s=NOW + 0.5)], NOW + 1)

    assert [r.position for r in invoke(machine, NOW + 1).records] == [2]


def test_shards_found_later_start_at_their_first_record_even_with_latest() -> None:
    machine = Machine(Mapping(starting_position=Start.LATEST))
    opened(machine)
    machine.feed(SHARD, [], NOW, end=True)

    (read,) = opened(machine, [ShardInfo(SHARD), ShardInfo(OTHER, (SHARD,))], NOW + 5)

    assert read.shard_id == OTHER
    assert read.position == Position("TRIM_HORIZON")


def test_children_are_not_read_before_their_parents_are_drained_also_after_a_restart() -> None:
    family = [ShardInfo(SHARD), ShardInfo(OTHER, (SHARD,))]
    machine = Machine(Mapping())
    opened(machine, family)
    machine.feed(SHARD, records(1), NOW, end=True)

    again = Machine(Mapping(), state=machine.export())
    assert [read.shard_id for read in opened(again, family)] == [SHARD]
    again.feed(SHARD, records(1), NOW, end=True)
    assert again.reads() == []
    again.answer(invoke(again).id, Returned(), NOW)

    assert [read.shard_id for read in again.reads()] == [OTHER]
    third = Machine(Mapping(), state=again.export())
    assert [read.shard_id for read in opened(third, family)] == [OTHER]


def test_a_shard_that_vanished_is_delivered_as_far_as_it_was_read_and_then_forgotten() -> None:
    machine = Machine(Mapping(batching_window_s=300))
    opened(machine)
    machine.feed(SHARD, records(1), NOW)

    assert opened(machine, [ShardInfo(OTHER, (SHARD,))]) == []
    machine.answer(invoke(machine).id, Returned(), NOW)

    assert [read.shard_id for read in opened(machine, [ShardInfo(OTHER, (SHARD,))])] == [OTHER]
    assert machine.shards == (OTHER,)


def test_a_shard_that_comes_back_after_it_vanished_goes_on_where_it_was() -> None:
    machine = Machine(Mapping())
    opened(machine, [ShardInfo(SHARD), ShardInfo(OTHER)])
    machine.feed(SHARD, records(1), NOW)
    opened(machine, [ShardInfo(OTHER)])

    reads = {read.shard_id: read.position for read in opened(machine, [ShardInfo(SHARD), ShardInfo(OTHER)])}

    assert reads[SHARD] == Position("AFTER_SEQUENCE_NUMBER", sequence_number="1")


def test_a_closed_shard_does_not_wait_for_the_batching_window() -> None:
    machine = Machine(Mapping(batching_window_s=300))
    opened(machine)
    machine.feed(SHARD, records(1), NOW, end=True)

    assert len(invoke(machine).records) == 1


def test_the_retry_count_starts_afresh_when_the_checkpoint_moves() -> None:
    machine = Machine(Mapping(report_batch_item_failures=True, maximum_retry_attempts=1))
    opened(machine)
    machine.feed(SHARD, records(1, 2, 3), NOW)
    now_s = NOW
    seen = []
    for failing in ("2", "3", "3"):
        call = invoke(machine, now_s)
        seen.append([r.position for r in call.records])
        machine.answer(call.id, Returned({"batchItemFailures": [{"itemIdentifier": failing}]}), now_s)
        now_s += 10

    assert seen == [[1, 2, 3], [2, 3], [3]]
    assert [r.position for r in discard(machine, now_s).records] == [3]


def test_the_lag_is_the_age_of_the_oldest_record_that_is_not_done() -> None:
    machine = Machine(Mapping())
    opened(machine)
    assert machine.lag_s(SHARD, NOW) == 0
    machine.feed(SHARD, records(1, arrival_s=NOW - 5), NOW)

    assert machine.lag_s(SHARD, NOW) == 5


def test_a_clock_that_jumps_back_stops_nothing_for_good() -> None:
    machine = Machine(Mapping(maximum_retry_attempts=5))
    opened(machine)
    machine.feed(SHARD, records(1), NOW)
    machine.answer(invoke(machine).id, Failed(), NOW - 3600)

    wake_s = machine.wake_s()

    assert wake_s is not None
    assert len(invoke(machine, wake_s).records) == 1


@pytest.mark.parametrize(("spare_bytes", "lengths"), [(0, [2]), (-1, [1, 1])])
def test_the_payload_limit_is_exact_to_the_byte(spare_bytes: int, lengths: list[int]) -> None:
    def machine_with(key: str) -> Machine:
        machine = Machine(Mapping())
        opened(machine)
        # 4 base64 characters for 3 bytes: two records of nearly 3 MiB each, a partition key fills the rest.
        data = b"x" * 2_358_000
        machine.feed(SHARD, [*records(1, data=data, key=""), *records(2, data=data, key=key)], NOW)
        return machine

    room = PAYLOAD_LIMIT_BYTES - len(encode(invoke(machine_with("")).event))
    machine = machine_with("k" * (room - spare_bytes))

    seen = []
    for _ in lengths:
        call = invoke(machine)
        seen.append(len(call.records))
        machine.answer(call.id, Returned(), NOW)

    assert seen == lengths


def test_two_machines_with_the_same_history_give_the_same_commands() -> None:
    def run() -> list[object]:
        machine = Machine(Mapping(batch_size=2, maximum_retry_attempts=0, on_failure_destination=QUEUE))
        opened(machine)
        machine.feed(SHARD, records(1, 2, 3), NOW)
        commands: list[object] = []
        for _ in range(4):
            for command in machine.poll(NOW):
                commands.append(command)
                if isinstance(command, Invoke):
                    machine.answer(command.id, Failed(), NOW)
                else:
                    machine.discarded(command.id, NOW)
        return commands

    assert run() == run()
    assert len(run()) == 4
