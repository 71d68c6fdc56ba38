"""What one batch makes: partials of windows, latest states of entities, notes of who was late."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import pyarrow as pa

from levada.aggregate.layers import Stream
from levada.core.parts import Parts


@dataclass(slots=True)
class Windowed:
    """What one batch adds to the state."""

    partials: list[Parts] = field(default_factory=list)
    latest: list[pa.Table] = field(default_factory=list)
    late: list[pa.Table] = field(default_factory=list)
    highest_us: dict[Stream, int] = field(default_factory=dict)
    counts: dict[str, Counter[str]] = field(default_factory=dict)
    """Domain → rows, undated, late."""
