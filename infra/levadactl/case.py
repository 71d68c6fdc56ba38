"""One event file: which function gets it, and what it shows."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

FUNCTIONS = {
    "clean": "CleanFunction",
    "aggregate": "AggregateFunction",
    "archive": "ArchiveFunction",
    "query": "QueryFunction",
}

SHARD = 999
"""A shard that no stream of ours has: run on a stack that is in use, an event must not move a real shard's fence."""


@dataclass(frozen=True, slots=True)
class Case:
    """One event file, ``events/<stage>/<name>.json``."""

    stage: str
    name: str
    shows: str
    build: Callable[[], dict[str, Any]]
    alone: bool = False
    """It needs nothing but the function: no emulator, no AWS."""
    error: str = ""
    """``errorType`` of the answer, for an event that is made to fail."""

    @property
    def path(self) -> str:
        return f"{self.stage}/{self.name}.json"

    @property
    def function(self) -> str:
        """Logical id in the template of the function that gets this event."""
        if self.stage == "ingest":
            return "IngestHttpFunction" if "httpMethod" in self.build() else "IngestFilesFunction"
        return FUNCTIONS[self.stage]

    def text(self) -> str:
        return json.dumps(self.build(), indent=2) + "\n"
