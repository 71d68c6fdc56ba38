"""numpy columns as the kernels read them: addresses of memory in one piece, of the right type."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

INT64, INT32, FLOAT64, BOOL = (np.dtype(kind) for kind in ("int64", "int32", "float64", "bool"))
WORD = 8
_TYPES: dict[str, Any] = {"n": ctypes.c_int64, "p": ctypes.c_void_p}


@cache
def kernel(library: ctypes.CDLL, name: str, takes: str) -> Callable[..., int]:
    """A function of the library that returns a number.

    Args:
        takes: a letter for each argument, n for a whole number and p for an address (0 for none).
    """
    found = library[name]  # an object of its own: what it takes is said once
    found.restype, found.argtypes = ctypes.c_int64, [_TYPES[letter] for letter in takes]
    return found


def ready(values: NDArray[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
    """As the kernels read them: of this type, in one piece, aligned."""
    if values.dtype == dtype and values.flags.c_contiguous and values.flags.aligned:
        return values
    return np.require(values, dtype, ("C", "A"))


def address(values: NDArray[Any] | None) -> int:
    """0 for none. Arrow finds it three times as fast as ``values.ctypes``."""
    return 0 if values is None else int(pa.py_buffer(values).address)


def places(room: NDArray[Any], *at: int) -> list[int]:
    """Addresses in one piece of memory, 8 bytes a place."""
    base = pa.py_buffer(room).address
    return [base + one * WORD for one in at]
