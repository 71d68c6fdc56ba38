"""Which of the parts that levada stands on can be reached."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from levada.core.errors import LevadaError

OK = "ok"


@dataclass(frozen=True, slots=True)
class Health:
    parts: Mapping[str, str]
    """Part → ``ok``, or ``down: <why>``."""

    @property
    def ok(self) -> bool:
        return all(state == OK for state in self.parts.values())


def check(probes: Mapping[str, Callable[[], object]]) -> Health:
    """Ask every part once; one that is down does not hide another."""
    return Health({part: _state(ask) for part, ask in probes.items()})


def _state(ask: Callable[[], object]) -> str:
    try:
        ask()
    except (LevadaError, KeyError) as err:
        return f"down: {err.args[0] if err.args else type(err).__name__}"
    return OK
