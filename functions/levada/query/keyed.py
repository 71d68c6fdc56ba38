"""Lists whose pages follow each other by the key of the last row: ``after``, an answer's ``next`` as it was given."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from levada.query import parameters, windows
from levada.query.errors import ParameterError

R = TypeVar("R")
Key = tuple[Any, ...]
"""What tells the rows of a list apart, and puts them in order: texts and whole numbers."""


@dataclass(frozen=True, slots=True)
class Page(Generic[R]):
    """Some rows of a list, in order of their keys."""

    rows: Sequence[R]
    following: Key | None
    """The key behind which the next page begins; None when this is the last page."""


@dataclass(frozen=True, slots=True)
class Order(Generic[R]):
    """How a list is ordered."""

    key: Callable[[R], Key]
    form: tuple[type[str] | type[int], ...] = (str, str, str, str)
    """Types of the key's parts."""

    def page(self, rows: Sequence[R], query: Mapping[str, str]) -> Page[R]:
        """The rows behind ``after``, as many as ``limit`` says. Raises ParameterError.

        Args:
            rows: all there are, in this order, no two with the same key.
        """
        limit, behind = parameters.limit_of(query), self._after(query)
        if behind is not None:
            rows = [row for row in rows if self.key(row) > behind]
        return Page(rows[:limit], self.key(rows[limit - 1]) if len(rows) > limit else None)

    def cut(self, found: Page[R], limit: int) -> Page[R]:
        """The first of its rows only."""
        return Page(found.rows[:limit], self.key(found.rows[limit - 1]))

    def _after(self, query: Mapping[str, str]) -> Key | None:
        if "after" not in query:
            return None
        try:
            key = tuple(parameters.decoded(query["after"]))
        except ValueError:
            key = ()
        if tuple(type(part) for part in key) != self.form:
            raise ParameterError("after", query["after"], "the next of an answer as it was given")
        return key


BY_SERIES: Order[Mapping[str, str]] = Order(windows.key_of)
"""Series, or one row of each."""


def cursor(key: Key | None) -> str | None:
    """The ``after`` of the next page, None after the last one."""
    return None if key is None else parameters.encoded(key)
