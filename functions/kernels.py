"""Compiles the C of levada/core/native into the shared library that lies beside it, for this machine or for Lambda.

python3 kernels.py build OUT_DIR [--target host|x86_64|arm64] [--required]

The compiler is clang as the pip package ziglang brings it (`python -m ziglang cc`): of this interpreter, else of a
.venv-native above OUT_DIR (`make kernels`). Without one a line says so and nothing is written, since pyarrow and
numpy do the same work slower; --required makes that an error. C that does not compile always is one. What was done
goes to stdout, which `sam build` shows; errors go to stderr.

Standard library only: it runs in whatever Python `sam build` finds.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from levada.core.native import file_name, fingerprint

ZIGLANG = "0.17.1"
SOURCES = Path(__file__).resolve().parent / "levada" / "core" / "native"

# zig's target and CPU. Linux without a C library: what the C may call (memcpy, memset) is in every process that Python
# runs in, so one file serves glibc of any age and musl. x86_64_v2 is what numpy's wheels ask for too: a CPU without
# AVX2 would not fall back but die, and the loops are no faster with it (docs/adr/0006).
TARGETS = {
    ("linux", "x86_64"): ("x86_64-linux-none", "x86_64_v2"),
    ("linux", "aarch64"): ("aarch64-linux-none", "baseline"),
    ("darwin", "aarch64"): ("aarch64-macos", "baseline"),
    ("darwin", "x86_64"): ("x86_64-macos", "x86_64_v2"),
}
LAMBDA = {"x86_64": ("linux", "x86_64"), "arm64": ("linux", "aarch64")}
FLAGS = (
    "-std=c11", "-O3", "-g0", "-s", "-shared", "-fPIC", "-fvisibility=hidden",
    # No fused multiply-add and no reordering: every machine rounds alike.
    "-ffp-contract=off", "-fno-fast-math",
    # zig adds traps for undefined behaviour unless it is told to optimise: not left to that alone.
    "-fno-sanitize=all",
    "-Wall", "-Wextra", "-Werror",
)  # fmt: skip
OF_SYSTEM = {
    "linux": ("-nostdlib",),
    "darwin": ("-Wl,-install_name,@rpath/kernels.so",),  # else the path of the scratch folder
}
KEPT = ("PATH", "TMPDIR", "TEMP", "TMP", "SYSTEMROOT")
"""Of the environment; clang reads more (CPATH, LIBRARY_PATH …), which must not change what comes out."""


class NotCompiledError(Exception):
    """No library was made; the message says why."""


def machine_of(target: str) -> tuple[str, str]:
    """System and machine, as the library's name has them. Raises NotCompiledError for a host without a target."""
    if target in LAMBDA:
        return LAMBDA[target]
    _, system, machine = file_name(platform.system(), platform.machine()).removesuffix(".so").split("-", 2)
    if (system, machine) not in TARGETS:
        known = ", ".join("-".join(one) for one in TARGETS)
        raise NotCompiledError(f"no target for {system}-{machine}: {known}")
    return system, machine


def compiler(near: Path) -> list[str] | None:
    """The command of the C compiler, or None where there is none."""
    if importlib.util.find_spec("ziglang"):
        return [sys.executable, "-m", "ziglang", "cc"]
    made = (folder / ".venv-native" for folder in (near.absolute(), *near.absolute().parents))
    found = next((one for one in made if (one / ".stamp").is_file()), None)  # the stamp: it was made to the end
    return [str(found / "bin" / "python"), "-m", "ziglang", "cc"] if found else None


def compile_library(command: Sequence[str], sources: Path, machine: tuple[str, str], out: Path) -> None:
    """Compile every C file of ``sources`` into ``out``; the same files give the same bytes, wherever they lie.

    zig's caches live in a folder that is removed again: there is no C library to keep, and this takes 0.1 s.
    Raises NotCompiledError with what the compiler said.
    """
    triple, cpu = TARGETS[machine]
    names = sorted(path.name for path in sources.glob("*.c"))
    if not names:
        raise NotCompiledError(f"{sources} has no C files")
    with tempfile.TemporaryDirectory(prefix="levada-kernels-") as scratch:
        made = Path(scratch, "library.so")
        kept = {name: value for name, value in os.environ.items() if name in KEPT}
        caches = {f"ZIG_{one}_CACHE_DIR": str(Path(scratch, "zig")) for one in ("GLOBAL", "LOCAL")}
        which = ["-target", triple, f"-mcpu={cpu}", *FLAGS, *OF_SYSTEM[machine[0]]]
        given = [f"-DLEVADA_SOURCES={fingerprint(sources)}", "-o", str(made), *names]
        ran = subprocess.run(
            [*command, *which, *given], cwd=sources, env=kept | caches,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
        )  # fmt: skip
        if ran.returncode != 0 or not made.is_file():
            raise NotCompiledError(f"{' '.join(command)} failed ({ran.returncode}):\n{ran.stdout.strip()}")
        out.parent.mkdir(parents=True, exist_ok=True)
        part = out.with_name(f"{out.name}.{os.getpid()}")
        shutil.copyfile(made, part)
        part.replace(out)  # a process that has the old one mapped keeps it whole


def build(folder: Path, target: str, *, required: bool) -> int:
    """Exit status: 0 done, or not done for want of a compiler; 1 not done though asked for."""
    try:
        system, machine = machine_of(target)
        command = compiler(folder)
        if command is None:
            missing = (
                f"kernels: not compiled, {sys.executable} has no ziglang: clean and aggregate are slower."
                f" To change it: {sys.executable} -m pip install ziglang=={ZIGLANG}, or `make kernels` in the project"
            )
            print(missing, file=sys.stderr if required else sys.stdout)
            return 1 if required else 0
        out = folder / file_name(system, machine)
        compile_library(command, SOURCES, (system, machine), out)
    except (NotCompiledError, OSError) as err:
        print(f"kernels: not compiled: {err}", file=sys.stderr)
        return 1
    print(f"kernels: {out.name}, {out.stat().st_size} bytes")
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=["build"])
    parser.add_argument("out_dir", type=Path, metavar="OUT_DIR")
    parser.add_argument("--target", choices=["host", *LAMBDA], default="host", help="Linux on Lambda, or this machine")
    parser.add_argument("--required", action="store_true", help="without a compiler: exit 1 instead of 0")
    args = parser.parse_args(argv)
    return build(args.out_dir, args.target, required=args.required)


if __name__ == "__main__":
    sys.exit(main())
