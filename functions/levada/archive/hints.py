"""A note of which days of gold all rollups hold, so that the hourly run need not look into every day again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from levada.core import keys
from levada.core.errors import ConflictError
from levada.core.periods import Calendar
from levada.ports import Blob, BlobStore


@dataclass(slots=True)
class Hint:
    """Which days of gold all rollups are known to hold. Only a saving: without it every day is looked into again."""

    domain: str
    zone: str
    days: dict[str, str] = field(default_factory=dict)
    """Day → digest of the names of its gold objects."""
    etag: str | None = None

    @classmethod
    def load(cls, blobs: BlobStore, domain: str, calendar: Calendar) -> Hint:
        try:
            body, etag = blobs.get(keys.rollup_hint(domain))
        except KeyError:
            return cls(domain, calendar.name)
        raw = json.loads(body)
        return cls(domain, calendar.name, dict(raw["days"]) if raw["zone"] == calendar.name else {}, etag)

    def knows(self, day: str, listed: Sequence[Blob]) -> bool:
        return self.days.get(day) == _digest(listed)

    def keep(self, blobs: BlobStore, finished: Mapping[str, Sequence[Blob]]) -> None:
        if not finished:
            return
        self.days |= {day: _digest(listed) for day, listed in finished.items()}
        body: dict[str, Any] = {"zone": self.zone, "days": dict(sorted(self.days.items()))}
        try:
            self.etag = blobs.put_if(keys.rollup_hint(self.domain), json.dumps(body).encode(), etag=self.etag)
        except ConflictError:  # another run has noted what it knows
            return


def _digest(listed: Sequence[Blob]) -> str:
    return hashlib.sha256("\n".join(blob.key for blob in listed).encode()).hexdigest()[:16]
