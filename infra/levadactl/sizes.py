"""Size, import time and memory of every built function; fails when one is over its budget or cannot run alone.

`make sizes`, or python -m levadactl.sizes [--json] [--build-dir .aws-sam/build], after `make build`.
"""

from __future__ import annotations

import argparse
import json
import platform
import re
import shutil
import statistics
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import boto3
from rich.console import Console
from rich.table import Table

from levada.core.access import OPEN
from levada.core.native import file_name
from levadactl.cases import CASES
from levadactl.embedded.state import project_root
from levadactl.embedded.templates import read_template
from levadactl.packaging import compiled_groups, groups

MIB = 1024 * 1024
# Unzipped MiB: what was measured (docs/adr/0001) and 15 % for a release or two. Lambda's own limit is 250.
BUDGETS_MIB = {
    "IngestHttpFunction": 8,
    "IngestFilesFunction": 105,
    "CleanFunction": 105,
    "AggregateFunction": 155,
    "QueryFunction": 155,
    "ArchiveFunction": 190,
}
RUNS = 3
KERNELS = Path("levada", "core", "native")
"""Of an artifact: where its compiled kernels lie."""

# What the Lambda runtime brings along; an artifact may import these and nothing else from outside itself.
RUNTIME_PACKAGES = ("boto3", "botocore", "s3transfer", "jmespath", "urllib3", "dateutil", "six")
PROBE = """
import importlib, json, resource, sys, time
from importlib.machinery import PathFinder
from types import SimpleNamespace
artifact, runtime, packages, handler, event = sys.argv[1:]
class Runtime:
    def find_spec(self, name, path=None, target=None):
        return PathFinder.find_spec(name, [runtime]) if name in packages.split(",") else None
sys.path.insert(0, artifact)
sys.meta_path.append(Runtime())
sys.dont_write_bytecode = True
module, _, attribute = handler.rpartition(".")
started = time.perf_counter()
entry = getattr(importlib.import_module(module), attribute)
found = {"import_s": time.perf_counter() - started}
context = SimpleNamespace(aws_request_id="probe", function_name="probe", get_remaining_time_in_millis=lambda: 60_000)
try:
    found["answer"] = entry(json.loads(event), context)
    found["error"] = ""
except Exception as err:
    found["answer"], found["error"] = str(err), type(err).__name__
found["peak_mib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
try:
    from levada.core import native
    found["kernels"] = native.problem() or "compiled"
except ImportError as err:
    found["kernels"] = str(err)
found["modules"] = sorted({"pandas", "awswrangler", "numpy", "pyarrow"} & set(sys.modules))
print(json.dumps(found))
"""
"""Imports a handler with its artifact and the runtime's packages in reach and nothing else, and calls it once."""
SETTINGS = {"AWS_DEFAULT_REGION": "us-east-1", "LEVADA_AUTH": OPEN} | {
    f"LEVADA_{name}": name.lower() for name in ("BUCKET", "TABLE", "RAW_STREAM", "CLEAN_STREAM")
}
"""Names that a deployed function has; nothing is there under them, and the events of a probe ask for nothing."""
MAY_IMPORT_PANDAS = frozenset({"ArchiveFunction"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifact:
    """One built function; times and memory are medians of fresh interpreters, None without such a Python here."""

    function: str
    handler: str
    runtime: str
    size_bytes: int
    budget_bytes: int
    import_s: float | None
    peak_mib: float | None
    """Resident memory after the import and one call that needs no store."""
    problems: tuple[str, ...]


def size_bytes(folder: Path) -> int:
    """Sum of file sizes, which is what Lambda's 250 MiB counts (not disk blocks)."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def handlers(template: Path) -> dict[str, str]:
    """Logical id to handler of every function in a built template."""
    resources: dict[str, dict[str, Any]] = read_template(template)["Resources"]
    return {
        name: str(resource["Properties"]["Handler"])
        for name, resource in resources.items()
        if resource["Type"] == "AWS::Serverless::Function"
    }


def targets(build_graph: Path) -> dict[str, tuple[str, str]]:
    """Function to (runtime, architecture), as SAM resolved the template's parameters when it built."""
    graph = tomllib.loads(build_graph.read_text())
    return {
        function: (definition["runtime"], definition["architecture"])
        for definition in graph["function_build_definitions"].values()
        for function in definition["functions"]
    }


def wrong_libraries(folder: Path, runtime: str, architecture: str) -> list[str]:
    """Extension modules and kernels that are for another Python or another machine than the function runs on."""
    tag = "cpython-" + runtime.removeprefix("python").replace(".", "")
    machine = {"x86_64": "x86_64", "arm64": "aarch64"}[architecture]
    kernels = [path for path in (folder / KERNELS).glob("kernels-*") if path.name != file_name("Linux", machine)]
    wrong = [f"{path.relative_to(folder)} is not for {architecture}" for path in sorted(kernels)]
    for path in sorted(folder.rglob("*.so")):
        found = re.search(r"\.(cpython-\d+)-(\w+)-linux", path.name)
        if found and (found[1], found[2]) != (tag, machine):
            wrong.append(f"{path.relative_to(folder)} is not for {runtime} on {architecture}")
    return wrong


def without_kernels(folder: Path, group: str, architecture: str) -> list[str]:
    """What is wrong where an artifact goes without the compiled kernels that functions/Makefile gives its group."""
    wanted = group in compiled_groups(project_root() / "functions")
    name = file_name("Linux", {"x86_64": "x86_64", "arm64": "aarch64"}[architecture])
    there = (folder / KERNELS / name).is_file()
    return ["has no compiled kernels: make kernels, make build"] if wanted and not there else []


def interpreter(runtime: str) -> str | None:
    """A Python of the function's own version, or None. A name on the PATH may be a shim with nothing behind it."""
    if runtime == f"python{sys.version_info.major}.{sys.version_info.minor}":
        return sys.executable
    found = shutil.which(runtime)
    works = found and subprocess.run([found, "-c", ""], capture_output=True, check=False).returncode == 0
    return found if works else None


def probe(python: str, folder: Path, handler: str, event: Mapping[str, Any], env: Mapping[str, str]) -> dict[str, Any]:
    """Import a handler from its artifact alone, in a fresh interpreter without site-packages, and call it once.

    Returns ``import_s``, ``peak_mib``, ``answer``, ``error`` (name of what the handler raised) and which heavy
    packages were imported.

    Raises:
        ImportError: with the child's last line; a missing dependency shows here and nowhere else before AWS.
    """
    site = str(Path(boto3.__file__).parents[1])
    command = [python, "-I", "-S", "-c", PROBE, str(folder), site, ",".join(RUNTIME_PACKAGES), handler]
    run = subprocess.run([*command, json.dumps(event)], capture_output=True, text=True, check=False, env=dict(env))
    if run.returncode != 0:
        raise ImportError(run.stderr.strip().splitlines()[-1])
    found: dict[str, Any] = json.loads(run.stdout.splitlines()[-1])
    return found


def inspect(function: str, handler: str, folder: Path, target: tuple[str, str]) -> Artifact:
    """Measure one artifact; what is wrong with it goes to ``problems``, nothing is raised."""
    runtime, architecture = target
    size = size_bytes(folder)
    budget = BUDGETS_MIB[function] * MIB
    problems = wrong_libraries(folder, runtime, architecture)[:3]
    problems += without_kernels(folder, groups(project_root() / "functions")[function], architecture)
    if size > budget:
        problems.append(f"{size / MIB:.1f} MiB is over its budget of {BUDGETS_MIB[function]} MiB")
    seconds = peak = None
    # Another architecture's libraries cannot be loaded here; this machine's own name for arm64 is aarch64.
    python = interpreter(runtime) if architecture == _machine() else None
    if python:
        case = next(case for case in CASES if case.function == function and case.alone)
        try:
            runs = [probe(python, folder, handler, case.build(), SETTINGS) for _ in range(RUNS)]
        except ImportError as err:
            problems.append(f"cannot be imported from its artifact: {err}")
        else:
            seconds, peak = (statistics.median(one[name] for one in runs) for name in ("import_s", "peak_mib"))
            problems += _calls(function, case.error, runs[0])
            if any((folder / KERNELS).glob("kernels-*")) and runs[0]["kernels"] != "compiled":
                problems.append(f"has kernels that it cannot use: {runs[0]['kernels']}")
    return Artifact(
        function=function,
        handler=handler,
        runtime=f"{runtime} {architecture}",
        size_bytes=size,
        budget_bytes=budget,
        import_s=seconds,
        peak_mib=peak,
        problems=tuple(problems),
    )


def _calls(function: str, error: str, found: Mapping[str, Any]) -> Iterator[str]:
    if found["error"] != error:
        yield f"answers {found['error'] or 'nothing wrong'} where {error or 'no error'} is right: {found['answer']}"
    if "pandas" in found["modules"] and function not in MAY_IMPORT_PANDAS:
        yield "imports pandas: 150 ms and 40 MiB of every cold start"


def _machine() -> str:
    return {"aarch64": "arm64"}.get(platform.machine(), platform.machine())


def show(artifacts: list[Artifact], console: Console) -> None:
    table = Table(box=None, header_style="bold")
    for heading in ("function", "runtime"):
        table.add_column(heading, no_wrap=True)
    for heading in ("bytes", "MiB", "budget", "import s", "peak MiB"):
        table.add_column(heading, justify="right", no_wrap=True)
    for one in artifacts:
        seconds = "-" if one.import_s is None else f"{one.import_s:.2f}"
        mib, budget = f"{one.size_bytes / MIB:.1f}", f"{one.budget_bytes / MIB:.0f}"
        peak = "-" if one.peak_mib is None else f"{one.peak_mib:.0f}"
        table.add_row(one.function, one.runtime, f"{one.size_bytes:,}", mib, budget, seconds, peak)
    console.print(table)
    if any(one.import_s is None and not one.problems for one in artifacts):
        console.print("import s, peak MiB: - where this machine has no such Python to try it with")
    for one in artifacts:
        for problem in one.problems:
            console.print(f"{one.function}: {problem}", style="bold red", highlight=False, soft_wrap=True)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build-dir", type=Path, default=Path(".aws-sam/build"))
    parser.add_argument("--json", action="store_true", help="one JSON array on stdout")
    args = parser.parse_args(argv)
    template = args.build_dir / "template.yaml"
    if not template.is_file():
        print(f"{template} is not there: run `make build` first", file=sys.stderr)
        return 2
    built_for = targets(args.build_dir.parent / "build.toml")
    artifacts = [
        inspect(name, handler, args.build_dir / name, built_for[name])
        for name, handler in sorted(handlers(template).items())
    ]
    if args.json:
        print(json.dumps([asdict(one) for one in artifacts]))
    else:
        show(artifacts, Console(width=110) if not sys.stdout.isatty() else Console())
    return 1 if any(one.problems for one in artifacts) else 0


if __name__ == "__main__":
    sys.exit(main())
