"""What any domain must keep to, checked on examples of its own payloads: ``levada domain check``, and a pytest fixture.

In a test of your package:

    import pytest
    from levadactl.domain_contract import CHECKS, Subject

    @pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
    def test_contract(check):
        check(Subject(PUMP, EXAMPLES))
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from levada.core.timetexts import EPOCHS
from levada.domains.declaration import JSON, NUMBER, Domain
from levadactl.testing import Cleaned

Item = Mapping[str, Any]
HOSTILE: tuple[object, ...] = (
    [],
    {},
    {"a": [1]},
    True,
    "",
    " ",
    "x" * 70_000,
    "\u0000",
    1e308,
    -1,
    2**70,
    "1e999",
    None,
)
"""What a sender may put into any field."""


@dataclass(frozen=True, slots=True)
class Subject:
    """A domain, and payloads that it takes."""

    domain: Domain
    examples: Sequence[Item]

    def cleaned(self) -> Cleaned:
        return Cleaned(self.domain)


Check = Callable[[Subject], None]
"""Raises AssertionError with what is wrong."""


def every_example_is_taken(subject: Subject) -> None:
    cleaned = subject.cleaned()
    cleaned.run([cleaned.pack(*subject.examples)])
    _none_refused(cleaned)
    _must(cleaned.rows("silver/") or cleaned.rows("events/"), "the examples make no measurement and no event")


def objects_and_columns_give_the_same(subject: Subject) -> None:
    """As JSON objects, and as columns of text, which is what a CSV file is."""
    objects, texts = subject.cleaned(), subject.cleaned()
    objects.run([objects.pack(*subject.examples)])
    names = list(dict.fromkeys(name for item in subject.examples for name in item))
    mark = subject.domain.decimal or "."
    texts.run([texts.table({name: [_text(item.get(name), mark) for item in subject.examples] for name in names})])
    _none_refused(texts)
    _same(_content(objects), _content(texts), "as columns of text")


def neighbours_do_not_matter(subject: Subject) -> None:
    """Each row by itself gives what it gives among others: a batch may be cut anywhere."""
    together, apart = subject.cleaned(), subject.cleaned()
    together.run([together.pack(*subject.examples)])
    for n, item in enumerate(subject.examples):
        apart.run([apart.pack(item, n=n)])
    _same(_content(together), _content(apart), "each row in a batch of its own")


def a_redelivery_changes_nothing(subject: Subject) -> None:
    cleaned = subject.cleaned()
    body = cleaned.pack(*subject.examples)
    cleaned.run([body, body])
    once = _content(cleaned)
    cleaned.again([body, body], 1)
    _same(once, _content(cleaned), "delivered again")
    _must(cleaned.counters()["rows"] == len(subject.examples), "a pack that came twice is counted twice")


def every_row_has_an_identity_of_its_own(subject: Subject) -> None:
    """Or readers would take two rows for one: a metric may stand once in a source row."""
    cleaned = subject.cleaned()
    cleaned.run([cleaned.pack(*subject.examples)])
    for prefix, last in (("silver/", "metric"), ("events/", "item")):
        found = Counter((r["source"], r["position"], r["row"], r[last]) for r in cleaned.rows(prefix))
        twice = [place for place, n in found.items() if n > 1]
        _must(not twice, f"{prefix}: (source, position, row, {last}) stands twice: {twice[:3]}")


def no_field_can_stop_the_batch_or_get_lost(subject: Subject) -> None:
    """Whatever stands in a field, the row passes or lies in quarantine, and the rows beside it pass."""
    good = subject.examples[0]
    for name in dict.fromkeys((*good, *subject.domain.columns)):
        items = [good, *(dict(good) | {name: value} for value in HOSTILE), good]
        cleaned = subject.cleaned()
        summary = cleaned.run([cleaned.pack(*items)])
        _must(summary.rows + summary.quarantined == len(items), f"{name}: {len(items)} rows sent, {summary}")
        kept = {row["row"] for row in cleaned.rows("quarantine/")}
        _must(not {0, len(items) - 1} & kept, f"{name}: a good row beside it was refused")


def a_time_that_is_none_is_quarantined(subject: Subject) -> None:
    good, time = subject.examples[0], subject.domain.time
    cleaned = subject.cleaned()
    cleaned.run([cleaned.pack(good, dict(good) | dict.fromkeys(time.columns, "no time"))])
    _must(cleaned.refused() == {"not_a_time": 1}, f"a wrong time: {dict(cleaned.refused())}")


def rollups_have_names_of_their_own(subject: Subject) -> None:
    """Two rollups of one metric and series would be one window."""
    names = [rollup.metric for rollup in subject.domain.rollups]
    names += [] if subject.domain.long else [metric.name for metric in subject.domain.metrics.values()]
    twice = [name for name, n in Counter(names).items() if n > 1]
    _must(not twice, f"rollups and metrics: {', '.join(twice)} stands twice")


def a_success_is_one_of_the_examples(subject: Subject) -> None:
    """Where examples take part in a success rate, one must be a success: a value misspelt would never be any."""
    cleaned = subject.cleaned()
    cleaned.run([cleaned.pack(*subject.examples)])
    happened = cleaned.rows("events/")
    for rollup in subject.domain.rollups:
        asked = [row for row in happened if all(row[name] in values for name, values in rollup.where.items())]
        good = [row for row in asked if all(row[name] in values for name, values in rollup.success.items())]
        _must(good or not asked or not rollup.success, f"rollup {rollup.metric}: none of {len(asked)} is a success")


CHECKS: tuple[Check, ...] = (
    every_example_is_taken,
    objects_and_columns_give_the_same,
    neighbours_do_not_matter,
    a_redelivery_changes_nothing,
    every_row_has_an_identity_of_its_own,
    no_field_can_stop_the_batch_or_get_lost,
    a_time_that_is_none_is_quarantined,
    rollups_have_names_of_their_own,
    a_success_is_one_of_the_examples,
)


def made_up(domain: Domain) -> list[Item]:
    """Two examples from the declaration alone, for domains without a function; times are in the first format."""
    from datetime import UTC, datetime

    items: list[Item] = []
    for n in range(2):
        at = datetime(2025, 12, 1, 10, n, tzinfo=UTC)
        item: dict[str, Any] = {}
        for name, kind in domain.columns.items():
            item[name] = 1 if kind == NUMBER else {"a": 1} if kind == JSON else f"{name} 1"
        form = domain.time.formats[0]
        unit = EPOCHS.get(form, 0.0) or 1e6
        text = f"{at:%Y-%m-%dT%H:%M:%SZ}" if form == "iso" else str(int(at.timestamp() * 1e6 / unit))
        parts = (
            [text] if form == "iso" or form in EPOCHS else at.strftime(form).split(" ", len(domain.time.columns) - 1)
        )
        item |= dict(zip(domain.time.columns, parts, strict=False))
        for column, metric in domain.metrics.items() if domain.long is None else ():
            item[column] = _valid((metric.low, metric.high), metric.scale, metric.offset)
        if domain.long is not None and domain.metrics:
            known, metric = next(iter(domain.metrics.items()))
            item |= {domain.long.metric: known, domain.long.value: _valid((metric.low, metric.high), 1, 0)}
            item |= {domain.long.uom: metric.uom} if domain.long.uom else {}
        if domain.event_types and "event_type" in domain.events:
            item[domain.events["event_type"]] = domain.event_types[0]
        items.append(item | ({"any": 1.5} if domain.open_metrics and domain.long is None else {}))
    return items


def _valid(limits: tuple[float | None, float | None], scale: float, offset: float) -> float:
    low, high = limits
    value = 1.0 if low is None and high is None else low if high is None else high if low is None else (low + high) / 2
    return ((value or 0.0) - offset) / scale


def _must(holds: object, says: str) -> None:
    """An assertion that python -O keeps."""
    if not holds:
        raise AssertionError(says)


def _none_refused(cleaned: Cleaned) -> None:
    refused = [(row["row"], row["reason"], row["detail"]) for row in cleaned.rows("quarantine/")]
    _must(not refused, f"refused, though an example: {refused[:3]}")


_PLACE = {"shard", "sequence", "source", "position", "row"}


def _content(cleaned: Cleaned) -> Counter[str]:
    """Rows without their identity."""
    found = [(p, row) for p in ("silver/", "events/") for row in cleaned.rows(p)]
    return Counter(f"{p} {sorted((k, str(v)) for k, v in row.items() if k not in _PLACE)}" for p, row in found)


def _same(one: Counter[str], other: Counter[str], how: str) -> None:
    _must(one == other, f"{how}: only before {list(one - other)[:2]}, only then {list(other - one)[:2]}")


def _text(value: object, mark: str) -> str:
    """As a file of the domain would have it, whose decimals stand behind the mark."""
    if value is None:
        return ""
    if isinstance(value, float):
        return json.dumps(value).replace(".", mark)
    return value if isinstance(value, str) else json.dumps(value)
