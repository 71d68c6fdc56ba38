"""levada doctor: what could be wrong on this machine, and what to do about it."""

from __future__ import annotations

import importlib.metadata
import os
import re
import shutil
import socket
import sys
import time
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from levadactl import console
from levadactl.console import JsonOption
from levadactl.errors import LevadactlError

if TYPE_CHECKING:
    from levadactl.embedded.state import StackState

Level = Literal["ok", "warn", "fail"]

MIN_FREE_BYTES = 1_000_000_000
WARN_FREE_BYTES = 5_000_000_000
EARLIEST_CLOCK_S = 1_767_225_600
"""2026-01-01: no machine that runs this release can be earlier."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One check: what was found, and what to do when it is not ``ok``."""

    check: str
    level: Level
    found: str
    advice: str = ""


def register(app: typer.Typer) -> None:
    """Add this module's commands."""
    app.command(epilog="Example: levada doctor --json")(doctor)


def doctor(
    state_dir: Annotated[Path | None, typer.Option("--state-dir", help="State folder to look at.")] = None,
    place: Annotated[
        str | None, typer.Option("--place", help="Only what this place honours: embedded, localstack, sam-local, aws.")
    ] = None,
    template: Annotated[
        Path | None, typer.Option("--template", help="Only whether this template would work at every place.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Check Python, dependencies, ports, disk, clock, the running stack and leftovers. Exit status 1 if one fails."""
    from levadactl.embedded.state import state_dir as usual

    if place is not None:
        _honours(place, as_json)
        return
    if template is not None:
        _lint(template, as_json)
        return
    findings = list(examine((state_dir or usual()).resolve()))
    failed = any(one.level == "fail" for one in findings)
    rows = [(one.level.upper(), one.check, one.found, one.advice) for one in findings]
    console.answer(
        {"ok": not failed, "checks": [asdict(one) for one in findings]},
        as_json=as_json,
        human=console.table("", ["", "check", "found", "what to do"], rows),
    )
    if failed:
        raise typer.Exit(1)


def _honours(place: str, as_json: bool) -> None:
    from levadactl import honours

    if place not in honours.PLACES:
        raise LevadactlError(f"--place {place!r}: must be one of {', '.join(honours.PLACES)}")
    rows = honours.table(place)
    answer = {"place": place, "honours": [{"what": what, "answer": one, "so": so} for what, one, so in rows]}
    title = f"What {honours.NAMES[place]} does with what the template asks for"
    console.answer(answer, as_json=as_json, human=console.table(title, ["what", "", "what levada does"], rows))


def _lint(path: Path, as_json: bool) -> None:
    from dataclasses import fields

    from levada.config import PREFIX, Config
    from levadactl.embedded.templates import read_template
    from levadactl.templatelint import problems

    settings = [f"{PREFIX}{field.name.upper()}" for field in fields(Config)]
    found = problems(read_template(path), settings)
    words = "\n".join(map(str, found)) or f"{path}: every place has what it asks for"
    console.answer({"ok": not found, "problems": [asdict(one) for one in found]}, as_json=as_json, human=words)
    if found:
        raise typer.Exit(1)


def examine(folder: Path) -> Iterator[Finding]:
    """All checks, in the order in which a reader should act on them."""
    checks: tuple[Callable[[Path], Iterator[Finding]], ...] = (
        _python, _dependencies, _kernels, _folder, _disk, _clock, _names, _environment, _stack, _localstack, _ports,
        _leftovers,
    )  # fmt: skip
    for check in checks:
        yield from check(folder)


def _python(_: Path) -> Iterator[Finding]:
    version = ".".join(map(str, sys.version_info[:3]))
    good = sys.version_info >= (3, 11)
    yield Finding("python", "ok" if good else "fail", version, "" if good else "install Python 3.11 or newer; make dev")


def _dependencies(_: Path) -> Iterator[Finding]:
    from levadactl.embedded.state import project_root

    wrong = []
    wanted_versions = pinned(project_root() / "pyproject.toml")
    for name, wanted in wanted_versions.items():
        try:
            found = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found = "missing"
        if found != wanted:
            wrong.append(f"{name} {found} (wanted {wanted})")
    if wrong:
        yield Finding("dependencies", "fail", "; ".join(wrong), "make dev installs the locked versions")
    elif wanted_versions:
        yield Finding("dependencies", "ok", f"{len(wanted_versions)} pinned packages have the pinned versions")
    else:
        yield Finding("dependencies", "warn", "no pyproject.toml with pinned versions here", "run this in the project")


def _kernels(_: Path) -> Iterator[Finding]:
    from levada.core import native

    if why_not := native.problem():
        yield Finding("kernels", "warn", f"clean and aggregate are slower: {why_not}", "make kernels")
    else:
        yield Finding("kernels", "ok", "compiled")


def pinned(pyproject: Path) -> dict[str, str]:
    """Name and version of each package that the project pins to run (its tools for developers are left out)."""
    try:
        extras = tomllib.loads(pyproject.read_text())["project"]["optional-dependencies"]
    except (OSError, KeyError, tomllib.TOMLDecodeError):
        return {}
    requirements = [text for extra, texts in extras.items() if extra not in ("dev", "native") for text in texts]
    return {match[1]: match[2] for text in requirements if (match := re.match(r"([\w.-]+)==([\w.]+)$", text))}


def _folder(folder: Path) -> Iterator[Finding]:
    probe = folder / ".probe"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.write_text("x")
        probe.unlink()
    except OSError as err:
        yield Finding("state folder", "fail", f"{folder}: {err.strerror}", "choose one with --state-dir DIR")
        return
    yield Finding("state folder", "ok", str(folder))


def _disk(folder: Path) -> Iterator[Finding]:
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    free = shutil.disk_usage(existing).free
    level: Level = "fail" if free < MIN_FREE_BYTES else "warn" if free < WARN_FREE_BYTES else "ok"
    yield Finding(
        "disk", level, f"{free / 1e9:.1f} GB free", "" if level == "ok" else "free some: levada reset, make clean"
    )


def _clock(_: Path) -> Iterator[Finding]:
    now_s = time.time()
    if now_s < EARLIEST_CLOCK_S:
        yield Finding("clock", "fail", time.strftime("%Y-%m-%d %H:%M:%SZ", time.gmtime(now_s)), "set the clock (NTP)")
    else:
        yield Finding("clock", "ok", time.strftime("%Y-%m-%d %H:%M:%SZ", time.gmtime(now_s)))


def _names(_: Path) -> Iterator[Finding]:
    try:
        addresses = {str(info[4][0]) for info in socket.getaddrinfo("localhost", None)}
    except OSError:
        addresses = set()
    if "127.0.0.1" in addresses:
        yield Finding("localhost", "ok", "resolves to 127.0.0.1")
    else:
        yield Finding("localhost", "warn", f"resolves to {sorted(addresses)}", "use 127.0.0.1 in URLs; fix /etc/hosts")


def _environment(folder: Path) -> Iterator[Finding]:
    named = os.environ.get("AWS_ENDPOINT_URL", "").strip()
    ours = {state.endpoint for state in _readable(folder)}
    if named and named.rstrip("/") not in ours:
        yield Finding(
            "AWS_ENDPOINT_URL", "warn", named, "every command talks to it instead of the embedded stack: unset it"
        )
    else:
        yield Finding("AWS_ENDPOINT_URL", "ok", named or "not set")
    proxy = next(
        (name for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy") if os.environ.get(name)), None
    )
    exempt = os.environ.get("NO_PROXY") or os.environ.get("no_proxy") or ""
    if proxy and not any(name in exempt for name in ("127.0.0.1", "*")):
        yield Finding(
            "proxy", "warn", f"{proxy} is set", "levada ignores it; for curl and aws: NO_PROXY=127.0.0.1,localhost"
        )


def _readable(folder: Path, *, demo: bool = True) -> list[StackState]:
    """The states of the folder's stack and its demo's, as far as they exist and can be read."""
    from levadactl.embedded.state import demo_dir, load
    from levadactl.errors import StateError

    found = []
    for home in (folder, demo_dir(folder)) if demo else (folder,):
        try:
            state = load(home)
        except StateError:
            continue  # `_stack` reports it
        if state is not None:
            found.append(state)
    return found


def _stack(folder: Path) -> Iterator[Finding]:
    from levadactl.embedded import ministack
    from levadactl.embedded.state import demo_dir, load
    from levadactl.errors import StateError

    for name, home in (("stack", folder), ("demo", demo_dir(folder))):
        try:
            state = load(home)
        except StateError as err:
            yield Finding(name, "fail", str(err), "levada reset")
            continue
        if state is None:
            if name == "stack":
                yield Finding(name, "ok", "never started", "levada up")
        elif state.unclean():
            yield Finding(name, "warn", "did not stop cleanly", "levada up deploys again and keeps the lake")
        elif not state.running():
            yield Finding(name, "ok", "stopped")
        elif (version := ministack.version(state.port)) is None:
            yield Finding(name, "fail", f"runs but does not answer at {state.endpoint}", "levada down && levada up")
        elif (runner := state.processes.get("triggers")) is None or not runner.alive():
            yield Finding(name, "fail", "the stream triggers do not run: nothing is delivered", "levada up")
        else:
            known = version in (ministack.VERSION, "unknown")
            advice = "" if known else f"written against {ministack.VERSION}: make dev"
            yield Finding(name, "ok" if known else "warn", f"healthy at {state.endpoint}, emulator {version}", advice)


def _localstack(_: Path) -> Iterator[Finding]:
    from levadactl import honours, localstack
    from levadactl.errors import NotRunningError

    try:
        found = localstack.probe(localstack.endpoint())
    except NotRunningError:
        return  # most people have none
    ignored = honours.ignored("localstack")
    words = (
        f"LocalStack {found.version} at {found.endpoint}; {len(ignored)} things of the template have no effect there"
    )
    yield Finding("localstack", "ok", words, "levada doctor --place localstack lists them")


def _ports(folder: Path) -> Iterator[Finding]:
    from levadactl.embedded import ports
    from levadactl.embedded.emulator import DEFAULT_PORT

    used = {state.port for state in _readable(folder) if state.running()}
    for owner, port in DEFAULT_PORT.items():
        if port in used or ports.is_free(port):
            yield Finding(f"port {port}", "ok", f"`levada {owner}` has it" if port in used else "free")
        else:
            yield Finding(f"port {port}", "warn", "in use by another program", "levada takes another port by itself")
    if not ports.is_free(4566):
        yield Finding(
            "port 4566",
            "warn",
            "in use: LocalStack, probably",
            "awslocal and samlocal go there unless AWS_ENDPOINT_URL is set",
        )


def _leftovers(folder: Path) -> Iterator[Finding]:
    from levadactl.embedded import processes

    stray: dict[str, list[int]] = {}
    for pid, home in processes.all_marked().items():
        if not any(state.running() for state in _readable(Path(home), demo=False)):
            stray.setdefault(home, []).append(pid)
    for home, pids in stray.items():
        yield Finding("leftovers", "warn", f"processes {pids} of {home}", f"levada down --state-dir {home}")
    tmp = folder / "tmp"
    if not stray and tmp.exists() and not any(home == str(folder) for home in processes.all_marked().values()):
        yield Finding("leftovers", "warn", f"temporary files in {tmp}", "levada down removes them")
    elif not stray:
        yield Finding("leftovers", "ok", "none")
