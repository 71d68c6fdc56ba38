"""levada up, down, reset, status, deploy."""

from __future__ import annotations

from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from levadactl import console
from levadactl.console import JsonOption

if TYPE_CHECKING:
    from levadactl.embedded import Started, Stopped

StateDirOption = Annotated[
    Path | None, typer.Option("--state-dir", help="State folder instead of .levada in the project (LEVADA_STATE_DIR).")
]
PortOption = Annotated[int | None, typer.Option("--port", min=1024, max=65535, help="Loopback port; default 4599.")]


class PlaceName(StrEnum):
    """Where a stack can run."""

    embedded = "embedded"


PlaceOption = Annotated[PlaceName, typer.Option("--place", help="Where to deploy.")]


def register(app: typer.Typer) -> None:
    """Add this module's commands."""
    app.command(epilog="Example: levada up")(up)
    app.command(epilog="Example: levada down")(down)
    app.command(epilog="Example: levada reset --no-start")(reset)
    app.command(epilog="Example: levada status --lag")(status)
    app.command(epilog="Example: levada deploy --json")(deploy)


def up(
    place: PlaceOption = PlaceName.embedded,
    port: PortOption = None,
    state_dir: StateDirOption = None,
    verbose: Annotated[bool, typer.Option("--verbose", help="Let the emulator log every request.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Start the stack on this machine, deploy to it, start the stream triggers. Repeat it to deploy what changed.

    After a crash it says what was lost, deploys again, and brings back what the lake holds.
    """
    from levadactl import embedded

    started = embedded.start(folder=_folder(state_dir), port=port, verbose=verbose, say=console.say)
    _report_started(started, place, as_json)


def down(state_dir: StateDirOption = None, as_json: JsonOption = False) -> None:
    """Stop whatever levada started here: the stack and the demo's. Data is kept for the next `levada up`."""
    from levadactl import embedded

    stopped = embedded.stop_all(_folder(state_dir), say=console.say)
    console.answer(
        {"stopped": [_stopped(one) for one in stopped if one.owner is not None]},
        as_json=as_json,
        human=_stopped_words(stopped),
    )


def reset(
    start: Annotated[bool, typer.Option("--start/--no-start", help="Start an empty stack afterwards.")] = True,
    place: PlaceOption = PlaceName.embedded,
    port: PortOption = None,
    state_dir: StateDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Stop the stack, forget all its data, start an empty one. A demo's stack is left alone."""
    from levadactl import embedded

    home = embedded.reset(_folder(state_dir), say=console.say)
    if start:
        _report_started(embedded.start(folder=home, port=port, say=console.say), place, as_json)
    else:
        console.answer({"reset": str(home)}, as_json=as_json, human=f"{home} is empty; start with: levada up")


def deploy(place: PlaceOption = PlaceName.embedded, as_json: JsonOption = False) -> None:
    """Bring the running stack to what template.yaml and functions/ say now."""
    from levadactl.deploy import deploy as deploy_stack
    from levadactl.places import Place

    target = Place.current()
    done = deploy_stack(target, on_step=console.say)
    words = "nothing has changed" if done.action == "unchanged" else f"stack {target.stack_name} {done.action}"
    answer = {"place": place.value, "endpoint": target.endpoint_url, **asdict(done), "api_url": target.api_url}
    console.answer(answer, as_json=as_json, human=f"{words} ({done.seconds:.1f} s)")


def status(
    lag: Annotated[bool, typer.Option("--lag", help="Only how far the stream triggers are behind.")] = False,
    state_dir: StateDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Streams, tables, functions and their state, the stream triggers' lag, checkpoints."""
    from levadactl.commands import status as report
    from levadactl.places import Place

    if folder := _folder(state_dir):
        _use(folder)
    place = Place.current()
    found = report.lag(place) if lag else report.status(place)
    console.answer(found, as_json=as_json, human=None if as_json else report.tables(found))


def _folder(state_dir: Path | None) -> Path | None:
    return state_dir.resolve() if state_dir is not None else None


def _use(folder: Path) -> None:
    import os

    os.environ["LEVADA_STATE_DIR"] = str(folder)


def _report_started(started: Started, place: PlaceName, as_json: bool) -> None:
    at = started.place
    recovered = asdict(started.recovered) if started.recovered is not None else None
    answer: dict[str, Any] = {
        "place": place.value,
        "owner": started.owner,
        "endpoint": at.endpoint_url,
        "api_url": at.api_url,
        "already_running": started.already_running,
        "deployed": started.deployed.action if started.deployed else None,
        "recovered": recovered,
        "state_dir": str(started.folder),
        "bucket": at.bucket,
        "table": at.table,
        "raw_stream": at.raw_stream,
        "clean_stream": at.clean_stream,
        "seconds": started.seconds,
    }
    console.answer(answer, as_json=as_json, human=_started_words(started))


def _started_words(started: Started) -> str:
    at = started.place
    lines = [f"The stack is {'already up' if started.already_running else 'up'} ({started.seconds:.1f} s)."]
    if started.recovered is not None:
        lost = started.recovered
        lines += [
            f"  The last one had not stopped cleanly. Lost: {', '.join(lost.lost)}.",
            f"  Kept: {lost.lake_objects} objects of the lake; deployed again.",
        ]
        if lost.republished is not None:
            lines.append(f"  Brought back from the lake: {lost.republished}")
    lines += [
        f"  endpoint  {at.endpoint_url}      (AWS_ENDPOINT_URL for other tools)",
        f"  HTTP API  {at.api_url}/healthz",
        f"  data      {started.folder}",
        "  next      levada status | levada upload FILE | levada down",
    ]
    return "\n".join(lines)


def _stopped(one: Stopped) -> dict[str, Any]:
    return {
        "owner": one.owner,
        "state_dir": str(one.folder),
        "clean": one.clean,
        "killed": one.killed,
        "seconds": one.seconds,
    }


def _stopped_words(stopped: list[Stopped]) -> str:
    ran = [one for one in stopped if one.owner is not None]
    if not ran:
        return "Nothing was running."
    return "\n".join(
        f"The {'demo' if one.owner == 'demo' else 'stack'} is down ({one.seconds:.1f} s)"
        + ("." if one.clean else ", but had not saved everything: the next `levada up` recovers from the lake.")
        for one in ran
    )
