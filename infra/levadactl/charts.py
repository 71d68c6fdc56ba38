"""Charts in a terminal, of characters."""

from __future__ import annotations

from collections.abc import Sequence

BARS = "▁▂▃▄▅▆▇█"
NOTHING = " "


def resample(values: Sequence[float | None], width: int) -> list[float | None]:
    """At most ``width`` means of neighbouring values, in order; None where a stretch holds none."""
    n = len(values)
    if n <= width:
        return list(values)
    out: list[float | None] = []
    for i in range(width):
        there = [v for v in values[i * n // width : (i + 1) * n // width] if v is not None]
        out.append(sum(there) / len(there) if there else None)
    return out


def sparkline(values: Sequence[float | None], width: int = 60) -> str:
    """One character per value, low to high; blanks where there is none. At most ``width`` characters."""
    shown = resample(values, width)
    there = [v for v in shown if v is not None]
    if not there:
        return NOTHING * len(shown)
    low, high = min(there), max(there)
    step = (high - low) / len(BARS)

    def bar(value: float | None) -> str:
        if value is None:
            return NOTHING
        return BARS[min(len(BARS) - 1, int((value - low) / step))] if step else BARS[0]

    return "".join(bar(value) for value in shown)


def plot(values: Sequence[float | None], *, width: int = 60, height: int = 6) -> list[str]:
    """Columns of ``height`` lines from the axis (the lowest value, or 0 where none is below) up; top line first."""
    shown = resample(values, width)
    there = [v for v in shown if v is not None]
    if not there:
        return [NOTHING * len(shown)] * height
    low, high = min(0.0, *there), max(there)
    scale = height * len(BARS) / (high - low) if high > low else 0.0
    levels = [None if v is None else round((v - low) * scale) for v in shown]
    return ["".join(_cell(level, row) for level in levels) for row in reversed(range(height))]


def _cell(level: int | None, row: int) -> str:
    rest = 0 if level is None else level - row * len(BARS)
    if rest <= 0:
        return NOTHING
    return BARS[min(rest, len(BARS)) - 1]


def number(value: float | None) -> str:
    """A number in a table: four significant digits, nothing for None."""
    if value is None:
        return ""
    return f"{value:,.0f}" if abs(value) >= 10_000 else f"{value:.4g}"
