"""What a column of whole numbers in few bytes is."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Column = tuple[str, int, Any]
"""(dtype, lowest, bytes) of n numbers; without dtype and bytes where all are the lowest. As they are where they take 8
bytes, with 0 as the lowest."""
Widened = tuple[NDArray[np.int64], NDArray[np.int32]]
UNSIGNED = ((0xFF, "|u1"), (0xFFFF, "<u2"), (0xFFFF_FFFF, "<u4"))
WIDE = "<i8"
SIZES = {"": 0, "|u1": 1, "<u2": 2, "<u4": 4, WIDE: 8}
"""Bytes of a number."""
