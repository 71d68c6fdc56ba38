"""levada upload, replay, peek, invoke, windows, latest."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from levadactl import console
from levadactl.commands.listing import AllOption, CsvOption, Listing, Wanted, show
from levadactl.commands.options import AIR, LimitOption, MetricOption, SeriesOption, SinceOption, UntilOption
from levadactl.console import JsonOption
from levadactl.errors import LevadactlError

if TYPE_CHECKING:
    from rich.console import RenderableType

File = Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="CSV, NDJSON or Parquet; also .gz, .zst.")]
ShiftOption = Annotated[
    bool, typer.Option("--shift-to-now", help="Move all times alike, so that the file's last row is now.")
]
DomainOption = Annotated[str, typer.Option("--domain", help="Whose declaration reads the file.")]


class Stream(StrEnum):
    """The two streams."""

    raw = "raw"
    clean = "clean"


class Auth(StrEnum):
    """Whether a function wants tokens over HTTP."""

    OPEN = "OPEN"
    REQUIRED = "REQUIRED"


def register(app: typer.Typer) -> None:
    """Add this module's commands."""
    app.command(epilog="Example: levada upload AirQualityUCI.csv --wait")(upload)
    app.command(epilog="Example: levada replay AirQualityUCI.csv --speedup 36000")(replay)
    app.command(epilog="Example: levada peek --stream clean --from-start --limit 2")(peek)
    app.command(epilog="Example: levada invoke clean events/clean/good_bad_good.json")(invoke)
    app.command(epilog="Example: levada windows --metric co --since 2004-03-10 --until 2004-03-12")(windows)
    app.command(epilog="Example: levada latest --open --since -1h")(latest)


def upload(
    files: Annotated[list[str], typer.Argument(help="CSV, NDJSON, Parquet, also .gz, .zst; patterns too.")],
    domain: DomainOption = AIR,
    name: Annotated[
        str | None, typer.Option("--name", help="Name under landing/<domain>/ instead of the file's; for one file.")
    ] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Wait until the last row is in its window.")] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Leave out files that were loaded already.")] = False,
    shift_to_now: ShiftOption = False,
    as_json: JsonOption = False,
) -> None:
    """Put files into the lake's landing/; their arrival starts the load. The same content is loaded once.

    One file answers for itself; several with what became of each, and a total that adds up. Rows whose times are moved
    keep their own in bronze and are marked as forced; a file that is moved once more counts once more.
    """
    from levadactl import replaying, uploading
    from levadactl.domains import domain_named
    from levadactl.loading import Lake
    from levadactl.places import Place

    chosen, paths = domain_named(domain), uploading.files_of(files)
    if name is not None and len(paths) > 1:
        raise LevadactlError(f"--name {name}: is for one file, not for {len(paths)}")
    if shift_to_now and resume:
        raise LevadactlError(
            "--resume --shift-to-now: a file that is moved to now was never loaded so; give one of the two"
        )
    place, now_us = Place.current(), int(time.time() * 1_000_000)
    shift = (lambda path: replaying.shift_to(now_us, path, chosen)) if shift_to_now else None
    with console.progress("uploading", sum(path.stat().st_size for path in paths), unit="bytes") as advance:
        answers, loads = uploading.upload_all(
            place, Lake.of(place), paths, chosen.name, name=name, resume=resume, advance=advance, shift=shift
        )
    if wait:
        uploading.wait_for_all(loads, console.say)
    console.answer(answers[0] if len(paths) == 1 else uploading.summary(answers), as_json=as_json)


def replay(
    file: File,
    domain: DomainOption = AIR,
    speedup: Annotated[
        float, typer.Option("--speedup", min=0, help="Times faster than the rows' own times; 0: as fast as possible.")
    ] = 0.0,
    again: Annotated[bool, typer.Option("--again", help="Begin at the first row, whatever was sent before.")] = False,
    shift_to_now: ShiftOption = False,
    as_json: JsonOption = False,
) -> None:
    """Send a file's rows through the raw stream, paced by their times. Interrupt it; the same command goes on.

    A pack that is sent twice counts once; a file that is loaded as well counts twice. Rows whose times are moved keep
    their own in bronze and are marked as forced.
    """
    from levada.adapters.kinesis import KinesisSink
    from levada.wiring import SystemClock
    from levadactl import loading, replaying
    from levadactl.domains import domain_named
    from levadactl.embedded.state import state_dir
    from levadactl.places import Place

    chosen, place = domain_named(domain), Place.current()
    stream = loading.Streams(place, loading.Lake.of(place))
    content, clock = loading.sha256_of(file), SystemClock()
    progress = replaying.Progress.load(
        place.state or state_dir(), content, stream.created_s("raw"), again=again, shifted=shift_to_now
    )
    resumed = progress.rows
    if shift_to_now and not progress.shift_us:
        progress.shift_us = replaying.shift_to(int(clock.now_s() * 1_000_000), file, chosen)
    due = replaying.packs_of(file, chosen, shift_us=progress.shift_us)
    with console.progress(f"replaying {file.name}", 0, unit="rows") as advance:
        sink = KinesisSink(place.client("kinesis"), place.raw_stream)
        replaying.replay(due, sink, clock, progress, speedup=speedup, on_rows=advance)
    answer = {"file": str(file), "rows": progress.rows, "packs": progress.sent, "resumed_at_row": resumed}
    console.answer(answer | ({"shift_us": progress.shift_us} if shift_to_now else {}), as_json=as_json)


def peek(
    stream: Annotated[Stream, typer.Option("--stream", help="Which stream.")] = Stream.raw,
    from_start: Annotated[bool, typer.Option("--from-start", help="The oldest records, not the newest.")] = False,
    limit: Annotated[int, typer.Option("--limit", min=1, max=10_000, help="How many records.")] = 5,
    key: Annotated[str | None, typer.Option("--key", help="Only records in which this text stands.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Look at records of a stream: shard, sequence number, header and the first rows."""
    from levadactl import peeking
    from levadactl.places import Place

    place = Place.current()
    name = place.raw_stream if stream is Stream.raw else place.clean_stream
    seen = peeking.peek(place, name, from_start=from_start, limit=limit, key=key)
    console.answer({"stream": name, "records": [asdict(one) for one in seen]}, as_json=as_json)


def invoke(
    stage: Annotated[
        str, typer.Argument(help="ingest (either), ingest-files, ingest-http, clean, aggregate, archive or query.")
    ],
    event: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="JSON event, as for sam local invoke -e.")],
    auth: Annotated[
        Auth, typer.Option("--auth", help="REQUIRED wants tokens over HTTP, and knows those of the event files.")
    ] = Auth.OPEN,
    as_json: JsonOption = True,  # noqa: ARG001  # the answer of a function is JSON, for people too
) -> None:
    """Run a stage's real handler on an event in this process; nothing is needed, nothing is kept.

    Prints what it answers and what it left behind in stores that exist in memory only.
    """
    from levadactl import invoking

    try:
        parsed = json.loads(event.read_text())
    except ValueError as err:
        raise LevadactlError(f"{event} is not JSON: {err}") from err
    if not isinstance(parsed, dict):
        raise LevadactlError(f"{event} holds a {type(parsed).__name__}: an event is a JSON object")
    deps = invoking.memory_deps(auth=auth.value)
    invoking.prepare(stage, parsed, deps)
    before = invoking.left_behind(deps)
    answer = invoking.run(stage, parsed, deps)
    after = invoking.left_behind(deps)
    console.answer({"answer": answer, "left_behind": invoking.new(before, after)}, as_json=True)


def windows(
    domain: DomainOption = AIR,
    since: SinceOption = None,
    until: UntilOption = None,
    series: SeriesOption = None,
    metric: MetricOption = None,
    width: Annotated[int | None, typer.Option("--width", help="Merge into windows of so many seconds.")] = None,
    with_open: Annotated[bool, typer.Option("--open", help="Also those to which rows may still come.")] = False,
    limit: LimitOption = 20,
    every: AllOption = False,
    as_csv: CsvOption = False,
    as_json: JsonOption = False,
) -> None:
    """Closed windows, and the open ones if wanted, over the HTTP API, as any client gets them."""
    query = {"domain": domain, "since": since, "until": until, "series": series, "metric": metric}
    query |= {"width": None if width is None else str(width), "open": "true" if with_open else None}
    wanted = Wanted(query, limit, every, as_csv, as_json)
    show(Listing("/v1/windows", "windows"), wanted, lambda rows: _table(rows, with_open))


def latest(
    domain: DomainOption = AIR,
    since: SinceOption = None,
    until: UntilOption = None,
    series: SeriesOption = None,
    metric: MetricOption = None,
    with_open: Annotated[bool, typer.Option("--open", help="Also windows to which rows may still come.")] = False,
    limit: Annotated[int, typer.Option("--limit", min=1, max=1_000, help="How many series.")] = 100,
    after: Annotated[str | None, typer.Option("--after", help="The next of the page before.")] = None,
    every: AllOption = False,
    as_csv: CsvOption = False,
    as_json: JsonOption = False,
) -> None:
    """The newest window of each series, over the HTTP API; --since leaves out series that have none since."""
    query = {"domain": domain, "since": since, "until": until, "series": series, "metric": metric, "after": after}
    query |= {"open": "true" if with_open else None}
    wanted = Wanted(query, limit, every, as_csv, as_json)
    show(Listing("/v1/latest", "latest", "after"), wanted, lambda rows: _table(rows, with_open))


def _table(rows: Sequence[Mapping[str, Any]], with_open: bool) -> RenderableType:
    """Windows for people."""
    from levadactl.charts import number

    names = ("count", "missing", "min", "mean", "max", "success_rate")
    return console.table(
        "",
        ["start", "series", "metric", *names, *(["still"] if with_open else [])],
        [
            [row["start"], row["series"], row["metric"], *(number(row[name]) for name in names)]
            + (["open" if row["provisional"] else "closed"] if with_open else [])
            for row in rows
        ],
    )
