"""Send a file's rows through the raw stream at the pace of their own times, or faster; stop and go on."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path

import pyarrow.compute as pc

from levada.clean import times
from levada.clean.source import text
from levada.core.publishing import publish
from levada.domains.declaration import Domain
from levada.ingest import readers
from levada.ingest.blocks import Readable
from levada.ingest.content import PARQUET, Content, survey
from levada.ingest.files import BLOCK_BYTES, BLOCK_ROWS
from levada.ingest.ledger import Plan
from levada.ingest.packing import Packer
from levada.ingest.parts import Part
from levada.ingest.texts import format_of
from levada.ports import Clock, Entry, RecordSink
from levadactl.errors import LevadactlError
from levadactl.loading import TENANT

PACK_ROWS = 50
"""Rows that travel together: at speed 1 an hourly file sends two days at once, at most."""
STEP_S = 0.5
"""Longest wait between two looks at the clock."""


@dataclass(slots=True)
class Progress:
    """How far a replay of one content has come, kept in a file."""

    path: Path
    stream_created_s: int
    sent: int = 0
    """Packs."""
    rows: int = 0
    shift_us: int = 0
    """By how much all times are moved; decided at the beginning, the same until the end."""

    @classmethod
    def load(
        cls, folder: Path, content: str, stream_created_s: int, *, again: bool = False, shifted: bool = False
    ) -> Progress:
        """What the last replay of this content left; one on another stream, or ``again``, begins at the beginning."""
        path = folder / "replays" / f"{content[:32]}{'.shifted' if shifted else ''}.json"
        try:
            raw = json.loads(path.read_text())
        except (OSError, ValueError):
            raw = {}
        if again or raw.get("stream_created_s") != stream_created_s:
            return cls(path, stream_created_s)
        return cls(path, stream_created_s, int(raw["sent"]), int(raw["rows"]), int(raw.get("shift_us", 0)))

    def save(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        part = self.path.with_suffix(".part")
        part.write_text(json.dumps({name: value for name, value in asdict(self).items() if name != "path"}))
        part.replace(self.path)


@dataclass(frozen=True, slots=True)
class Due:
    """One pack, and the time of its last row, microseconds; None when no row of it has one."""

    entry: Entry
    time_us: int | None
    rows: int


def packs_of(path: Path, domain: Domain, *, shift_us: int = 0) -> Iterator[Due]:
    """The file's packs: the same ones each time, so that one that is sent twice counts once.

    Args:
        shift_us: by how much ``clean`` shall move the times of all rows.

    Raises BadRecordError when the file as a whole cannot be read.
    """
    with path.open("rb") as file:
        content = survey(file)
    kind = format_of(path.name, content, domain.encoding)
    plan = Plan(kind, content.compression, BLOCK_BYTES, BLOCK_ROWS, PACK_ROWS)
    # Packs of a replay are not those of a load, although their rows are the same: loading the file as well doubles it.
    known = f"now{shift_us:x}-{content.sha256}" if shift_us else f"replay-{content.sha256}"
    packer = Packer(domain, TENANT, known, PACK_ROWS, shift_us=shift_us)
    for part in parts_of(path, content, domain, plan):
        for small in _small(part):
            for entry in packer.entries(small):
                yield Due(entry, _last_time(small, domain), small.good + len(small.bad))


def shift_to(now_us: int, path: Path, domain: Domain) -> int:
    """By how much all times must be moved so that the file's last row is now, microseconds.

    Raises LevadactlError when no row has a time.
    """
    last_us = max((one.time_us for one in packs_of(path, domain) if one.time_us is not None), default=None)
    if last_us is None:
        raise LevadactlError(f"{path}: no row has a time, so that nothing can be moved")
    return now_us - last_us


def parts_of(path: Path, content: Content, domain: Domain, plan: Plan) -> Iterator[Part]:
    """The parts of a file, in order. Raises BadRecordError when the file as a whole cannot be read."""
    started = readers.first_progress(plan.format, content, domain, path)
    if plan.format == PARQUET:
        yield from readers.parquet_parts(path, domain, plan, started)
        return
    with ExitStack() as stack:

        def open_at(offset: int) -> Readable:
            file = stack.enter_context(path.open("rb"))
            file.seek(offset)
            return file

        yield from readers.text_parts(open_at, content, domain, plan, started)


def _small(part: Part) -> Iterator[Part]:
    """Stretches of PACK_ROWS rows in the order of the file; what is broken goes first."""
    if part.bad:
        yield Part(part.end, part.next_line, bad=part.bad)
    if part.rows is not None:
        for start in range(0, part.rows.num_rows, PACK_ROWS):
            yield Part(part.end, part.next_line, rows=part.rows.slice(start, PACK_ROWS))
    for start in range(0, len(part.lines), PACK_ROWS):
        stop = start + PACK_ROWS
        yield Part(part.end, part.next_line, lines=part.lines[start:stop], numbers=part.numbers[start:stop])


def _last_time(part: Part, domain: Domain) -> int | None:
    if part.rows is not None:
        texts = [text(part.rows, name, domain) for name in domain.time.columns]
    elif part.lines:
        import pyarrow as pa

        items = [json.loads(line) for line in part.lines]
        texts = [pa.array([str(item.get(name) or "") for item in items], pa.string()) for name in domain.time.columns]
    else:
        return None
    found = pc.max(times.parse(texts, domain.time)[0].cast("int64")).as_py()
    return None if found is None else int(found)


def replay(
    due: Iterator[Due],
    sink: RecordSink,
    clock: Clock,
    progress: Progress,
    *,
    speedup: float,
    on_rows: Callable[[float], None] = lambda _: None,
) -> Progress:
    """Send what is not sent yet. With a speedup each pack leaves when its last row is due; 0 never waits.

    The pace counts from the first pack that is sent now, so a replay that is resumed does not make up for the pause.
    """
    began_s, first_us = clock.now_s(), None
    for n, one in enumerate(due):
        if n < progress.sent:
            on_rows(one.rows)
            continue
        if one.time_us is not None:
            first_us = one.time_us if first_us is None else first_us
            if speedup > 0:
                _wait_until(clock, began_s + (one.time_us - first_us) / 1_000_000 / speedup)
        publish(sink, [one.entry], clock)
        progress.sent, progress.rows = n + 1, progress.rows + one.rows
        progress.save()
        on_rows(one.rows)
    return progress


def _wait_until(clock: Clock, at_s: float) -> None:
    while (left_s := at_s - clock.now_s()) > 0:
        clock.sleep(min(left_s, STEP_S))
