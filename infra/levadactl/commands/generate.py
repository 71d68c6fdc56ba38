"""levada generate."""

from __future__ import annotations

import re
import time
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from levadactl import console
from levadactl.console import JsonOption
from levadactl.errors import LevadactlError

if TYPE_CHECKING:
    from collections.abc import Callable

    from levada.domains.declaration import Domain
    from levadactl.generators.model import Plan, Source
    from levadactl.generators.outlets import Outlet

AIR = "air_quality"
STREAM, HTTP = "stream", "http"
FIRST = "2026-01-01T00:00:00Z"


def register(app: typer.Typer) -> None:
    """Add this module's command."""
    app.command(epilog="Example: levada generate jobs --rate 10 --duration 10m --late 5% --out jobs.ndjson")(generate)


def generate(
    domain: Annotated[str, typer.Argument(help="What to make up: --out - for the list.")],
    out: Annotated[
        str, typer.Option("--out", help="A file (.csv: air_quality only; .ndjson, .gz, .zst), stream, http.")
    ],
    rows: Annotated[int | None, typer.Option("--rows", min=1, help="Events, instead of rate × duration.")] = None,
    rate: Annotated[float, typer.Option("--rate", min=1e-6, help="Events per second.")] = 10.0,
    duration: Annotated[str, typer.Option("--duration", help="Such as 90, 90s, 10m, 2h, 1d.")] = "2m",
    seed: Annotated[int, typer.Option("--seed", help="The same seed gives the same events.")] = 1,
    start: Annotated[str | None, typer.Option("--start", help=f"Time of the first event; files: {FIRST}.")] = None,
    every_s: Annotated[
        int | None, typer.Option("--every-s", min=1, help="A .csv of air_quality: seconds between readings.")
    ] = None,
    bad: Annotated[str, typer.Option("--bad", help="Share of broken lines, such as 1% or 0.01.")] = "0",
    late: Annotated[str, typer.Option("--late", help="Share of events sent a minute or more after their time.")] = "0",
    twice: Annotated[str, typer.Option("--twice", help="Share of events sent twice, as if they were two.")] = "0",
    resend: Annotated[int, typer.Option("--resend", min=0, help="Send all of it again so many times.")] = 0,
    paced: Annotated[bool, typer.Option("--paced", help="To a stream or http: each event at its time.")] = False,
    ledger: Annotated[Path | None, typer.Option("--ledger", help="Write down windows and entities: NDJSON.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Make up events of a domain, send them or write them, and say exactly what was made.

    The same options give the same lines in the same packs: sending them again, here or by hand, counts once.
    """
    bad_share = _share("bad", bad)
    if domain == AIR and out.endswith((".csv", ".CSV")):
        _published(Path(out), rows or 9_357, seed, bad_share, every_s, as_json=as_json)
        return
    from levadactl.domains import domain_named
    from levadactl.generators.known import source_named

    source, chosen = source_named(domain), domain_named(domain)
    if resend and out not in (STREAM, HTTP):
        raise LevadactlError(f"--resend {resend}: a file is written once; `levada upload` it as often as you like")
    seconds = rows / rate if rows else _seconds(duration)
    shares = (bad_share, _share("late", late), _share("twice", twice))
    plan = _plan(_start_us(start, out, seconds, paced=paced), seconds, rate, seed, shares)
    answer = _run(source, chosen, plan, out, paced=paced, resend=resend, ledger=ledger)
    console.answer({"domain": domain, "seed": seed, "start": _iso(plan.start_us)} | answer, as_json=as_json)


def _plan(start_us: int, duration_s: float, rate: float, seed: int, shares: tuple[float, float, float]) -> Plan:
    from levadactl.generators.model import Plan

    try:
        bad, late, twice = shares
        return Plan(start_us=start_us, duration_s=duration_s, rate=rate, seed=seed, bad=bad, late=late, twice=twice)
    except ValueError as err:
        raise LevadactlError(str(err)) from err


def _run(
    source: Source, domain: Domain, plan: Plan, out: str, *, paced: bool, resend: int, ledger: Path | None
) -> dict[str, Any]:
    from contextlib import ExitStack

    from levada.wiring import SystemClock
    from levadactl.generators import running
    from levadactl.generators.ledger import Ledger

    clock = SystemClock()
    with ExitStack() as stack:
        written = None
        if ledger is not None:
            ledger.parent.mkdir(parents=True, exist_ok=True)
            written = stack.enter_context(ledger.open("w"))
        total = plan.events * (1 + resend)
        advance = stack.enter_context(console.progress(f"generating {source.domain}", total, unit="events"))
        return running.run(
            source,
            plan,
            _outlet(out, domain, running.session_of(source, plan)),
            clock,
            Ledger(domain, written),
            paced=paced,
            resend=resend,
            on_lines=advance,
        )


def _outlet(out: str, domain: Domain, session: str) -> Callable[[], Outlet]:
    from functools import partial

    from levada.adapters.kinesis import KinesisSink
    from levada.wiring import SystemClock
    from levadactl import http, loading
    from levadactl.generators import outlets
    from levadactl.places import Place

    if out == STREAM:
        place = Place.current()
        sink = KinesisSink(place.client("kinesis"), place.raw_stream)
        return lambda: outlets.StreamOutlet(sink, SystemClock(), domain, session, loading.TENANT)
    if out == HTTP:
        post = partial(http.post, Place.current().api_url)
        return lambda: outlets.HttpOutlet(post, SystemClock(), domain, session)
    return lambda: outlets.FileOutlet(Path(out))


def _published(path: Path, rows: int, seed: int, bad: float, every_s: int | None, *, as_json: bool) -> None:
    """Readings in the published dialect."""
    from levadactl import generate as generator

    try:
        with console.progress(f"writing {path.name}", rows, unit="rows") as advance:
            ledger = generator.write(path, n=rows, seed=seed, bad=bad, every_s=every_s, on_rows=advance)
    except ValueError as err:
        raise LevadactlError(str(err)) from err
    answer = {"file": str(path), **asdict(ledger), "bad": dict(ledger.bad)}
    answer |= {"measurements": ledger.measurements, "values": ledger.values}
    if not as_json:
        answer["bad_lines"] = len(ledger.bad_lines)
    console.answer(answer, as_json=as_json)


def _share(name: str, text: str) -> float:
    try:
        return float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError as err:
        raise LevadactlError(f"--{name} {text!r}: must be a share such as 1% or 0.01") from err


UNITS_S = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86_400}


def _seconds(text: str) -> float:
    found = re.fullmatch(r"([0-9]*\.?[0-9]+)([smhd]?)", text)
    if not found:
        raise LevadactlError(f"--duration {text!r}: must look like 90, 90s, 10m, 2h or 1d")
    return float(found[1]) * UNITS_S[found[2]]


def _start_us(text: str | None, out: str, duration_s: float, *, paced: bool) -> int:
    """Microseconds; without a word a file begins on a fixed day, what is sent ends now or, paced, begins now."""
    if text is None and out not in (STREAM, HTTP):
        text = FIRST
    if text is None:
        return int(time.time() - (0 if paced else duration_s)) * 1_000_000
    try:
        at = datetime.fromisoformat(text)
    except ValueError as err:
        raise LevadactlError(f"--start {text!r}: must look like {FIRST}") from err
    return int((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() * 1_000_000)


def _iso(time_us: int) -> str:
    return datetime.fromtimestamp(time_us / 1_000_000, UTC).isoformat()
