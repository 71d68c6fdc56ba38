"""The fault switch: a function that dies at random, just before or after a call. Never on AWS: config.py refuses it."""

from __future__ import annotations

import os
import random
import sys
from typing import Any

from levada.core.errors import UnavailableError

EXIT_STATUS = 86


def inject(client: Any, percent: int) -> None:
    """Make percent of the client's calls go wrong: the process ends before or after it, or its answer is lost."""

    def before(**_: Any) -> None:
        if random.random() * 100 < percent / 2:
            _die("before")

    def after(**_: Any) -> None:
        chance = random.random() * 100
        if chance < percent / 4:
            _die("after")
        if chance < percent / 2:
            raise UnavailableError("fault switch: the answer is lost")

    client.meta.events.register("before-call.*", before)
    client.meta.events.register("after-call.*", after)


def _die(when: str) -> None:
    sys.stderr.write(f"fault switch: dies {when} a call\n")
    sys.stderr.flush()
    os._exit(EXIT_STATUS)
