"""The file stage: a landed object to packs on the raw stream, each row exactly once, resumed where it was cut short.

Order of effects: packs, then the ledger. What the ledger does not know of yet is sent again under the same
(source, n), and ``clean`` knows it by that.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, field, replace
from typing import Any

from levada.core import keys
from levada.core.errors import BadRecordError, ConflictError, UnavailableError
from levada.core.publishing import publish
from levada.domains.declaration import Domain
from levada.ingest import ledger as ledgers
from levada.ingest import pieces, refusal
from levada.ingest.landed import File, GoneError, domain_of, looked_at, of_order, tenant_of
from levada.ingest.ledger import Ledger, Piece, Plan, Progress
from levada.ingest.packing import Packer
from levada.ingest.parts import Part
from levada.ingest.pieces import Order
from levada.ports import BlobStore, Clock, RecordSink, StreamTopology

BLOCK_BYTES = 4 * 1024 * 1024
BLOCK_ROWS = 50_000
SAVE_EVERY = 4
"""Blocks between two puts of the ledger: what a crash sends again at most."""
GRACE_S = 10.0
"""With less time left than this, an invocation saves its progress and leaves the rest to the next."""
RESEND_SHARE = 0.75
"""Share of the fence horizon within which a file is sent again after its stream was lost: later, fences may be gone."""
MAX_CONFLICTS = 1000

LOADED, DUPLICATE, REFUSED, GONE, IGNORED = "loaded", "duplicate", "refused", "gone", "ignored"
CONTINUED, SPLIT = "continued", "split"


@dataclass(frozen=True, slots=True, kw_only=True)
class FilesDeps:
    """What the stage needs of the outside."""

    blobs: BlobStore
    sink: RecordSink
    """The raw stream."""
    topology: StreamTopology
    clock: Clock
    domains: Mapping[str, Domain]
    tenant: str
    """Whose rows a file holds that does not lie in a tenant's folder."""
    raw_stream: str
    """Its name or ARN."""
    pack_rows: int
    fence_horizon_h: int
    block_bytes: int = BLOCK_BYTES
    block_rows: int = BLOCK_ROWS
    start: Callable[[dict[str, Any]], None] | None = None
    """Has another invocation handle an event; None: there is none, and no file is split."""
    split_bytes: int = 0
    """A plain text file of more bytes is loaded in pieces, by several invocations at once; 0: none is."""
    piece_bytes: int = pieces.PIECE_BYTES

    def of(self, key: str) -> FilesDeps:
        """For the tenant of this landed object. Raises BadRecordError ``bad_tenant``."""
        return replace(self, tenant=tenant_of(key, self.tenant))


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one landed object."""

    key: str
    domain: str
    status: str
    """loaded, duplicate (its content was loaded before), refused, gone, ignored (a folder is no file), continued (by
    another invocation), or split (its pieces are being loaded)."""
    reason: str = ""
    counts: Mapping[str, int] = field(default_factory=dict)
    """lines, rows_read, bad_rows, empty_rows, packs, bytes: of the whole file, over all attempts."""

    def to_json(self) -> dict[str, object]:
        fields: dict[str, object] = {"key": self.key, "domain": self.domain, "status": self.status}
        return fields | ({"reason": self.reason} if self.reason else {}) | dict(self.counts)


class OutOfTimeError(UnavailableError):
    """The invocation ends soon; what has been sent so far is in the ledger, and the same call goes on there."""

    def __init__(self, detail: str, domain: str, *, advanced: bool) -> None:
        super().__init__(detail)
        self.domain, self.advanced = domain, advanced
        """Did this call come any further? If not, another one like it will not either."""


def load(key: str, deps: FilesDeps, *, remaining_s: Callable[[], float], arrived_us: int | None = None) -> Outcome:
    """Load one landed object, or find out why not.

    Args:
        key: as it is in the bucket.
        remaining_s: seconds until the invocation is ended.
        arrived_us: when it landed, microseconds, where known.

    Raises:
        UnavailableError: the same call goes on where this one came to.
        OutOfTimeError: so it does then.
    """
    name, content = keys.UNKNOWN_DOMAIN, ""

    def seen(sha256: str) -> None:
        nonlocal content
        content = sha256

    try:
        name, deps = domain_of(key, deps.domains), deps.of(key)
        if key.endswith("/"):
            return Outcome(key, name, IGNORED)
        with looked_at(key, deps.domains[name], deps.blobs, seen) as file:
            return _load(file, deps, remaining_s)
    except GoneError:
        return Outcome(key, name, GONE)
    except BadRecordError as err:
        when = arrived_us if arrived_us is not None else int(deps.clock.now_s() * 1_000_000)
        deps.blobs.put(*refusal.object_of(key, err, domain=name, tenant=deps.tenant, content=content, arrived_us=when))
        return Outcome(key, name, REFUSED, str(err))


def load_piece(order: Order, deps: FilesDeps, *, remaining_s: Callable[[], float]) -> Outcome:
    """Load one piece of a file, and settle the file when it was the last one. Raises as ``load`` does."""
    name, deps = domain_of(order.key, deps.domains), deps.of(order.key)
    whole = Ledger.from_bytes(deps.blobs.get(keys.ledger(name, deps.tenant, order.sha256))[0])
    try:
        file = of_order(order, deps.domains[name], whole.plan.format, deps.blobs)
        outcome = _load(file, deps, remaining_s, _Part(order.index, whole.pieces[order.index], whole.plan))
    except GoneError:
        return Outcome(order.key, name, GONE)
    for _ in range(MAX_CONFLICTS):
        try:
            _Attempt(file, deps, remaining_s, None).settle()
        except ConflictError:  # another piece looks after the whole just now
            continue
        return outcome
    raise UnavailableError(f"{order.key}: its ledger changed {MAX_CONFLICTS} times under this attempt")


def first_plan(file: File, deps: FilesDeps) -> Plan:
    """How a file is cut that was never seen."""
    return Plan(file.kind, file.content.compression, deps.block_bytes, deps.block_rows, deps.pack_rows)


@dataclass(frozen=True, slots=True)
class _Part:
    """Which piece of a file is to be loaded, and by whose plan."""

    index: int
    piece: Piece
    plan: Plan


def _load(file: File, deps: FilesDeps, remaining_s: Callable[[], float], part: _Part | None = None) -> Outcome:
    for _ in range(MAX_CONFLICTS):
        try:
            return _Attempt(file, deps, remaining_s, part).run()
        except ConflictError:  # another attempt at the same content: go on from where that one has come to
            if remaining_s() < GRACE_S:
                raise
    raise UnavailableError(f"{file.key}: its ledger changed {MAX_CONFLICTS} times under this attempt")


class _Attempt:
    """One reading of the ledger of a file, or of a part of it, and what is sent from there on."""

    def __init__(self, file: File, deps: FilesDeps, remaining_s: Callable[[], float], part: _Part | None) -> None:
        self._file, self._deps, self._remaining_s, self._part = file, deps, remaining_s, part
        sha256 = file.content.sha256
        self._content = sha256 if part is None else pieces.content_of(sha256, part.index)
        self._at = keys.ledger(file.domain.name, deps.tenant, self._content)
        self._etag: str | None = None

    def run(self) -> Outcome:
        ledger = self._find()
        if ledger.done:
            ledger.duplicates += 1
            self._save(ledger)
            return self._outcome(DUPLICATE, ledger)
        self._keep(ledger)
        if ledger.pieces:
            return self._hand_out(ledger)
        self._send(ledger)
        ledger.done = True
        self._keep(ledger)
        return self._outcome(LOADED, ledger)

    def settle(self) -> list[int]:
        """The pieces that are not done; without any the file is."""
        return self._settle(self._find())

    def _settle(self, ledger: Ledger) -> list[int]:
        file, deps = self._file, self._deps
        missing, counts = pieces.standing(deps.blobs, file.domain.name, deps.tenant, file.content.sha256, ledger)
        if not missing and not ledger.done:
            ledger.done, ledger.progress.counts = True, counts
            self._keep(ledger)
        return missing

    def _hand_out(self, ledger: Ledger) -> Outcome:
        file, missing = self._file, self._settle(ledger)
        if not missing:
            return self._outcome(LOADED, ledger)
        if self._deps.start is None:
            raise UnavailableError(f"{file.key}: is loaded in pieces, and there is nobody to load them")
        for index in missing:
            self._deps.start(Order(file.key, file.etag, file.content.sha256, index).to_event())
        return Outcome(file.key, file.domain.name, SPLIT, f"{len(missing)} of {len(ledger.pieces)} pieces to load")

    def _find(self) -> Ledger:
        """The content's ledger, or the first draft of one; a stream that was lost is a reason to begin again."""
        created_s = self._deps.topology.created_s(self._deps.raw_stream)
        try:
            body, self._etag = self._deps.blobs.get(self._at)
        except KeyError:
            ledger = self._begin(created_s)
        else:
            ledger = Ledger.from_bytes(body)
            if ledger.created_s != created_s:
                self._meet_other_stream(ledger, created_s)
        ledger.seen_as(self._file.key)
        return ledger

    def _begin(self, created_s: int) -> Ledger:
        file, deps, part = self._file, self._deps, self._part
        if part is not None:
            started = Progress(offset=part.piece.start, line=part.piece.line)
            started.counts["bytes"] = part.piece.end - part.piece.start
            return ledgers.begin(part.plan, created_s, started)
        started = file.first_progress()
        started.counts["bytes"] = file.content.size
        ledger = ledgers.begin(first_plan(file, deps), created_s, started)
        if deps.start is not None and file.is_plain and 0 < deps.split_bytes < file.content.size:
            found = file.cut(started, deps.piece_bytes)
            ledger.pieces = found if 1 < len(found) <= pieces.MAX_PIECES else []
        return ledger

    def _meet_other_stream(self, ledger: Ledger, created_s: int) -> None:
        age_s = self._deps.clock.now_s() - ledger.updated_s
        if age_s < self._deps.fence_horizon_h * 3600 * RESEND_SHARE:
            ledger.restart(created_s)
        else:
            ledger.created_s = created_s

    def _send(self, ledger: Ledger) -> None:
        deps, progress = self._deps, ledger.progress
        packer = Packer(
            self._file.domain,
            deps.tenant,
            self._content,
            ledger.plan.pack_rows,
            dict(progress.positions),
            self._file.shift_us,
        )
        unsaved, begun = 0, progress.blocks
        end = None if self._part is None else self._part.piece.end
        with closing(self._file.parts(ledger.plan, progress, end)) as parts:
            for part in parts:
                if self._remaining_s() < GRACE_S:
                    if unsaved:
                        self._keep(ledger)
                    where = f"{self._file.key}: out of time after line {progress.line - 1}; resumes there"
                    raise OutOfTimeError(where, self._file.domain.name, advanced=progress.blocks > begun)
                sent = publish(deps.sink, packer.entries(part), deps.clock)
                _advance(progress, part, packer, sent.records)
                unsaved += 1
                if unsaved == SAVE_EVERY:
                    self._keep(ledger)
                    unsaved = 0

    def _keep(self, ledger: Ledger) -> None:
        """Record what has been sent so far, and when."""
        ledger.updated_s = int(self._deps.clock.now_s())
        self._save(ledger)

    def _save(self, ledger: Ledger) -> None:
        self._etag = self._deps.blobs.put_if(self._at, ledger.to_bytes(), etag=self._etag)

    def _outcome(self, status: str, ledger: Ledger) -> Outcome:
        counts = {name: ledger.progress.counts[name] for name in ledgers.COUNTS}
        return Outcome(self._file.key, self._file.domain.name, status, counts=counts)


def _advance(progress: Progress, part: Part, packer: Packer, packs: int) -> None:
    progress.counts["lines"] += part.next_line - progress.line
    progress.counts["rows_read"] += part.good
    progress.counts["bad_rows"] += len(part.bad)
    progress.counts["empty_rows"] += part.empty
    progress.counts["packs"] += packs
    progress.blocks += 1
    progress.offset, progress.line = part.end, part.next_line
    progress.positions = dict(packer.positions)
