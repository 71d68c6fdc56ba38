"""Every domain by file, HTTP and stream, good and each kind of bad: the table in docs/domains.md, cell by cell."""

from __future__ import annotations

import pytest

from levada.domains.registry import registered
from levadactl.domain_pages import http_cell
from levadactl.domain_samples import SAMPLES, reason_of
from tests.unit.domains.matrix import WAYS, Arrived, send

TABLES = ("file (CSV)", "file (Parquet)")
"""Ways in which every cell is text, so that none can hold a list or an object: there is no ``not_a_text``."""
CELLS = [
    (domain, way, kind)
    for domain, sample in SAMPLES.items()
    for way in WAYS
    for kind in ("good", *sample.bad)
    if kind != "not_a_text" or way not in TABLES
]


def outcome(arrived: Arrived) -> tuple[list[tuple[object, ...]], list[tuple[object, ...]]]:
    """What must not depend on the way."""
    events = [
        (r["time"], r["entity_type"], r["entity_id"], r["event_type"], r["value"], r["item"]) for r in arrived.events
    ]
    return sorted(events, key=str), sorted(
        ((r["time"], r["site"], r["unit"], r["series"], r["metric"], r["value"]) for r in arrived.measured), key=str
    )


def test_every_domain_has_samples() -> None:
    assert set(SAMPLES) == set(registered())


@pytest.mark.parametrize(("domain", "way", "kind"), CELLS)
def test_a_cell_of_the_table(domain: str, way: str, kind: str) -> None:
    """Bad items stand between good ones, which must come through."""
    sample = SAMPLES[domain]
    if kind == "good":
        arrived = send(domain, sample.good, way, sample.header())
        assert (arrived.rows, arrived.refused, arrived.answers) == (len(sample.good), {}, [])
        assert arrived.events or arrived.measured
        return
    good = sample.good[0]
    items = [good, sample.bad[kind], good]
    header = dict.fromkeys((*sample.header(), *sample.bad[kind]))
    arrived = send(domain, items, way, tuple(header))

    if way == "HTTP" and http_cell(kind) == "refused":  # at the door, with the index of the item
        assert [error["index"] for error in arrived.answers] == [1]
        assert arrived.refused == {}
    else:
        assert arrived.refused == {reason_of(kind): 1}
    assert arrived.rows == 2


@pytest.mark.parametrize("domain", SAMPLES)
def test_good_items_become_the_same_rows_by_whatever_way_they_come(domain: str) -> None:
    sample = SAMPLES[domain]
    outcomes = {way: outcome(send(domain, sample.good, way, sample.header())) for way in WAYS}

    first = next(iter(outcomes.values()))
    assert {way: found for way, found in outcomes.items() if found != first} == {}
