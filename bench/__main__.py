"""``python -m bench``: every part of the bench, one after another, each in a process of its own. JSON on stdout."""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

from bench import harness

PARTS = {
    "clean": "from the decoded Lambda event to validated columns, and what exactly-once costs",
    "ingest": "cold start over HTTP, and a file into packs",
    "aggregate": "from canonical rows to windows",
    "producer": "from events to packs on their way",
}
"""Modules of this package by name. Each has ``main(argv)`` that takes ``--repeats`` and ``--json``, draws its table on
stderr, and prints one JSON object: ``subjects`` as ``harness.to_json`` gives them, ``targets`` as ``harness.judge``."""


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m bench",
        description=__doc__,
        epilog="parts: " + "; ".join(f"{name}: {what}" for name, what in PARTS.items()) + ". Example: make bench "
        'ARGS="--only clean --repeats 25 --json"',
    )
    parser.add_argument("--only", nargs="+", choices=list(PARTS), default=list(PARTS), help="these parts")
    parser.add_argument("--repeats", type=int, default=15, help="rounds; in each every subject of a part runs once")
    parser.add_argument("--json", action="store_true", help="all reports on stdout")
    options = parser.parse_args(argv)
    found: dict[str, Any] = {}
    for name in options.only:
        print(f"{name}: {PARTS[name]}", file=sys.stderr)
        found[name] = harness.in_own_process(f"bench.{name}", ["--json", "--repeats", str(options.repeats)])
    missed = [t["target"] for part in found.values() for t in part.get("targets", []) if not t["reached"]]
    print(f"missed: {', '.join(missed) or 'nothing'}", file=sys.stderr)
    if options.json:
        print(json.dumps({"machine": harness.machine(), "repeats": options.repeats, "parts": found}, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
