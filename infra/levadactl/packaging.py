"""What a deploy uploads: the code alone, or whole artifacts as zips. The same input always gives the same bytes."""

from __future__ import annotations

import hashlib
import io
import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from levada.core import native
from levadactl.errors import StateError

ZIP_TIME = (1980, 1, 1, 0, 0, 0)
GROUP = re.compile(r"(?m)^GROUP_(\w+) = (\w+)$")
COMPILED = re.compile(r"(?m)^COMPILED = ([\w ]+)$")
NOT_COMPILED = "kernels: not compiled"
"""How functions/kernels.py begins the line that says that an artifact goes without compiled kernels."""
UNDEPLOYED = {".pyc", ".pyo", ".c", ".h"}
CODE = "levada"
"""The package of ours in every artifact; everything else in one is dependencies."""


@dataclass(frozen=True, kw_only=True)
class Code:
    """Objects to upload by key, and which of them each function gets."""

    objects: Mapping[str, Callable[[], bytes]]
    keys: Mapping[str, str]
    """Function (logical id) to object key."""
    sha256: str
    """Of all that is deployed."""


def code_only(functions: Path, names: Iterable[str]) -> Code:
    """The package below ``functions`` for every function: for a place that brings the dependencies itself."""
    body = code_zip(functions)
    digest = hashlib.sha256(body).hexdigest()
    return Code(objects={f"{digest}.zip": lambda: body}, keys=dict.fromkeys(names, f"{digest}.zip"), sha256=digest)


def code_zip(functions: Path) -> bytes:
    """The package ``levada`` below ``functions`` as a zip; the same files always give the same bytes.

    Kernels go with it only where they fit the C beside them: where the zip is unpacked nobody could tell any more.
    """
    kept = [path for path in _files(functions / CODE) if path.suffix != ".so" or native.load(path)[0] is not None]
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as archive:
        _add(archive, functions, kept)
    return buffer.getvalue()


def groups(functions: Path) -> dict[str, str]:
    """Function (logical id) to dependency group, as functions/Makefile has it."""
    try:
        found = dict(GROUP.findall((functions / "Makefile").read_text()))
    except FileNotFoundError as err:
        raise StateError(f"{functions / 'Makefile'} does not exist: run this inside the project") from err
    return found


def compiled_groups(functions: Path) -> set[str]:
    """Dependency groups whose artifacts carry the compiled kernels, as functions/Makefile has it."""
    found = COMPILED.search((functions / "Makefile").read_text())
    return set(found[1].split()) if found else set()


def artifacts(
    root: Path, names: Iterable[str], *, python: str, architecture: str, on_step: Callable[[str], None]
) -> Code:
    """Build every dependency group with functions/Makefile (as ``sam build`` does) and zip it.

    Args:
        root: project folder.
        names: functions (logical ids) of the template.
        python: version of the Lambda runtime, as 3.12; wheels are fetched for it, it need not be installed here.
        architecture: x86_64 or arm64.
        on_step: told each step.

    Raises StateError when a build fails, with the builder's last line.
    """
    functions, group_of = root / "functions", groups(root / "functions")
    keys: dict[str, str] = {}
    objects: dict[str, Callable[[], bytes]] = {}
    built: dict[str, str] = {}
    for name in names:
        if name not in group_of:
            raise StateError(f"functions/Makefile has no dependency group for {name}: add GROUP_{name}")
        group = group_of[name]
        if group not in built:
            on_step(f"building {group} for python{python} {architecture}")
            archive = _artifact(root, name, group, python, architecture, on_step)
            digest = _digest(archive)
            built[group] = f"{digest}.zip"
            objects[built[group]] = archive.read_bytes
        keys[name] = built[group]
    total = hashlib.sha256("".join(sorted(built.values())).encode()).hexdigest()
    if not keys:
        raise StateError(f"{functions.parent / 'template.yaml'} has no function to build")
    return Code(objects=objects, keys=keys, sha256=total)


def _artifact(
    root: Path, name: str, group: str, python: str, architecture: str, on_step: Callable[[str], None]
) -> Path:
    """Build one function; returns its zip. Dependencies are zipped once per lock, code every time."""
    home = root / ".aws-sam" / "packages" / f"{python}-{architecture}"
    folder, archive = home / group, home / f"{group}.zip"
    shutil.rmtree(folder, ignore_errors=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    environment = {k: v for k, v in os.environ.items() if k not in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS")}
    environment |= {"ARTIFACTS_DIR": str(folder), "LAMBDA_PYTHON": python, "LAMBDA_ARCH": architecture}
    command = ["make", "-s", "-C", str(root / "functions"), f"build-{name}", f"PYTHON={sys.executable}"]
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if ran.returncode != 0:
        words = [line for line in ran.stderr.splitlines() if line.strip() and not line.startswith("make")]
        raise StateError(f"{name} cannot be built: {words[-1] if words else 'make failed'}")
    for line in ran.stdout.splitlines():
        if line.startswith(NOT_COMPILED):
            on_step(line)
    dependencies = _dependencies_zip(root, folder, f"{group}-{python}-{architecture}", group, python)
    shutil.copyfile(dependencies, archive)
    with zipfile.ZipFile(archive, "a", zipfile.ZIP_DEFLATED, compresslevel=6) as opened:
        _add(opened, folder, _files(folder / CODE))
    return archive


def _dependencies_zip(root: Path, folder: Path, label: str, group: str, python: str) -> Path:
    functions = root / "functions"
    lock = functions / "requirements" / ("py311" if python == "3.11" else "") / f"{group}.txt"
    inputs = (lock, functions / "prune.py", functions / "Makefile")
    key = hashlib.sha256(b"".join(path.read_bytes() for path in inputs)).hexdigest()[:16]
    path = folder.parent / f"{label}-{key}.dependencies.zip"
    if not path.exists():
        for stale in path.parent.glob(f"{label}-*.dependencies.zip"):
            stale.unlink()
        part = path.with_suffix(".part")
        # Level 1: the zip travels to this machine only.
        with zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
            _add(archive, folder, (one for one in _files(folder) if one.relative_to(folder).parts[0] != CODE))
        part.rename(path)
    return path


def _files(folder: Path) -> list[Path]:
    found = sorted(
        path
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and path.suffix not in UNDEPLOYED
    )
    if not found:
        raise StateError(f"{folder} holds no code to deploy")
    return found


def _add(archive: zipfile.ZipFile, root: Path, paths: Iterable[Path]) -> None:
    for path in paths:
        entry = zipfile.ZipInfo(path.relative_to(root).as_posix(), ZIP_TIME)
        entry.external_attr = 0o644 << 16
        entry.create_system = 3  # Unix, on every system
        entry.compress_type = zipfile.ZIP_DEFLATED
        # ZipInfo knows no level of its own before 3.13: writestr takes the archive's only where it is told.
        archive.writestr(entry, path.read_bytes(), compresslevel=archive.compresslevel)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
