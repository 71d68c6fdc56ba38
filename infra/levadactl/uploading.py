"""Many files into a place: which ones, what became of each, and a total that adds up."""

from __future__ import annotations

import glob
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from levada.ingest import shifted
from levadactl import loading
from levadactl.errors import LevadactlError
from levadactl.loading import TENANT, Advance, Lake, Load
from levadactl.places import Place

Answer = dict[str, Any]


def files_of(patterns: Sequence[str]) -> list[Path]:
    """The files that paths and patterns name, each once, in the order given.

    Raises LevadactlError for one that names none, and when two files have one name: one would replace the other.
    """
    found: dict[Path, None] = {}
    for pattern in patterns:
        path = Path(pattern)
        some = [path] if path.is_file() else [Path(name) for name in sorted(glob.glob(pattern, recursive=True))]  # noqa: PTH207 - patterns may be absolute
        some = [one for one in some if one.is_file()]
        if not some:
            raise LevadactlError(f"{pattern}: there is no such file")
        found |= dict.fromkeys(some)
    names = Counter(path.name for path in found)
    if twice := [name for name, n in names.items() if n > 1]:
        raise LevadactlError(f"{twice[0]}: two of the files have this name; upload them one by one, with --name")
    return list(found)


def upload_all(
    place: Place,
    lake: Lake,
    paths: Sequence[Path],
    domain: str,
    *,
    name: str | None,
    resume: bool,
    advance: Advance,
    shift: Callable[[Path], int] | None = None,
) -> tuple[list[Answer], list[tuple[Answer, Load, Answer | None]]]:
    """Put the files under landing/.

    Args:
        name: instead of the file's own.
        resume: leave out what was loaded already.
        shift: by how much the times of a file are to be moved, microseconds; None: by nothing.

    Returns:
        (an answer for each file; for each that was uploaded its answer, its load, and its ledger before).
    """
    answers: list[Answer] = []
    loads: list[tuple[Answer, Load, Answer | None]] = []
    for path in paths:
        shift_us = shift(path) if shift else 0
        content = shifted.identity(loading.sha256_of(path), shift_us)
        known = lake.ledger(domain, TENANT, content)
        answer: Answer = {"file": str(path), "bucket": place.bucket, "sha256": content, "known": bool(known)}
        answer |= {"shift_us": shift_us} if shift else {}
        answers.append(answer)
        if resume and known and known["done"]:
            answer |= {"uploaded": False, "done": True, "counts": known["counts"]}
            advance(path.stat().st_size)
        else:
            called = (shifted.folder(shift_us) if shift_us else "") + (name or path.name)
            key = loading.upload(place, path, domain=domain, name=called, advance=advance)
            answer |= {"uploaded": True, "key": key}
            loads.append((answer, Load(lake, place, domain, content, key), known))
    return answers, loads


def wait_for_all(loads: Sequence[tuple[Answer, Load, Answer | None]], say: Callable[[str], None]) -> None:
    """Until each is loaded; its counts go into its answer. Raises LoadError."""
    for answer, load, known in loads:
        ledger = load.wait(known=known, on_state=say)
        answer |= {"done": True, "counts": ledger["counts"], "duplicates": ledger["duplicates"]}


def summary(answers: Sequence[Answer]) -> Answer:
    """Each file, and the totals: ``files`` = ``uploaded`` + ``left_out``; counts are of the ``done`` ones."""
    counts: Counter[str] = Counter()
    for one in answers:
        counts.update(one.get("counts", {}))
    uploaded = sum(one["uploaded"] for one in answers)
    total: Answer = {"files": len(answers), "uploaded": uploaded, "left_out": len(answers) - uploaded}
    return {"files": list(answers), "total": total | {"done": sum("counts" in one for one in answers)} | dict(counts)}
