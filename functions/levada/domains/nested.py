"""Nested values of source rows as Arrow lists, for the functions of domains. Imported when a function runs."""

from __future__ import annotations

from typing import Any

import msgspec
import pyarrow as pa


def lists(texts: pa.ChunkedArray, item: Any, kind: pa.DataType) -> tuple[pa.Array, dict[int, str]]:
    """(n lists of ``kind``, null where there is none; row → what is wrong with it).

    Args:
        texts: n JSON texts, or null: a column that a domain declares as ``json``.
        item: what each list holds, as msgspec knows it: ``float``, a TypedDict …
        kind: the same in Arrow.
    """
    found = [text.encode() if text is not None else b"null" for text in texts.to_pylist()]
    wrong: dict[int, str] = {}
    try:
        values = msgspec.json.decode(b"[" + b",".join(found) + b"]", type=list[list[item] | None])
    except msgspec.ValidationError:  # one of them is no such list: find which
        decode = msgspec.json.Decoder(list[item] | None).decode
        values = []
        for i, text in enumerate(found):
            try:
                values.append(decode(text))
            except msgspec.ValidationError as err:
                values.append(None)
                wrong[i] = str(err)
    return pa.array(values, pa.list_(kind)), wrong
