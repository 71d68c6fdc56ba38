"""Events to lines in the order of sending: broken ones, late ones, ones that come twice."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from itertools import count
from random import Random

import msgspec

from levadactl.generators.ledger import Ledger
from levadactl.generators.model import SECOND_US, Made, Plan, Sent, Source


def lines(source: Source, plan: Plan, ledger: Ledger | None = None) -> Iterator[Sent]:
    """Every line of the plan, by time of sending, with no more in memory than what is held back.

    The ledger, where there is one, hears of each event once.
    """
    dice = Random(f"{plan.seed} {source.domain} sending")
    held: list[tuple[int, int, Sent]] = []
    numbers = count()
    for made in source.events(plan):
        while held and held[0][0] <= made.time_us:
            yield heapq.heappop(held)[2]
        for sent in _sent(source, plan, made, dice, ledger):
            if sent.due_us <= made.time_us:
                yield sent
            else:
                heapq.heappush(held, (sent.due_us, next(numbers), sent))
    while held:
        yield heapq.heappop(held)[2]
    if ledger is not None:
        ledger.close()


def _sent(source: Source, plan: Plan, made: Made, dice: Random, ledger: Ledger | None) -> Iterator[Sent]:
    if plan.bad and dice.random() < plan.bad:
        names = sorted(source.breaks)
        reason = names[dice.randrange(len(names))]
        body = dict(made.body)
        line = source.breaks[reason](body, dice)
        if ledger is not None:
            ledger.add_bad(reason)
        yield Sent(made.time_us, line if isinstance(line, bytes) else msgspec.json.encode(body), None)
        return
    line = msgspec.json.encode(made.body)
    late = bool(plan.late) and dice.random() < plan.late
    due_us = made.time_us + (int(dice.uniform(*plan.late_by_s) * SECOND_US) if late else 0)
    twice = bool(plan.twice) and dice.random() < plan.twice
    if ledger is not None:
        ledger.add(made, late=late, twice=twice)
    yield Sent(due_us, line, made)
    if twice:
        yield Sent(due_us + int(dice.uniform(0, 2 * plan.late_by_s[1]) * SECOND_US), line, made)
