"""Daemon threads for blocking calls; outcomes come back through one inbox, so all state stays in one thread."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import Any

Then = Callable[[Any, BaseException | None], None]
"""Called in the control thread with (value, None) or (None, error)."""
Job = Callable[[], Any]


class Inbox:
    """Outcomes of jobs, handed to the control thread in the order they ended."""

    def __init__(self) -> None:
        self._outcomes: queue.SimpleQueue[tuple[Then, Any, BaseException | None]] = queue.SimpleQueue()

    def put(self, then: Then, value: Any = None, error: BaseException | None = None) -> None:
        """May be called from any thread, and from a signal handler."""
        self._outcomes.put((then, value, error))

    def handle(self, timeout_s: float) -> bool:
        """Wait up to ``timeout_s`` for an outcome, then handle all that there are; False when there was none."""
        try:
            then, value, error = self._outcomes.get(timeout=max(0.0, timeout_s))
        except queue.Empty:
            return False
        while True:
            then(value, error)
            try:
                then, value, error = self._outcomes.get_nowait()
            except queue.Empty:
                return True


class Workers:
    """Up to ``most`` threads, started when needed; daemons, because a call may hang longer than we want to live."""

    def __init__(self, inbox: Inbox, most: int, name: str) -> None:
        self._inbox = inbox
        self._most = most
        self._name = name
        self._jobs: queue.SimpleQueue[tuple[Job, Then]] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._threads = 0
        self._open = 0

    def submit(self, job: Job, then: Then) -> None:
        """Run ``job`` in a thread, then ``then`` in the control thread."""
        with self._lock:
            self._open += 1
            start = self._open > self._threads and self._threads < self._most
            self._threads += start
            number = self._threads
        self._jobs.put((job, then))
        if start:
            threading.Thread(target=self._work, name=f"{self._name}-{number}", daemon=True).start()

    def _work(self) -> None:
        while True:
            job, then = self._jobs.get()
            try:
                value, error = job(), None
            except BaseException as err:  # noqa: BLE001  # it is raised or handled in the control thread
                value, error = None, err
            with self._lock:
                self._open -= 1
            self._inbox.put(then, value, error)
