"""levada produce."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from levadactl import console
from levadactl.console import JsonOption


def register(app: typer.Typer) -> None:
    """Add this module's command."""
    app.command(epilog="Example: levada produce --domain air_quality --spool ~/.levada-spool < events.ndjson")(produce)


def produce(
    file: Annotated[
        Path | None, typer.Argument(exists=True, dir_okay=False, help="NDJSON, one event a line; else standard input.")
    ] = None,
    domain: Annotated[str, typer.Option("--domain", help="Whose declaration reads the events.")] = "air_quality",
    spool: Annotated[
        Path | None,
        typer.Option("--spool", file_okay=False, help="Folder of this producer alone: what waits there is sent later."),
    ] = None,
    interval_s: Annotated[
        float, typer.Option("--interval-s", min=0.01, max=3600, help="An event waits no longer for others.")
    ] = 1.0,
    as_json: JsonOption = False,
) -> None:
    """Send events to the raw stream, one JSON object a line, in order, each counted once.

    While the stream is down they wait: in the spool folder, which the next run with it sends first; without one in
    memory, and what waits at the end is an error. A file with a spool goes on where it stopped.
    """
    from levada.adapters.kinesis import KinesisSink
    from levada.producer import Limits
    from levada.producer.connect import on_sink
    from levadactl import loading, producing
    from levadactl.domains import domain_named
    from levadactl.places import Place

    chosen, place = domain_named(domain), Place.current()
    sink = KinesisSink(place.client("kinesis"), place.raw_stream)
    with (
        on_sink(sink, chosen, tenant=loading.TENANT, spool=spool, limits=Limits(interval_s=interval_s)) as producer,
        console.progress("producing", 0, unit="events") as advance,
    ):
        if file is None:
            done = producing.from_stream(sys.stdin.buffer, producer, advance)
        else:
            done = producing.from_file(file, producer, advance)
    if producer.stats.waiting:
        console.warn(f"{producer.stats.waiting} events wait in {spool}: the next run with this spool sends them")
    console.answer({"domain": chosen.name} | asdict(done) | asdict(producer.stats), as_json=as_json)
