"""How times are written beyond strptime, said once for those who read columns and those who read single items."""

from __future__ import annotations

OFFSET = r"(?P<z>[Zz]|UTC|GMT|[+-]\d{2}(?::?\d{2})?)"
ISO = r"(?P<d>\d{4}-\d{2}-\d{2})(?:[T ](?P<t>\d{2}:\d{2})(?::(?P<s>\d{2})(?:[.,](?P<f>\d{1,9}))?)?)? ?" + OFFSET + "?"
"""ISO 8601, extended form: date, clock, seconds, fraction, offset. To match the whole text."""
ENDS = r"(?P<a>.*?) ?" + OFFSET
"""A time and its offset from UTC."""
FRACTION = r"(?P<a>.*:\d{2})[.,](?P<f>\d{1,9})(?P<b>.*)"
"""A time with a fraction behind its seconds."""
NUMBER = r"[+-]?\d+(\.\d*)?([eE][+-]?\d+)?"
WHOLE = r"[+-]?(?:\d{1,18}|[1-8]\d{18})"

EPOCHS = {"epoch": 0.0, "epoch_s": 1e6, "epoch_ms": 1e3, "epoch_us": 1.0, "epoch_ns": 1e-3}
"""Format → microseconds per unit; 0 where the size of the number decides."""
GUESSES = ((1e11, 1e6), (1e14, 1e3), (1e17, 1.0), (float("inf"), 1e-3))
"""Of ``epoch``: numbers below → microseconds per unit. Seconds reach the year 5138, milliseconds begin in 1973."""
FIRST_US, LAST_US = -62_135_596_800_000_000, 253_402_300_799_999_999
"""Of the years 1 and 9999."""


def plain(form: str) -> str:
    """The strptime format without ``.%f`` and ``%z``."""
    return form.replace(".%f", "").replace("%f", "").replace(" %z", "").replace("%z", "")
