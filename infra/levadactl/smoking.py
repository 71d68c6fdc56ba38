"""The smoke test: a small file goes in by HTTP and its windows come out by HTTP, on whatever place there is (A23).

Its rows are of domain telemetry and a unit of their own, ``smoke-…``, a few minutes old: nothing else is touched.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol

from levada.core.errors import LevadaError
from levada.ports import Clock
from levadactl import http
from levadactl.errors import LevadactlError

ROWS = 60
MEASUREMENTS = 2 * ROWS
WAIT_S = 45.0
"""How long the windows may take to come."""
STEP_S = 0.5


@dataclass(frozen=True, slots=True)
class Check:
    """One line of the answer."""

    name: str
    ok: bool
    detail: str
    seconds: float


def csv(unit: str, now_s: float) -> bytes:
    """ROWS rows of one unit, five seconds apart, the last one two minutes old; two metrics each."""
    lines = ["timestamp,unit,level,flow"]
    for i in range(ROWS):
        at = datetime.fromtimestamp(int(now_s) - 120 - 5 * (ROWS - 1 - i), UTC)
        lines.append(f"{at:%Y-%m-%dT%H:%M:%SZ},{unit},{i},{ROWS - i}.5")
    return ("\n".join(lines) + "\n").encode()


class Api(Protocol):
    """The HTTP API of a place."""

    def get(self, path: str, query: Mapping[str, str]) -> dict[str, Any]:
        """Raises LevadactlError for a 4xx or 5xx."""

    def post(self, path: str, body: bytes, headers: Mapping[str, str]) -> tuple[int, dict[str, Any]]:
        """(status, answer). Raises UnavailableError."""


@dataclass(frozen=True, slots=True)
class HttpApi:
    """``Api`` over the network."""

    url: str

    def get(self, path: str, query: Mapping[str, str]) -> dict[str, Any]:
        return http.get(self.url, path, query)

    def post(self, path: str, body: bytes, headers: Mapping[str, str]) -> tuple[int, dict[str, Any]]:
        return http.post(self.url, path, body, headers)


class Smoke:
    """The steps on one place, in order; each needs the one before.

    Args:
        close: has archive close what is idle.
    """

    def __init__(self, api: Api, clock: Clock, close: Callable[[], object]) -> None:
        self._api, self._clock, self._close = api, clock, close
        self._began_s = clock.now_s()
        self._unit = f"smoke-{int(self._began_s * 1000):x}"
        self._key = ""

    def run(self) -> Iterator[Check]:
        """Each check as it ends; the first that fails is the last."""
        for name, step in (
            ("health", self._health),
            ("upload", self._upload),
            ("run", self._load),
            ("flush", self._flush),
            ("query", self._query),
        ):
            start = time.monotonic()
            try:
                ok, detail = True, step()
            except (LevadactlError, LevadaError, OSError, KeyError) as err:
                ok, detail = False, " ".join(str(err).split()) or type(err).__name__
            yield Check(name, ok, detail, time.monotonic() - start)
            if not ok:
                return

    def _health(self) -> str:
        return str(self._api.get("/healthz", {}).get("status", "answers"))

    def _upload(self) -> str:
        body = csv(self._unit, self._began_s)
        answer = self._post(f"/v1/upload?domain=telemetry&name={self._unit}.csv", body, "text/csv")
        self._key = str(answer["key"])
        return self._key

    def _load(self) -> str:
        body = json.dumps({"key": self._key}).encode()
        answer = self._until(lambda: self._post("/v1/runs", body, "application/json"), lambda found: found["done"])
        if answer["rows"] != ROWS:
            raise LevadactlError(f"{answer['path']}: {answer['rows']} rows were read, not {ROWS}")
        return f"{answer['rows']} rows of {answer['path']}"

    def _flush(self) -> str:
        """Windows close when the shard has been idle for a while; here they are closed at once, until all are there."""

        def closed() -> int:
            self._close()
            return sum(int(one["count"]) for one in self._windows())

        found = self._until(closed, lambda n: n >= MEASUREMENTS)
        if found != MEASUREMENTS:
            raise LevadactlError(f"{found} values are in windows, not {MEASUREMENTS}")
        return f"{found} values in windows"

    def _query(self) -> str:
        windows = self._windows(metric="level")
        total = sum(one["sum"] for one in windows)
        if total != sum(range(ROWS)):
            raise LevadactlError(f"level: the windows' sum is {total}, not {sum(range(ROWS))}")
        return f"{len(windows)} windows of {self._unit}, their sum is right"

    def _windows(self, **query: str) -> list[dict[str, Any]]:
        query |= {"domain": "telemetry", "unit": self._unit, "limit": "1000"}
        found: list[dict[str, Any]] = self._api.get("/v1/windows", query)["windows"]
        return found

    def _post(self, path: str, body: bytes, kind: str) -> dict[str, Any]:
        status, answer = self._api.post(path, body, {"Content-Type": kind})
        if status >= 300:
            raise LevadactlError(f"{path}: HTTP {status}: {answer.get('error', answer)}")
        return answer

    def _until(self, ask: Callable[[], Any], enough: Callable[[Any], bool]) -> Any:
        end_s = self._clock.now_s() + WAIT_S
        while not enough(found := ask()) and self._clock.now_s() < end_s:
            self._clock.sleep(STEP_S)
        return found


def line(check: Check) -> str:
    """``OK    upload  landing/… (0.1 s)``"""
    return f"{'OK' if check.ok else 'FAIL':<5} {check.name:<7} {check.detail} ({check.seconds:.1f} s)"
