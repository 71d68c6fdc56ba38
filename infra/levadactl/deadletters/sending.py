"""``levada dlq redrive``: dead letters back onto their stream, each once, also when repeated or interrupted.

Order of effects: a note that they are coming (``returned``), records, then the ledger (or the message's deletion). What
the ledger does not know of yet is sent again under the same (source, n), and ``clean`` knows it by that; ``aggregate``
knows the rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from itertools import groupby
from typing import TypeVar

from levada.core.positions import pad_sequence
from levada.core.publishing import publish
from levada.ports import Clock, RecordSink
from levadactl.deadletters import discarded, files, handed_on, judging, ledger, messages, returned, standing
from levadactl.deadletters.counts import Count, Report
from levadactl.deadletters.discarded import Resolved
from levadactl.deadletters.judging import CHUNK, Verdict
from levadactl.deadletters.letters import AGGREGATE, CLEAN, INGEST, Letter
from levadactl.deadletters.messages import Discarded, FailedCall, Inbox
from levadactl.deadletters.ports import InvokeError, Message, Ports

Advance = Callable[[float], None]
Progress = Callable[[int], AbstractContextManager[Advance]]
"""Told how many records and files there are to see; gives what to call for those that are done."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """Which dead letters; the conditions hold together, and without any it is all of them."""

    reason: str | None = None
    """Of a letter; of a batch or a call its condition."""
    domain: str | None = None
    id: str | None = None
    """Its beginning is enough."""

    def letter(self, one: Letter) -> bool:
        return self._is(one.id, one.reason) and self.domain in (None, one.domain)

    def message(self, one: Discarded | FailedCall) -> bool:
        """A batch or a call is of no domain."""
        return self._is(one.id, one.condition) and self.domain is None

    def _is(self, known_id: str, reason: str) -> bool:
        return (self.id is None or known_id.startswith(self.id)) and self.reason in (None, reason)


class Pace:
    """At most so many records a second, on average."""

    def __init__(self, clock: Clock, rate: float | None) -> None:
        self._clock, self._rate, self._sent = clock, rate, 0
        self._began_s = clock.now_s()
        self.chunk = CHUNK if rate is None else max(1, min(CHUNK, int(rate / 4)))

    def sent(self, n: int) -> None:
        self._sent += n
        if self._rate is not None:
            ahead_s = self._began_s + self._sent / self._rate - self._clock.now_s()
            if ahead_s > 0:
                self._clock.sleep(ahead_s)


def no_progress(total: int) -> AbstractContextManager[Advance]:  # noqa: ARG001  # nobody looks
    return nullcontext(lambda _: None)


def redrive(
    ports: Ports, choice: Choice, *, dry_run: bool, rate: float | None = None, progress: Progress = no_progress
) -> Report:
    """Send what was chosen and would pass; or only say what would happen. rate: records a second at most."""
    report = Report(dry_run)
    gone: set[str] = set()
    received = ports.queue.receive()
    try:
        run = _Run(ports, choice, dry_run, Pace(ports.clock, rate), report, gone)
        run.everything(messages.sort(received), progress)
    finally:
        ports.queue.release([m for m in received if m.id not in gone])
    return report


@dataclass(slots=True)
class _Run:
    ports: Ports
    choice: Choice
    dry_run: bool
    pace: Pace
    report: Report
    gone: set[str]
    """Messages that are settled."""
    advance: Advance = lambda _: None

    def everything(self, inbox: Inbox, progress: Progress) -> None:
        resolved = [discarded.resolve(batch, self.ports) for batch in inbox.batches]
        found = standing.survey(self.ports.blobs, discarded.places(resolved))
        calls = [call for call in inbox.calls if self.choice.message(call)]
        batches = discarded.with_linked([one for one in resolved if self.choice.message(one.batch)], resolved)
        mine = [letter for letter in found.outstanding if self.choice.letter(letter)]
        total = len(calls) + sum(len(one.records) for one in batches) + len(mine)
        with progress(total) as self.advance:
            self._calls(calls)
            self._batches(batches, found.discarded)
            self._files([letter for letter in mine if letter.stage == INGEST])
            self._letters([letter for letter in mine if letter.stage == CLEAN], self.ports.raw)
            self._letters([letter for letter in mine if letter.stage == AGGREGATE], self.ports.clean)

    # ------------------------------------------------------------------ rows and records that a stage refused

    def _letters(self, found: Sequence[Letter], sink: RecordSink) -> None:
        count = self.report.letters
        count.selected += len(found)
        verdicts = judging.letters if sink is self.ports.raw else handed_on.letters
        judged = self._passing(verdicts(found, self.ports.rules), count)
        for some in _chunks(judged, self.pace.chunk):
            if not self.dry_run:
                self._send([verdict for _, verdict in some], sink)
                self._acknowledge(letter for letter, _ in some)
                count.sent += len(some)

    def _passing(self, judged: Iterable[tuple[Letter, Verdict]], count: Count) -> Iterator[tuple[Letter, Verdict]]:
        for letter, verdict in judged:
            count.see(verdict)
            if verdict.passes:
                yield letter, verdict
            else:
                self.advance(1)

    def _send(self, found: Iterable[Verdict], sink: RecordSink) -> None:
        entries = [verdict.entry for verdict in found if verdict.entry is not None]
        stage = CLEAN if sink is self.ports.raw else AGGREGATE
        returned.note(self.ports.blobs, stage, entries, int(self.ports.clock.now_s()))
        publish(sink, entries, self.ports.clock)
        self.pace.sent(len(entries))
        self.advance(len(entries))

    def _acknowledge(self, found: Iterable[Letter]) -> None:
        now_s = int(self.ports.clock.now_s())
        for key, some in groupby(sorted(found, key=lambda one: one.key), key=lambda one: one.key):
            ledger.acknowledge(self.ports.blobs, key, [one.id for one in some], now_s=now_s)

    # ------------------------------------------------------------------ batches that a trigger gave up

    def _batches(self, found: Sequence[Resolved], letters: Sequence[Letter]) -> None:
        """Aggregate's first: what is on the clean stream then is all that aggregate has, or will have, of clean's."""
        count = self.report.batches
        for one in found:
            count.selected += 1
            count.records += len(one.records)
            count.lost += one.lost
        behind = [one for one in found if one.stage == AGGREGATE]
        raw = [one for one in found if one.stage == CLEAN]
        back = []
        for one in behind:
            missing = handed_on.missing(one.records, discarded.fences_of(one, self.ports))
            count.applied += len(one.records) - len(missing)
            back.append(self._put_back(one, handed_on.verdicts(missing, self.ports.rules)))
        known = discarded.published(raw, behind, self.ports)
        for one in raw:
            present = {pad_sequence(record.sequence) for record in one.records}
            count.published += sum(len(rows) for at, rows in known.get(one.token, {}).items() if at in present)
            if self._put_back(one, discarded.verdicts(one, known, self.ports.rules)):
                self._settle_batch(one, letters)
        for one, complete in zip(behind, back, strict=True):  # last: until then clean's must know that it was given up
            if complete:
                self._settle_batch(one, letters)

    def _put_back(self, one: Resolved, found: Sequence[Verdict]) -> bool:
        """Is all of it on its stream again? Records that nobody can read are sent too: they end in quarantine."""
        count, sink = self.report.batches, self.ports.raw if one.stage == CLEAN else self.ports.clean
        for verdict in found:
            count.see(verdict)
        if self.dry_run:
            return False
        for some in _chunks(found, self.pace.chunk):
            self._send(some, sink)
            count.sent += sum(verdict.entry is not None for verdict in some)
        return all(verdict.entry is not None for verdict in found)

    def _settle_batch(self, one: Resolved, letters: Sequence[Letter]) -> None:
        """What its failed attempts had refused comes again with it, under new positions."""
        at = {(one.stage, one.token, pad_sequence(record.sequence)) for record in one.records}
        self._acknowledge(letter for letter in letters if (letter.stage, letter.shard, letter.sequence) in at)
        self._settle(one.batch.message)
        self.report.batches.settled += 1

    def _settle(self, message: Message) -> None:
        self.ports.queue.delete(message)
        self.gone.add(message.id)

    # ------------------------------------------------------------------ files and calls

    def _files(self, found: Sequence[Letter]) -> None:
        count = self.report.files
        count.selected += len(found)
        for letter in found:
            failure = files.attempt(letter, self.ports) if self.dry_run else self._load(letter)
            if failure:
                count.failing[failure] += 1
            else:
                count.passing += 1
            self.advance(1)

    def _load(self, letter: Letter) -> str:
        try:
            failure = files.load_again(letter, self.ports)
        except InvokeError:
            return "function_failed"
        if not failure:
            self._acknowledge([letter])
            self.report.files.sent += 1
        return failure

    def _calls(self, found: Sequence[FailedCall]) -> None:
        count = self.report.calls
        count.selected += len(found)
        for call in found:
            if self.dry_run:
                continue
            try:
                self.ports.functions.invoke(call.function, call.event)
            except InvokeError:
                count.failing["function_failed"] += 1
                continue
            self._settle(call.message)
            count.sent += 1
            self.advance(1)


T = TypeVar("T")


def _chunks(found: Iterable[T], n: int) -> Iterator[list[T]]:
    some: list[T] = []
    for one in found:
        some.append(one)
        if len(some) == n:
            yield some
            some = []
    if some:
        yield some
