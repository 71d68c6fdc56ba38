"""Made-up air quality readings in the published UCI dialect: the same seed always gives the same file.

Nothing here knows how levada reads: a ledger counts what was written, so that a test can hold the pipeline to it.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from random import Random

HEADER = (
    "Date;Time;CO(GT);PT08.S1(CO);NMHC(GT);C6H6(GT);PT08.S2(NMHC);NOx(GT);PT08.S3(NOx);NO2(GT);PT08.S4(NO2);"
    "PT08.S5(O3);T;RH;AH;;"
)
VALUES = HEADER.split(";")[2:15]
START = datetime(2004, 3, 10, 18)  # noqa: DTZ001 - the dialect has no zone
LAST = datetime(2020, 1, 1)  # noqa: DTZ001 - no row is later, so that none is ever in the future
STEPS_S = (3600, 60, 1)
DEFAULT_ROWS = 9_357
EMPTY_ROWS = 114
"""Rows of nothing but separators behind the last reading, as the published file has them."""
NO_VALUE = "-200"

DECIMALS = dict(zip(VALUES, (1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1, 1, 4), strict=True))
# Which instruments fail together, how long a failure lasts and how often one begins, in rows.
OUTAGES: tuple[tuple[tuple[str, ...], float, float], ...] = (
    (("CO(GT)",), 6, 0.03),
    (("NOx(GT)", "NO2(GT)"), 12, 0.012),
    (("NMHC(GT)",), 400, 0.02),
    (tuple(n for n in VALUES if n.startswith("PT08") or n in ("C6H6(GT)", "T", "RH", "AH")), 10, 0.004),
)
BAD_KINDS = ("too_few_fields", "not_a_number", "not_a_time")


@dataclass(slots=True)
class Ledger:
    """Exactly what was written. ``values`` counts fields of good rows that hold a number and not the sentinel."""

    rows: int = 0
    """Lines with a reading, good and bad."""
    good: int = 0
    empty: int = 0
    sentinels: int = 0
    """Fields of good rows that hold -200."""
    nox_above_1000: int = 0
    bad: Counter[str] = field(default_factory=Counter)
    """Broken lines by the reason for which they cannot be read."""
    bad_lines: list[tuple[int, str, str]] = field(default_factory=list)
    """(line of the file, 1 = the header; reason; the line) of every broken one."""

    @property
    def measurements(self) -> int:
        return self.good * len(VALUES)

    @property
    def values(self) -> int:
        return self.measurements - self.sentinels


def rows(seed: int, n: int, *, every_s: int | None = None) -> Iterator[list[str]]:
    """n readings as text fields (date, time, 13 values, two empty ones), ascending in time, without gaps.

    Hourly as the original; where n hours would reach beyond 2020 every minute, or every second. ``every_s`` decides
    otherwise.

    Raises ValueError when the last reading would be later than that all the same.
    """
    step = timedelta(seconds=_step_s(n, STEPS_S if every_s is None else (every_s,)))
    chance = Random(seed)
    weather = _Weather()
    outages = _Outages()
    for i in range(n):
        at = START + i * step
        reading = weather.next(at, chance)
        down = outages.next(chance)
        fields = [NO_VALUE if name in down else _text(reading[name], DECIMALS[name]) for name in VALUES]
        yield [f"{at:%d/%m/%Y}", f"{at:%H.%M.%S}", *fields, "", ""]


def write(
    path: Path,
    *,
    n: int = DEFAULT_ROWS,
    seed: int = 1,
    bad: float = 0.0,
    empty: int = EMPTY_ROWS,
    every_s: int | None = None,
    on_rows: Callable[[float], None] = lambda _: None,
) -> Ledger:
    """Write a file of n readings; a share ``bad`` (0 to 1) of them is broken, in three ways by turns.

    Raises ValueError when a number is out of range, OSError when the file cannot be written.
    """
    if n < 1 or not 0 <= bad <= 1:
        raise ValueError(f"rows={n}, bad={bad}: rows must be at least 1, bad from 0 to 1")
    ledger = Ledger(empty=empty)
    chance = Random(f"{seed} broken")
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="ascii", newline="") as file:
        file.write(HEADER + "\r\n")
        for i, fields in enumerate(rows(seed, n, every_s=every_s)):
            if bad and chance.random() < bad:
                line = _broken(fields, ledger, i + 2, chance)
            else:
                line = ";".join(fields)
                _count(fields, ledger)
            ledger.rows += 1
            file.write(line + "\r\n")
            if ledger.rows % 1000 == 0:
                on_rows(1000)
        on_rows(ledger.rows % 1000)
        file.write((";" * (len(VALUES) + 3) + "\r\n") * empty)
    return ledger


def _count(fields: list[str], ledger: Ledger) -> None:
    ledger.good += 1
    ledger.sentinels += fields.count(NO_VALUE)
    nox = fields[2 + VALUES.index("NOx(GT)")]
    ledger.nox_above_1000 += int(nox) > 1000


def _broken(fields: list[str], ledger: Ledger, line: int, chance: Random) -> str:
    kind = BAD_KINDS[ledger.bad.total() % len(BAD_KINDS)]
    if kind == "too_few_fields":
        text = ";".join(fields[: chance.randrange(2, 2 + len(VALUES))])
    elif kind == "not_a_number":
        text = ";".join([*fields[:4], "n/a", *fields[5:]])
    else:
        text = ";".join([f"31/02/{fields[0][-4:]}", *fields[1:]])
    ledger.bad[kind] += 1
    ledger.bad_lines.append((line, kind, text))
    return text


def _step_s(n: int, allowed: tuple[int, ...]) -> int:
    span_s = (LAST - START).total_seconds()
    for step_s in allowed:
        if n * step_s <= span_s:
            return step_s
    raise ValueError(f"rows={n}: at most {int(span_s / allowed[-1])}, one every {allowed[-1]} s")


def _text(value: float, decimals: int) -> str:
    return f"{value:.{decimals}f}".replace(".", ",")


class _Outages:
    """Instruments that are down: each group switches between two states, so that failures come in runs."""

    def __init__(self) -> None:
        self._down = [False] * len(OUTAGES)

    def next(self, chance: Random) -> set[str]:
        """Columns without a value in the next row."""
        out: set[str] = set()
        for i, (names, length, often) in enumerate(OUTAGES):
            turn = chance.random() < (1 / length if self._down[i] else often)
            self._down[i] ^= turn
            if self._down[i]:
                out.update(names)
        return out


class _Weather:
    """A street: traffic by hour and weekday, stagnant spells in winter, and what the instruments make of them."""

    def __init__(self) -> None:
        self._air = 0.0
        self._warm = 0.0

    def next(self, at: datetime, chance: Random) -> dict[str, float]:
        hour = at.hour + at.minute / 60
        season = math.cos((at.timetuple().tm_yday - 15) / 365 * 2 * math.pi)  # 1 in mid January, -1 in July
        rush = math.exp(-(((hour - 8.5) / 2) ** 2)) + 0.9 * math.exp(-(((hour - 19) / 2.5) ** 2))
        weekend = 0.6 if at.weekday() >= 5 else 1.0
        self._air = 0.9 * self._air + chance.gauss(0, 0.16)
        self._warm = 0.95 * self._warm + chance.gauss(0, 0.7)
        dirt = (0.25 + rush * weekend) * (1 + 0.35 * season) * math.exp(self._air)
        warmth = 17 - 10 * season + 5 * math.sin((hour - 9) / 24 * 2 * math.pi) + self._warm
        humid = min(88.0, max(9.0, 52 - 1.4 * (warmth - 17) + chance.gauss(0, 6)))
        noise = chance.gauss
        return {
            "CO(GT)": max(0.1, 2.2 * dirt + noise(0, 0.1)),
            "PT08.S1(CO)": 800 + 260 * math.log1p(2 * dirt) + noise(0, 20),
            "NMHC(GT)": max(7.0, 170 * dirt + noise(0, 10)),
            "C6H6(GT)": max(0.1, 9.5 * dirt + noise(0, 0.3)),
            "PT08.S2(NMHC)": 480 + 430 * math.log1p(2 * dirt) + noise(0, 15),
            "NOx(GT)": max(2.0, 260 * dirt * (1 + 0.55 * season) + noise(0, 10)),
            "PT08.S3(NOx)": 380 + 900 / (1 + 1.5 * dirt) + noise(0, 15),
            "NO2(GT)": min(340.0, max(2.0, 60 + 70 * math.log1p(dirt) + noise(0, 8))),
            "PT08.S4(NO2)": 900 + 22 * warmth + 200 * math.log1p(dirt) + noise(0, 20),
            "PT08.S5(O3)": 350 + 700 * math.log1p(dirt) + noise(0, 25),
            "T": warmth,
            "RH": humid,
            "AH": humid / 1000 * 6.1094 * math.exp(17.625 * warmth / (warmth + 243.04)),
        }
