"""A plan from its first line to its last: paced or as fast as possible, once or many times over."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from itertools import groupby
from typing import Any

from levada.ports import Clock
from levadactl.generators.ledger import Ledger
from levadactl.generators.model import SECOND_US, Plan, Sent, Source
from levadactl.generators.outlets import Outlet
from levadactl.generators.sending import lines

STEP_S = 0.5
"""Longest wait between two looks at the clock."""


def session_of(source: Source, plan: Plan) -> str:
    """What the packs of this plan are known by: the same plan, the same packs."""
    return hashlib.sha256(f"{source.domain} {plan}".encode()).hexdigest()[:16]


def run(
    source: Source,
    plan: Plan,
    outlet: Callable[[], Outlet],
    clock: Clock,
    ledger: Ledger,
    *,
    paced: bool,
    resend: int = 0,
    on_lines: Callable[[float], None] = lambda _: None,
) -> dict[str, Any]:
    """Send the plan, then all of it again ``resend`` times, as fast as possible. Returns the summary.

    Args:
        outlet: makes one for each time.
        paced: the first time each line leaves at its time of the day.
    """
    counted: list[Mapping[str, Any]] = []
    for again in range(1 + resend):
        to = outlet()
        for due_us, some in _seconds(lines(source, plan, None if again else ledger)):
            if paced and not again:
                _wait_until(clock, due_us / SECOND_US)
            to.take(some)
            on_lines(len(some))
        counted.append(to.close())
    sent: dict[str, Any] = {"times": len(counted)}
    for one in counted:
        for name, value in one.items():
            sent[name] = sent.get(name, 0) + value if isinstance(value, int) else value
    return ledger.summary() | {"sent": sent}


def _seconds(sent: Iterator[Sent]) -> Iterator[tuple[int, list[bytes]]]:
    """(end of the second, lines due in it)."""
    for second, some in groupby(sent, key=lambda one: one.due_us // SECOND_US):
        yield (second + 1) * SECOND_US, [one.line for one in some]


def _wait_until(clock: Clock, at_s: float) -> None:
    while (left_s := at_s - clock.now_s()) > 0:
        clock.sleep(min(left_s, STEP_S))
