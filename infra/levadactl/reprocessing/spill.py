"""Rows by layer and day, more of them than fit into memory: kept in a folder until a day is asked for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

MAX_ROWS = 1_000_000
"""Rows that are held in memory, and that one table has at most when they are read back, but for one day's overhang."""


class Spill:
    """Tables of one schema per layer."""

    def __init__(self, folder: Path, *, max_rows: int = MAX_ROWS) -> None:
        self._folder, self._max_rows = folder, max_rows
        self._held: dict[tuple[str, str], list[pa.Table]] = {}
        self._rows = 0
        self._files: Counter[tuple[str, str]] = Counter()

    def add(self, layer: str, date: str, rows: pa.Table) -> None:
        self._held.setdefault((layer, date), []).append(rows)
        self._rows += rows.num_rows
        if self._rows >= self._max_rows:
            self._flush()

    def dates(self, layer: str) -> set[str]:
        return {date for name, date in {*self._held, *self._files} if name == layer}

    def read(self, layer: str, date: str) -> Iterator[pa.Table]:
        """The day's rows, table by table."""
        self._flush()
        some: list[pa.Table] = []
        for n in range(self._files[layer, date]):
            some.append(pq.read_table(self._path(layer, date, n)))
            if sum(table.num_rows for table in some) >= self._max_rows:
                yield pa.concat_tables(some).unify_dictionaries().combine_chunks()
                some = []
        if some:
            yield pa.concat_tables(some).unify_dictionaries().combine_chunks()

    def _flush(self) -> None:
        for (layer, date), tables in self._held.items():
            path = self._path(layer, date, self._files[layer, date])
            path.parent.mkdir(parents=True, exist_ok=True)
            pq.write_table(pa.concat_tables(tables).unify_dictionaries(), path, compression="lz4")
            self._files[layer, date] += 1
        self._held, self._rows = {}, 0

    def _path(self, layer: str, date: str, n: int) -> Path:
        return self._folder / layer / date / f"{n}.parquet"
