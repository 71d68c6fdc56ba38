"""What ``levada reprocess`` needs of a place, and which days it is about."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from levada.config import Config
from levada.core.keys import UNDATED
from levada.core.periods import DAY_US, Calendar, us_of
from levada.core.retention import Keep
from levada.domains.declaration import Domain
from levada.ports import BlobStore, Clock, ServingStore
from levadactl.errors import LevadactlError


class ReprocessError(LevadactlError):
    """It cannot be done as asked; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """A place, as far as making days anew is concerned."""

    blobs: BlobStore
    serving: ServingStore
    clock: Clock
    config: Config
    """Of the deployed clean function."""
    domain: Domain
    """As the code that is here declares it."""
    calendar: Calendar
    keep: Keep
    waiting: Callable[[], str]
    """Why dead letters must be dealt with first; empty when none may come again."""
    roll_up: Callable[[str], Mapping[str, Any]]
    """Have rollups made from this day on, and the KPI that follow; their counts. Raises when some could not be made."""


@dataclass(frozen=True, slots=True)
class Days:
    """Whole days of UTC, ``[since_us, until_us)`` in microseconds; without any bound also the undated rows."""

    since_us: int | None = None
    until_us: int | None = None

    @classmethod
    def touched(cls, since_us: int | None, until_us: int | None) -> Days:
        """Every day of which some of this time is.

        Raises ReprocessError when there is none.
        """
        since_us = None if since_us is None else since_us // DAY_US * DAY_US
        until_us = None if until_us is None else -(-until_us // DAY_US) * DAY_US
        if since_us is not None and until_us is not None and since_us >= until_us:
            raise ReprocessError("--until: must be later than --since: there is no day between them")
        return cls(since_us, until_us)

    def __contains__(self, date: object) -> bool:
        if date == UNDATED:
            return self.since_us is None and self.until_us is None
        us = us_of(str(date))
        return (self.since_us is None or us >= self.since_us) and (self.until_us is None or us < self.until_us)
