"""levada up, down, reset, status, deploy, delete."""

from __future__ import annotations

from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from levadactl import console
from levadactl.console import JsonOption
from levadactl.errors import LevadactlError

if TYPE_CHECKING:
    from levadactl.embedded import Started, Stopped
    from levadactl.places import Place

StateDirOption = Annotated[
    Path | None, typer.Option("--state-dir", help="State folder instead of .levada in the project (LEVADA_STATE_DIR).")
]
PortOption = Annotated[int | None, typer.Option("--port", min=1024, max=65535, help="Loopback port; default 4599.")]


class PlaceName(StrEnum):
    """Where a stack can run."""

    embedded = "embedded"
    localstack = "localstack"


PlaceOption = Annotated[
    PlaceName, typer.Option("--place", help="Where to; localstack is what answers at AWS_ENDPOINT_URL, or port 4566.")
]
StackOption = Annotated[
    str | None,
    typer.Option("--stack", help="Name of the stack instead of levada (LEVADA_STACK).", envvar="LEVADA_STACK"),
]


def register(app: typer.Typer) -> None:
    """Add this module's commands."""
    app.command(epilog="Example: levada up")(up)
    app.command(epilog="Example: levada down")(down)
    app.command(epilog="Example: levada reset --no-start")(reset)
    app.command(epilog="Example: levada status --lag")(status)
    app.command(epilog="Example: levada deploy --place localstack --parameter RawShards=1")(deploy)
    app.command(epilog="Example: levada delete --place localstack")(delete)


def up(
    port: PortOption = None,
    state_dir: StateDirOption = None,
    for_containers: Annotated[
        bool,
        typer.Option("--for-containers", help="Also listen where containers on this machine reach it (sam local)."),
    ] = False,
    verbose: Annotated[bool, typer.Option("--verbose", help="Let the emulator log every request.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Start the stack on this machine, deploy to it, start the stream triggers. Repeat it to deploy what changed.

    After a crash it says what was lost, deploys again, and brings back what the lake holds.
    """
    from levadactl import embedded

    started = embedded.start(
        folder=_folder(state_dir), port=port, for_containers=for_containers, verbose=verbose, say=console.say
    )
    _report_started(started, as_json)


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
    port: PortOption = None,
    state_dir: StateDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Stop the stack, forget all its data, start an empty one. A demo's stack is left alone."""
    from levadactl import embedded

    home = embedded.reset(_folder(state_dir), say=console.say)
    if start:
        _report_started(embedded.start(folder=home, port=port, say=console.say), as_json)
    else:
        console.answer({"reset": str(home)}, as_json=as_json, human=f"{home} is empty; start with: levada up")


def deploy(
    place: PlaceOption = PlaceName.embedded,
    stack: StackOption = None,
    parameter: Annotated[
        list[str] | None, typer.Option("--parameter", help="NAME=VALUE over infra/parameters/<place>.json; repeatable.")
    ] = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="LocalStack: a stack that must be made anew may lose its data.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Bring a stack to what template.yaml and functions/ say now: the running one, or LocalStack's."""
    from levadactl.deploy import deploy as deploy_stack

    target, given = _target(place, stack), _pairs(parameter or [])
    done = deploy_stack(target, parameters=given, replace=replace, on_step=console.say)
    words = "nothing has changed" if done.action == "unchanged" else f"stack {target.stack_name} {done.action}"
    answer = {"place": target.name, "endpoint": target.endpoint_url, **asdict(done), "api_url": target.api_url}
    # What CloudFormation's own output says is AWS's name, which does not resolve here.
    here = {"ApiUrl": "api_url", "DeadLettersUrl": "dead_letters_url"}
    answer["outputs"] = done.outputs | {n: getattr(target, attr) for n, attr in here.items() if n in done.outputs}
    console.answer(answer, as_json=as_json, human=f"{words} ({done.seconds:.1f} s)\n{_where(target)}")


def delete(place: PlaceOption = PlaceName.localstack, stack: StackOption = None, as_json: JsonOption = False) -> None:
    """Delete the stack at LocalStack with all its data, and look that nothing is left. (Embedded: levada reset.)"""
    from levadactl import localstack

    if place is PlaceName.embedded:
        raise LevadactlError("the embedded stack is deleted with: levada reset --no-start")
    target = localstack.place(stack)
    done = localstack.delete(target, on_step=console.say)
    words = f"stack {target.stack_name} deleted" if done.stack else f"there was no stack {target.stack_name}"
    answer = {"place": target.name, "endpoint": target.endpoint_url, "stack_name": target.stack_name, **asdict(done)}
    console.answer(answer, as_json=as_json, human=f"{words}, and {done.objects} objects with it")


def _target(place: PlaceName, stack: str | None) -> Place:
    from levadactl import localstack
    from levadactl.places import Place

    if place is PlaceName.localstack:
        return localstack.place(stack)
    target = Place.current()
    if target.name == "endpoint" and localstack.answers(target.endpoint_url):
        raise LevadactlError(
            f"AWS_ENDPOINT_URL names LocalStack ({target.endpoint_url}): levada deploy --place localstack"
        )
    return target


def _pairs(given: list[str]) -> dict[str, str]:
    pairs = dict(text.partition("=")[::2] for text in given if "=" in text[1:])
    if wrong := [text for text in given if "=" not in text[1:]]:
        raise LevadactlError(f"--parameter {wrong[0]!r}: must be NAME=VALUE")
    return pairs


def _where(at: Place) -> str:
    lines = [f"  endpoint  {at.endpoint_url}", f"  HTTP API  {at.api_url}/healthz"]
    if at.name != "embedded":
        lines.append(f"  next      export AWS_ENDPOINT_URL={at.endpoint_url} && levada upload FILE --wait")
    return "\n".join(lines)


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


def _report_started(started: Started, as_json: bool) -> None:
    at = started.place
    recovered = asdict(started.recovered) if started.recovered is not None else None
    answer: dict[str, Any] = {
        "place": at.name,
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
        "for_containers": started.for_containers or None,
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
        *_containers_words(started),
        "  next      levada status | levada upload FILE | levada down",
    ]
    return "\n".join(lines)


def _containers_words(started: Started) -> list[str]:
    if not started.for_containers:
        return []
    port = started.place.endpoint_url.rpartition(":")[2]
    file = started.folder / "sam-env.json"
    return [
        f"  containers  any container on this machine reaches it at {started.for_containers}:{port}",
        f"  sam local   sam local invoke QueryFunction -e events/query/healthz.json --env-vars {file}",
    ]


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
