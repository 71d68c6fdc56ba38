"""``levada dlq ls`` and ``show``: what is outstanding, by reason; one letter with everything that is known of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from levada.core.kinesis_event import StreamRecord
from levada.core.positions import pad_sequence
from levadactl.deadletters import discarded, messages, standing
from levadactl.deadletters.discarded import Resolved
from levadactl.deadletters.letters import Letter
from levadactl.deadletters.messages import FailedCall
from levadactl.deadletters.ports import Ports, RedriveError
from levadactl.peeking import decode

MAX_DETAIL = 120
SHOWN_RECORDS = 10


def overview(ports: Ports) -> dict[str, Any]:
    """Everything outstanding: groups of letters, discarded batches, failed calls."""
    held = ports.queue.held()
    received = ports.queue.receive()
    try:
        inbox = messages.sort(received)
        resolved = [discarded.resolve(batch, ports) for batch in inbox.batches]
    finally:
        ports.queue.release(received)
    found = standing.survey(ports.blobs, discarded.places(resolved))
    return {
        "outstanding": len(found.outstanding),
        "groups": _groups(found.outstanding),
        "batches": _batches(resolved),
        "calls": _calls(inbox.calls),
        "other_messages": len(inbox.foreign),
        "held_messages": held,
        "not_outstanding": {name: len(getattr(found, name)) for name in standing.NAMES[1:]},
    }


def _groups(found: Sequence[Letter]) -> list[dict[str, Any]]:
    groups: dict[tuple[str, str, str], list[Letter]] = {}
    for letter in found:
        groups.setdefault((letter.stage, letter.domain, letter.reason), []).append(letter)
    return [
        {
            "stage": stage,
            "domain": domain,
            "reason": reason,
            "count": len(some),
            "first": _time(min(one.arrived_us for one in some) / 1e6),
            "last": _time(max(one.arrived_us for one in some) / 1e6),
            "example": {"id": some[0].id, "detail": some[0].detail[:MAX_DETAIL]},
        }
        for (stage, domain, reason), some in sorted(groups.items())
    ]


def _batches(found: Sequence[Resolved]) -> list[dict[str, Any]]:
    groups: dict[tuple[str, str], list[Resolved]] = {}
    for one in found:
        groups.setdefault((one.batch.condition, one.batch.function), []).append(one)
    return [
        {
            "condition": condition,
            "function": function,
            "batches": len(some),
            "records": sum(one.batch.size for one in some),
            "in_stream": sum(len(one.records) for one in some),
            "lost": sum(one.lost for one in some),
            "first": _time(min(one.batch.first_s for one in some)),
            "last": _time(max(one.batch.last_s for one in some)),
            "ids": [one.batch.id for one in some],
        }
        for (condition, function), some in sorted(groups.items())
    ]


def _calls(found: Sequence[FailedCall]) -> list[dict[str, Any]]:
    return [
        {
            "id": one.id,
            "condition": one.condition,
            "function": one.function,
            "keys": one.keys,
            "time": _time(one.at_s),
        }
        for one in found
    ]


def show(ports: Ports, wanted: str) -> dict[str, Any]:
    """One dead letter by its id or the beginning of it. Raises RedriveError when it is none, or several."""
    received = ports.queue.receive()
    try:
        inbox = messages.sort(received)
        resolved = [discarded.resolve(batch, ports) for batch in inbox.batches]
    finally:
        ports.queue.release(received)
    found = standing.survey(ports.blobs, discarded.places(resolved))
    answers = {
        letter.id: {"state": name, **_letter(letter)}
        for name in standing.NAMES
        for letter in getattr(found, name)
        if letter.id.startswith(wanted)
    }
    answers |= {one.batch.id: _resolved(one) for one in resolved if one.batch.id.startswith(wanted)}
    answers |= {
        one.id: {"id": one.id, "function": one.function, "condition": one.condition, "event": dict(one.event)}
        for one in inbox.calls
        if one.id.startswith(wanted)
    }
    if len(answers) != 1:
        known = (
            f"{len(answers)} begin with it: {', '.join(sorted(answers)[:5])}" if answers else "levada dlq ls names them"
        )
        raise RedriveError(f"no one dead letter has the id {wanted!r}; {known}")
    return next(iter(answers.values()))


def _letter(letter: Letter) -> dict[str, Any]:
    root = letter.root
    return {
        "id": letter.id,
        "stage": letter.stage,
        "domain": letter.domain,
        "tenant": letter.tenant,
        "reason": letter.reason,
        "detail": letter.detail,
        "arrived": _time(letter.arrived_us / 1e6),
        "shard": letter.shard,
        "sequence": letter.sequence,
        "source": root.source,
        "position": letter.position if letter.position is None else root.position,
        "row": root.row,
        "line": letter.line,
        "redriven": root.attempt,
        "trace": letter.trace,
        "object": letter.key,
        **_payload(letter.payload),
    }


def _payload(payload: bytes) -> Mapping[str, Any]:
    try:
        return {"bytes": len(payload), "payload": payload.decode()}
    except UnicodeDecodeError:
        return {"bytes": len(payload), "payload_hex": payload.hex()}


def _resolved(one: Resolved) -> dict[str, Any]:
    batch = one.batch
    return {
        "id": batch.id,
        "function": batch.function,
        "condition": batch.condition,
        "stream": batch.stream_name,
        "shard": batch.shard,
        "first": pad_sequence(batch.first),
        "last": pad_sequence(batch.last),
        "records": batch.size,
        "in_stream": len(one.records),
        "lost": one.lost,
        "first_records": [_record(batch.stream_name, batch.shard, record) for record in one.records[:SHOWN_RECORDS]],
    }


def _record(stream: str, shard: str, record: StreamRecord) -> dict[str, Any]:
    raw = {
        "Data": record.data,
        "SequenceNumber": str(record.sequence),
        "PartitionKey": record.partition_key,
        "ApproximateArrivalTimestamp": datetime.fromtimestamp(record.arrived_us / 1e6, UTC),
    }
    seen = decode(stream, shard, raw)
    return {"sequence": seen.sequence, "arrived": seen.arrived, "header": seen.header, "rows": seen.rows} | (
        {"problem": seen.problem} if seen.problem else {}
    )


def _time(at_s: float) -> str:
    return datetime.fromtimestamp(at_s, UTC).isoformat(timespec="milliseconds")
