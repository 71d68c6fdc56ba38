"""The cut: up to where the stages' work is replaced, and which days nobody is working on there.

What stands on the far side of the cut, and what behind it, must be told apart exactly: by the last sequence number that
clean has committed of each shard, and by the generation of each shard of aggregate. A day is *settled* when its gold up
to those generations holds exactly the rows of its records up to those sequence numbers. That is so when (1) aggregate's
checkpoints, read after clean's, have reached the end of every lane that clean had committed, (2) none of the day's
windows is open in them or waits to be emitted, and (3) no object of the day, listed after that, holds a later record:
whatever aggregate had taken beyond clean's commit would stand in one, for rows go to the lake before they go on.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from levada.aggregate.state import STAGE as AGGREGATE
from levada.aggregate.state import open_of, outbox_of
from levada.archive.retention import load_ledger
from levada.clean.state import STAGE as CLEAN
from levada.core import editions, keys, lake, lineage
from levada.core.checkpoint import Checkpoint
from levada.core.editions import NONE, Edition
from levada.core.keys import UNDATED
from levada.core.periods import DAY_US, us_of
from levada.core.positions import PackFences, RowFences
from levada.ports import Blob
from levadactl.deadletters import returned
from levadactl.reprocessing.ports import Days, Ports, ReprocessError

WAIT_S = 60.0
"""How long to wait for aggregate to apply what clean has handed on."""
POLL_S = 0.5
IN_FLIGHT_S = 24 * 3600
"""How long streams keep records: what was handed on earlier has been applied, or given up."""
Listed = dict[str, dict[str, list[Blob]]]
"""Date → layer → objects."""


@dataclass(slots=True)
class Cut:
    """What a run replaces."""

    raw: dict[str, int]
    """Shard token of the raw stream → the last sequence number that clean has committed."""
    gold: dict[str, int]
    """Shard token of the clean stream → generation of its checkpoint."""
    listed: Listed
    """Objects of the days that were asked for."""
    editions: dict[str, tuple[Edition, str | None]]
    """Date → its edition now, and the ETag of the record."""
    bronze_until: str
    """The last arrival day of bronze that retention has taken; empty when it has taken none."""
    silver_gone: frozenset[str]
    """Dates of silver that retention has taken."""
    unsettled: dict[str, str] = field(default_factory=dict)
    """Date → why it cannot be made anew yet, where the stages are the reason."""

    def edition(self, date: str) -> tuple[Edition, str | None]:
        return self.editions.get(date, (NONE, None))

    def hinders(self, date: str) -> str:
        """Why a day cannot be made anew; empty when it can."""
        until = self.bronze_until
        if until and (date == UNDATED or us_of(until) >= us_of(date) - DAY_US):
            return f"retention has taken bronze up to {until}: it would be made from less than it was"
        return self.unsettled.get(date, "")


def made(ports: Ports, days: Days, *, wait_s: float = WAIT_S) -> Cut:
    """Where the stages are now, and which days are settled there.

    Raises ReprocessError when aggregate does not come up with clean in time.
    """
    name = ports.domain.name
    heads = _cleaned(ports)
    raw = {token: int(head["mark"]) for token, head in heads.items()}
    saved = _applied(ports, [RowFences.from_bytes(head["lanes"]) for head in heads.values()], wait_s)
    _returned(ports, heads.values(), saved.values())
    gold = {token: int(one.header["generation"]) for token, one in saved.items()}
    listed = _listed(ports, days)
    taken = {layer: load_ledger(ports.blobs, keys.retention_ledger(layer, name))[0] for layer in ("bronze", "silver")}
    known = {date: editions.load(ports.blobs, name, date) for date in editions.dates(ports.blobs, name)}
    cut = Cut(raw, gold, listed, known, max(taken["bronze"], default=""), frozenset(taken["silver"]))
    for date in listed:
        if why := _arriving(ports, cut, date):
            cut.unsettled[date] = why
    for date, n in _open(saved.values(), ports.domain.name).items():
        if date in days:
            cut.unsettled[date] = f"{n} windows are still open"
    for date in _unemitted(saved, listed, ports.domain.name):
        if date in days:
            cut.unsettled[date] = "windows that have closed wait to be emitted"
    return cut


def _cleaned(ports: Ports) -> dict[str, Mapping[str, Any]]:
    """Shard token → header of clean's checkpoint."""
    found: dict[str, Mapping[str, Any]] = {}
    for token in lineage.tokens(ports.blobs, CLEAN):
        if (head := lineage.header(ports.blobs, CLEAN, token)) is not None:
            found[str(token)] = head
    return found


def _returned(ports: Ports, cleaned: Iterable[Mapping[str, Any]], saved: Iterable[Checkpoint]) -> None:
    """Raises ReprocessError when records of bronze may still be applied though the stages have passed their places.

    Whatever was given up before the checkpoints were read is in the queue now, or was noted when it was sent again.
    """
    if why := ports.waiting():
        raise ReprocessError(why)
    packs = [PackFences.from_bytes(head["fences"]) for head in cleaned]
    rows = [RowFences.from_bytes(one.header["fences"]) for one in saved]
    if n := returned.under_way(ports.blobs, int(ports.clock.now_s()), packs, rows):
        raise ReprocessError(f"{n} dead letters that were sent again are still on their way: see `levada status`")


def _applied(ports: Ports, lanes: Iterable[RowFences], wait_s: float) -> dict[str, Checkpoint]:
    """Aggregate's checkpoints, once they have reached the ends of these lanes."""
    now_s = ports.clock.now_s()
    while True:
        saved = {}
        for token in lineage.tokens(ports.blobs, AGGREGATE):
            body, _ = ports.blobs.get(keys.checkpoint(AGGREGATE, token))
            saved[str(token)] = Checkpoint.from_bytes(body)
        fences = [RowFences.from_bytes(one.header["fences"]) for one in saved.values()]
        behind = sum(lane.behind(fences, int(now_s - IN_FLIGHT_S)) for lane in lanes)
        if not behind:
            return saved
        if ports.clock.now_s() - now_s >= wait_s:
            raise ReprocessError(
                f"aggregate has not applied all that clean handed on, {behind} lanes are behind after {wait_s:g} s: "
                "see `levada status --lag` and `levada dlq ls`"
            )
        ports.clock.sleep(POLL_S)


def _listed(ports: Ports, days: Days) -> Listed:
    """Objects of the days that have any."""
    found: Listed = {}
    for layer in ("silver", "events", "gold"):
        for _, date, blobs in lake.partitions(ports.blobs.list(f"{layer}/domain={ports.domain.name}/")):
            if date in days:
                found.setdefault(date, {})[layer] = blobs
    return dict(sorted(found.items()))


def _arriving(ports: Ports, cut: Cut, date: str) -> str:
    """Why a day is not settled: it has objects with records behind the cut. Empty when it has none."""
    later = 0
    for layer in ("silver", "events"):
        day = lake.shown(ports.blobs, ports.domain.name, date, cut.listed[date].get(layer, []))
        later += sum(one.last > cut.raw.get(str(one.span.token), -1) for one in day.live)
    return f"{later} objects hold rows that came just now" if later else ""


def _open(saved: Iterable[Checkpoint], domain: str) -> Counter[str]:
    """Date → windows of the domain that are open."""
    found: Counter[str] = Counter()
    for one in saved:
        found.update(_dates(open_of(one), domain))
    return found


def _unemitted(saved: Mapping[str, Checkpoint], listed: Listed, domain: str) -> Iterator[str]:
    """Dates of which an outbox holds windows that are not in gold yet."""
    for token, one in saved.items():
        name = f"{token}-{int(one.header['generation']):012d}.parquet"
        for date in set(_dates(outbox_of(one), domain)):
            if not any(blob.key.endswith(f"/{name}") for blob in listed.get(date, {}).get("gold", ())):
                yield date


def _dates(partials: pa.Table, domain: str) -> list[str]:
    mine = partials.filter(pc.equal(partials["domain"].cast(pa.string()), domain))
    dates: list[str] = pc.strftime(mine["window_start"], "%Y-%m-%d").to_pylist()
    return dates
