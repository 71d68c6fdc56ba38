"""Event times of single items, without pyarrow: what ``clean`` reads (``clean/times.py``), read the same way."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from levada.domains.declaration import Domain, Time
from levada.ingest.lanes import text_of

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_ONE_DIGIT = re.compile(r"\b(\d)\b")


class NotATimeError(ValueError):
    """A text is there that is no time."""


def instant_of(item: Mapping[str, Any], domain: Domain) -> int | None:
    """Microseconds since 1970-01-01 UTC; None where the item has no time. Raises NotATimeError."""
    texts = [text_of(item.get(name)) for name in domain.time.columns]
    if len(texts) > 1:  # a date column and a time column, each with separators of its own taste
        texts = [*(_separators(t, "-") for t in texts[:-1]), _separators(texts[-1], ":")]
    joined = " ".join(texts)
    return None if not joined.strip() else _parse(joined, domain.time)


def _separators(text: str, mark: str) -> str:
    return text.replace("/", "-").replace(".", mark)


def _parse(text: str, spec: Time) -> int:
    padded = _ONE_DIGIT.sub(r"0\1", text)
    for form in spec.formats:
        try:
            found = datetime.strptime(padded, form).replace(tzinfo=UTC)
        except ValueError:
            continue
        return (found - EPOCH) // timedelta(microseconds=1)
    raise NotATimeError(text)
