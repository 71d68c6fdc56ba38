"""The files below events/: one per case, and the README that lists them. A test compares.

``python -m levadactl.eventfiles write`` makes them again; ``check`` says whether they are as built.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from levadactl.cases import CASES

README = """# Event files

One file, one case; the same files feed `levada invoke`, `sam local invoke` and the tests. They are built by
`infra/levadactl/cases.py`: change the case there, then run `python -m levadactl.eventfiles write`.
`levada invoke` runs the real handler on stores in memory and shows what it answers and leaves behind; with
`--auth REQUIRED` it wants tokens over HTTP, and knows those of the files `token_…`.

Lines with `sam local` take their settings from samconfig.toml; see [docs/sam-local.md](../docs/sam-local.md). Needs
*nothing*: the function alone is enough. Needs an *emulator*: one on the host, as `levada up --for-containers` starts
it; what an event names under `landing/` has to be uploaded first, or the answer says that it is gone. Kinesis events
come from shard 999, which no stream of ours has: they leave the positions of a stack that is in use alone.

| file | shows | needs | run |
|---|---|---|---|
"""


def readme() -> str:
    """events/README.md."""
    lines = [
        f"| `{case.path}` | {case.shows}{f' (`{case.error}`)' if case.error else ''} "
        f"| {'nothing' if case.alone else 'emulator'} | `levada invoke {case.stage} events/{case.path}`<br>"
        f"`sam local invoke {case.function} -e events/{case.path}` |"
        for case in CASES
    ]
    return README + "\n".join(lines) + "\n"


def wanted() -> dict[str, str]:
    """Every file below events/ with its text."""
    return {case.path: case.text() for case in CASES} | {"README.md": readme()}


def write(folder: Path) -> int:
    """Make all files, remove event files that are no case. Returns how many were written."""
    files = wanted()
    for stale in set(_there(folder)) - set(files):
        (folder / stale).unlink()
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return len(files)


def differences(folder: Path) -> list[str]:
    """One line per file that is missing, superfluous, or not as built."""
    files, there = wanted(), _there(folder)
    out = [f"{name}: missing" for name in files if name not in there]
    out += [f"{name}: no such case" for name in there if name not in files]
    out += [f"{name}: not as built" for name in there if name in files and (folder / name).read_text() != files[name]]
    return sorted(out)


def _there(folder: Path) -> list[str]:
    found = [*folder.glob("*/*.json"), *folder.glob("README.md")]
    return sorted(path.relative_to(folder).as_posix() for path in found)


def main(argv: Sequence[str]) -> int:
    """``write [FOLDER]`` or ``check [FOLDER]``; exit status 1 when a file is not as built."""
    if not argv or argv[0] not in ("write", "check"):
        print("usage: python -m levadactl.eventfiles write|check [FOLDER]", file=sys.stderr)
        return 2
    folder = Path(argv[1]) if len(argv) > 1 else Path("events")
    if argv[0] == "write":
        print(f"{write(folder)} files written below {folder}/")
        return 0
    found = differences(folder)
    for line in found:
        print(line, file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
