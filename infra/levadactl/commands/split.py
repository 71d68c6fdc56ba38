"""levada split."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from levadactl import console
from levadactl.console import JsonOption
from levadactl.errors import LevadactlError


def register(app: typer.Typer) -> None:
    """Add this module's command."""
    app.command(epilog="Example: levada split AirQualityUCI.csv --train-until 2005-01-01 --out parts")(split)


def split(
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="CSV or Parquet; CSV also as .gz, .zst.")],
    train_until: Annotated[str, typer.Option("--train-until", help="2005-01-01 or 2005-01-01T06:00:00Z: the cut.")],
    out: Annotated[Path, typer.Option("--out", file_okay=False, help="Folder for the files.")],
    domain: Annotated[str, typer.Option("--domain", help="Whose declaration reads the file.")] = "air_quality",
    as_json: JsonOption = False,
) -> None:
    """Cut a file in two by time: rows before the cut, and rows from it on; CSV and Parquet, in the order of time.

    No row stands in both, none is lost: rows without a time and lines that are no rows have files of their own.
    """
    from levadactl import splitting
    from levadactl.domains import domain_named

    try:
        at = datetime.fromisoformat(train_until)
    except ValueError as err:
        raise LevadactlError(
            f"--train-until {train_until!r}: must look like 2005-01-01 or 2005-01-01T06:00:00Z"
        ) from err
    until_us = int((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()) * 1_000_000
    with console.progress(f"splitting {file.name}", 0, unit="rows") as advance:
        done = splitting.split(file, domain_named(domain), until_us, out, on_rows=advance)
    console.answer({"file": str(file), "train_until": at.isoformat()} | asdict(done), as_json=as_json)
