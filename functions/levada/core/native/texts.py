"""Columns of text by the compiled kernels, to numbers and times, and whether they ascend: buffers of Arrow columns in
and out. No numpy here: clean has none."""

from __future__ import annotations

import ctypes
import re
from collections.abc import Callable
from typing import Any, NamedTuple

import pyarrow as pa

from levada.core import native

_POINTER, _WHOLE = ctypes.c_void_p, ctypes.c_int64
_ARGUMENTS: list[Any] = [_WHOLE, *[_POINTER] * 3, _WHOLE, ctypes.c_char_p, _WHOLE, _WHOLE, *[_POINTER] * 4]
WORD = 8
MOST = 64
"""So many odd texts a column may always have, and an eighth of its rows."""

Read = Callable[[pa.Array], tuple[pa.Array, pa.Array]]
"""m texts → (m values, null where there is none; m booleans, true where text is there that holds none)."""


class Form(NamedTuple):
    """How texts are written, as the kernel reads it."""

    layout: bytes
    width: int = 0


NUMBER = Form(b"")
_PARTS = "YmdHMS"
_PIECE = re.compile(r"([^%]+)|%(.?)", re.DOTALL)
_NOWHERE = 255


def time_form(form: str, *, alone: bool) -> Form | None:
    """Of times in a strptime format of year, month, day and maybe hour, minute, second, all with all their digits.

    None for any other format.

    Args:
        alone: nothing but ISO 8601 is tried beside this format.
    """
    if form != form.strip():
        return None  # a text is read without the blanks around it
    least = bytearray()
    places: dict[str, int] = {}
    for literal, part in _PIECE.findall(form):
        if literal:
            least += literal.encode()
        elif not part or part not in _PARTS or part in places:
            return None
        else:
            places[part] = len(least)
            least += b"0000" if part == "Y" else b"00"
    if not {"Y", "m", "d"} <= set(places) or len(least) >= _NOWHERE:
        return None
    digits = {at + i for part, at in places.items() for i in range(4 if part == "Y" else 2)}
    at = [places.get(part, _NOWHERE) for part in _PARTS]
    # a text of this form and of ISO has its date at the same place in both; or there is no text of both
    sure = alone and (at[:3] == [0, 5, 8] or least[4:5] != b"-")
    above = bytes(9 if i in digits else 0 for i in range(len(least)))
    return Form(bytes((*at, sure)) + least + above, len(least))


def read(texts: pa.Array, form: Form, kind: pa.DataType, read_odd: Read) -> tuple[pa.Array, pa.Array] | None:
    """(values of n texts, null where there is none; n booleans, true where text is there that holds none).

    None where there is no kernel, or too many of the texts are not plain to be worth it.

    Args:
        form: how they are written.
        kind: what the values become, 8 bytes wide.
        read_odd: says the same of the few that are written otherwise.
    """
    library = native.library()
    n = len(texts)
    if library is None or texts.type != pa.string() or not n:
        return None
    most, bits = max(MOST, n // 8), (n + 7) // 8
    values, known, wrong, odd = (pa.allocate_buffer(size) for size in (WORD * n, bits, bits, 4 * min(n, most)))
    valid, offsets, text = (None if one is None else one.address for one in texts.buffers())
    call = library.levada_decimals if form is NUMBER else library.levada_moments
    call.restype, call.argtypes = _WHOLE, _ARGUMENTS
    odds = call(
        n, offsets + 4 * texts.offset, text, valid, texts.offset,
        form.layout, form.width, most, values.address, known.address, wrong.address, odd.address,
    )  # fmt: skip
    if odds > most:
        return None
    if odds:
        places = pa.Array.from_buffers(pa.int32(), odds, [None, odd])
        _put(places, read_odd(texts.take(places)), (values, known, wrong))
    result = pa.Array.from_buffers(kind, n, [known, values])
    if not result.null_count:
        result = pa.Array.from_buffers(kind, n, [None, values], 0)
    return result, pa.Array.from_buffers(pa.bool_(), n, [None, wrong], 0)


def ascending(texts: pa.Array) -> bool | None:
    """Is each of n texts more than the one before? None where there is no kernel. Without nulls."""
    library = native.library()
    if library is None or texts.type != pa.string():
        return None
    _, offsets, text = texts.buffers()
    call = library.levada_ascending
    call.restype, call.argtypes = _WHOLE, [_WHOLE, _POINTER, _POINTER]
    return bool(call(len(texts), offsets.address + 4 * texts.offset, text.address if text else None))


def _put(places: pa.Array, odd: tuple[pa.Array, pa.Array], into: tuple[pa.Buffer, pa.Buffer, pa.Buffer]) -> None:
    """What was found of the odd texts, each in its place."""
    some, none = odd
    values, known, wrong = (memoryview(buffer).cast("B") for buffer in into)
    words, found = values.cast("q"), memoryview(some.buffers()[1]).cast("B").cast("q")[some.offset :]
    rows = zip(places.to_pylist(), found, some.is_valid().to_pylist(), none.to_pylist(), strict=False)
    for at, word, is_known, is_wrong in rows:
        if is_known:
            words[at] = word
            known[at >> 3] |= 1 << (at & 7)
        elif is_wrong:
            wrong[at >> 3] |= 1 << (at & 7)
