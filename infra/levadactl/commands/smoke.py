"""levada smoke."""

from __future__ import annotations

from dataclasses import asdict

import typer

from levadactl import console
from levadactl.console import JsonOption


def register(app: typer.Typer) -> None:
    """Add this module's command."""
    app.command(epilog="Example: levada smoke --json")(smoke)


def smoke(as_json: JsonOption = False) -> None:
    """A small file in by HTTP, its windows out: health, upload, run, flush, query. Exit status 1 when one fails.

    Works on every place that commands talk to; its rows are telemetry of a unit of their own, and a few minutes old.
    """
    from levada.wiring import SystemClock
    from levadactl import loading, smoking
    from levadactl.places import Place

    place = Place.current()
    checks = []
    for check in smoking.Smoke(
        smoking.HttpApi(place.api_url), SystemClock(), lambda: loading.close_idle_windows(place)
    ).run():
        checks.append(check)
        if not as_json:
            console.answer({}, as_json=False, human=smoking.line(check))
    failed = [check for check in checks if not check.ok]
    if as_json:
        console.answer({"ok": not failed, "place": place.name, "checks": [asdict(c) for c in checks]}, as_json=True)
    if failed:
        raise typer.Exit(1)
