"""The fault switch: a function that dies at random, just before or after a call. Never on AWS: config.py refuses it."""

from __future__ import annotations

import os
import random
import sys
from typing import Any

from levada.core.errors import UnavailableError

EXIT_STATUS = 86


def inject(client: Any, every: int) -> None:
    """One of ``every`` calls of the client goes wrong: the process ends before or after it, or its answer is lost."""

    def before(**_: Any) -> None:
        if random.random() * every < 1 / 3:
            _die("before")

    def after(**_: Any) -> None:
        chance = random.random() * every
        if chance < 1 / 3:
            _die("after")
        if chance < 2 / 3:
            raise UnavailableError("fault switch: the answer is lost")

    client.meta.events.register("before-call.*", before)
    client.meta.events.register("after-call.*", after)


def _die(when: str) -> None:
    sys.stderr.write(f"fault switch: dies {when} a call\n")
    sys.stderr.flush()
    os._exit(EXIT_STATUS)
