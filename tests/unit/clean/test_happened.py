"""Events: rows that say what happened to whom, their items, and what a domain's function makes of them."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest

from levada.clean import outgoing
from levada.clean.derived import MAX_ITEMS
from levada.core.errors import ConfigError
from levada.core.records import event_schema
from levada.domains.declaration import Derived, Domain, Time
from levada.domains.jobs import JOBS
from levadactl.testing import Cleaned

AT = "2025-12-01T00:00:00Z"


def job(event: str = "started", **more: object) -> dict[str, object]:
    return {"domain": "jobs", "time": AT, "site": "s", "entity": "job", "id": "j1", "event": event} | more


def split(rows: pa.Table) -> Derived:
    """``n`` events per row; fails for 13, and refuses 7."""
    counts = rows["n"].to_pylist()
    if 13 in counts:
        raise ValueError("thirteen")
    at = [i for i, n in enumerate(counts) for _ in range(int(n))]
    events = pa.table({"at": pa.array(at, pa.int32()), "entity_id": [f"e{i}" for i in range(len(at))]})
    events = events.append_column("entity_type", pa.array(["x"] * len(at)))
    measured = pa.table(
        {"at": pa.array(range(len(counts)), pa.int32()), "metric": ["n"] * len(counts), "value": counts}
    )
    return Derived(measured, events, [(i, "unlucky", "n=7") for i, n in enumerate(counts) if n == 7])


SPLIT = Domain(
    name="split",
    time=Time(columns=("t",), formats=("iso",)),
    further={"n": "number"},
    derive=split,
    keys={"series": "s"},
)


def test_an_event_has_the_columns_of_its_schema_and_status_follows_from_what_happened() -> None:
    cleaned = Cleaned(JOBS)

    failed = job("error", entity="subjob", parent="j0", duration_s=5)
    cleaned.json(job(metrics={"cpu": [1, 2]}, idempotency_key="k"), failed)

    first, second = sorted(cleaned.rows("events/domain=jobs/date=2025-12-01/"), key=lambda r: str(r["entity_type"]))
    assert (first["entity_type"], first["status"], first["severity"]) == ("job", "running", "info")
    assert first["event_id"] == "k"
    assert first["attributes"] == '{"cpu": [1, 2]}'
    assert (second["entity_type"], second["parent_id"], second["status"]) == ("subjob", "j0", "failed")
    assert (second["severity"], second["duration_s"], second["item"]) == ("error", 5.0, 0)
    for header, published in cleaned.published():
        assert published.schema.equals(event_schema(JOBS.fields))
        assert header.extra is not None
        assert header.extra["kind"] == "event"
        assert "#jobs#default#e" in header.source
    counts = cleaned.counters()
    assert (counts["rows"], counts["events"], counts["measurements"]) == (2, 2, 0)


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "no entity": (job(id=""), "missing_field"),
    "no site": (job(site=None), "missing_field"),
    "no time": (job(time=""), "missing_field"),
    "an event that there is not": (job("exploded"), "unknown_event_type"),
    "a time beyond the skew": (job(time="2026-01-01T00:11:00Z"), "future_time"),
    "a list for a text": (job(id=["j"]), "not_a_text"),
    "text for a number": (job(duration_s="long"), "not_a_number"),
    "something else": ({"domain": "jobs", "a": 1}, "no_known_field"),
}


@pytest.mark.parametrize("what", BAD)
def test_a_bad_event_goes_to_quarantine_and_its_neighbours_on(what: str) -> None:
    cleaned = Cleaned(JOBS)

    summary = cleaned.run([cleaned.pack(job(), BAD[what][0], job("finished"))])

    assert (summary.rows, summary.quarantined, cleaned.refused()) == (2, 1, {BAD[what][1]: 1})
    assert {r["row"] for r in cleaned.rows("events/")} == {0, 2}


def test_text_that_is_no_json_is_found_among_columns() -> None:
    cleaned = Cleaned(JOBS)
    same = {"time": [AT] * 3, "site": ["s"] * 3, "entity": ["job"] * 3, "event": ["metric"] * 3, "id": ["a", "b", "c"]}

    cleaned.run([cleaned.table(same | {"metrics": ['{"a":1}', "1],[2", ""]})])

    assert cleaned.refused() == {"not_json": 1}
    assert {r["entity_id"]: r["attributes"] for r in cleaned.rows("events/")} == {"a": '{"a":1}', "c": None}


def test_a_row_may_give_several_events_and_measurements_and_items_count_from_0() -> None:
    cleaned = Cleaned(SPLIT)

    cleaned.json(*({"t": AT, "s": "a", "n": n} for n in (2, 0, 3)))

    events = sorted((int(r["sequence"]) % 10, r["item"]) for r in cleaned.rows("events/"))
    assert events == [(1, 0), (1, 1), (3, 0), (3, 1), (3, 2)]
    assert sorted(r["value"] for r in cleaned.rows("silver/")) == [0, 2, 3]
    assert (cleaned.counters()["rows"], cleaned.counters()["events"], cleaned.counters()["measurements"]) == (3, 5, 3)


def test_rows_that_the_function_refuses_or_fails_with_are_named_and_others_go_on() -> None:
    cleaned = Cleaned(SPLIT)

    cleaned.run([cleaned.pack(*({"t": AT, "s": "a", "n": n} for n in (1, 7, 13, 2, MAX_ITEMS + 1)))])

    refused = {r["row"]: (r["reason"], r["detail"]) for r in cleaned.rows("quarantine/")}
    assert refused == {
        1: ("unlucky", "n=7"),
        2: ("derive_failed", "ValueError: thirteen"),
        4: ("too_many_items", f"more than {MAX_ITEMS} of one row"),
    }
    assert {r["row"] for r in cleaned.rows("events/")} == {r["row"] for r in cleaned.rows("silver/")} == {0, 3}


def test_a_function_that_returns_what_is_no_event_stops_the_deployment() -> None:
    wrong = Domain(
        name="wrong",
        time=SPLIT.time,
        further={"n": "number"},
        derive=lambda rows: Derived(events=pa.table({"at": [0], "colour": ["red"]})),
    )

    with pytest.raises(ConfigError, match="colour"):
        Cleaned(wrong).json({"t": AT, "n": 1})


def test_no_source_row_is_cut_in_two(monkeypatch: pytest.MonkeyPatch) -> None:
    """The next stage's fence is (sequence, row): half a row would be taken for a duplicate."""
    monkeypatch.setattr(outgoing, "MAX_ROWS", 4)
    cleaned = Cleaned(SPLIT)

    cleaned.run([cleaned.pack(*({"t": AT, "s": "a", "n": n} for n in (3, 3, 9, 1)))])

    places: dict[tuple[str, int], set[int]] = {}
    for i, (header, published) in enumerate(cleaned.published()):
        if (header.extra or {}).get("kind") == "event":
            for row in published["row"].to_pylist():
                places.setdefault((header.source, row), set()).add(i)
    assert places
    assert all(len(records) == 1 for records in places.values())
