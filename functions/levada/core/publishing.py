"""Publish records in order per lane: a lane's next record leaves only when the one before is acknowledged."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

from levada.core.errors import UnavailableError
from levada.ports import Clock, Entry, RecordSink

MAX_REQUEST_RECORDS = 500
MAX_REQUEST_BYTES = 5_000_000
ATTEMPTS = 8
BASE_DELAY_S = 0.05
MAX_DELAY_S = 2.0


@dataclass(slots=True)
class Published:
    """What one call of ``publish`` did."""

    records: int = 0
    bytes: int = 0
    retries: int = 0
    """Entries that had to be sent again."""


def publish(sink: RecordSink, entries: Iterable[Entry], clock: Clock) -> Published:
    """Send all entries; those of one partition key arrive in the order given.

    PutRecords fails per record and keeps no order, so a partition key never stands twice in one request and
    only what failed is sent again, before anything behind it.

    Waits between attempts grow exponentially, with jitter, so that retries of many functions do not march in step.

    Raises:
        UnavailableError: when an entry was refused ATTEMPTS times; what went before it in its lane is on the stream.
    """
    lanes: dict[str, deque[Entry]] = {}
    for entry in entries:
        lanes.setdefault(entry.partition_key, deque()).append(entry)
    done, failures = Published(), 0
    while lanes:
        request = _next_request(lanes)
        errors = sink.put(request)
        failed = [e for e in errors if e is not None]
        for entry, error in zip(request, errors, strict=True):
            if error is None:
                _acknowledge(lanes, entry, done)
        failures = failures + 1 if failed else 0
        if failures >= ATTEMPTS:
            raise UnavailableError(f"{len(failed)} of {len(request)} records refused {ATTEMPTS} times: {failed[0]}")
        if failed:
            done.retries += len(failed)
            clock.sleep(min(MAX_DELAY_S, BASE_DELAY_S * 2**failures) * (0.5 + clock.jitter() / 2))
    return done


def _next_request(lanes: dict[str, deque[Entry]]) -> list[Entry]:
    request: list[Entry] = []
    size = 0
    for queue in lanes.values():
        head = queue[0]
        cost = len(head.data) + len(head.partition_key)
        if request and (len(request) == MAX_REQUEST_RECORDS or size + cost > MAX_REQUEST_BYTES):
            break
        request.append(head)
        size += cost
    return request


def _acknowledge(lanes: dict[str, deque[Entry]], entry: Entry, done: Published) -> None:
    queue = lanes[entry.partition_key]
    queue.popleft()
    if not queue:
        del lanes[entry.partition_key]
    done.records += 1
    done.bytes += len(entry.data)
