"""A newcomer's domains: three public data sets in under 30 lines each, loaded with counts that add up (figure 2)."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any
from urllib.parse import quote_plus

import pytest

from levada.clean import stage
from levada.clean.handler import stage_deps
from levada.clean.state import CleanState
from levada.config import Config
from levada.core import kinesis_event, packs, parquet
from levada.core.checkpoint import Checkpoint
from levada.domains import registry
from levada.domains.declaration import Domain, Metric, Time
from levada.ingest.files_handler import handler as ingest_files
from levada.wiring import using
from levadactl.domain_contract import CHECKS, Check, Subject
from levadactl.domains import found
from levadactl.events import kinesis
from levadactl.invoking import LocalContext
from levadactl.memory import MemoryDeps
from tests.conftest import ROOT
from tests.unit.domains import public_sets

EXAMPLES = sorted((ROOT / "docs" / "examples").glob("*.py"))
PAGE = ROOT / "docs" / "add-a-domain.md"
RECORDS = 60
"""Packs in one batch of the raw stream."""


def declared(name: str) -> Domain:
    ((domain, _),) = found(str(ROOT / "docs" / "examples" / f"{name}.py"))
    return domain


def loaded(domain: Domain, body: bytes, monkeypatch: pytest.MonkeyPatch) -> MemoryDeps:
    """The file through ingest and clean."""
    name = domain.name
    monkeypatch.setattr(registry, "BUILT_IN", (domain,))
    registry.registered.cache_clear()
    config = Config(bucket="lake", table="serving", raw_stream="raw", clean_stream="clean", auth="OPEN")
    memory = MemoryDeps(config=config)
    memory.blobs.put(f"landing/{name}/file.csv", body)
    record = {"s3": {"bucket": {"name": "lake"}, "object": {"key": quote_plus(f"landing/{name}/file.csv"), "size": 1}}}
    try:
        with using(memory):
            ingest_files({"Records": [record | {"eventName": "ObjectCreated:Put"}]}, LocalContext("levada"))
            for at in range(0, len(memory.raw.entries), RECORDS):
                bodies = [entry.data for entry in memory.raw.entries[at : at + RECORDS]]
                batch = kinesis_event.parse(kinesis(bodies, first=at + 1))
                assert batch is not None
                stage.run(batch, stage_deps(memory))
    finally:
        registry.registered.cache_clear()
    return memory


def counters(memory: MemoryDeps, name: str) -> Counter[str]:
    (blob,) = memory.blobs.list("checkpoints/clean/")
    return CleanState.from_header(Checkpoint.peek(memory.blobs.objects[blob.key])).counters[name]


def rows(memory: MemoryDeps, prefix: str) -> list[dict[str, Any]]:
    keys = [blob.key for blob in memory.blobs.list(prefix)]
    return [row for key in keys for row in parquet.from_bytes(memory.blobs.objects[key]).to_pylist()]


def adds_up(memory: MemoryDeps, name: str, wanted: Counter[str]) -> None:
    got = counters(memory, name)
    for what in ("rows", "values", "missing", "out_of_range", "events"):
        assert got[what] == wanted[what], what
    assert got["quarantined"] == wanted["bad"]
    lake = "events/" if wanted["events"] else "silver/"
    made = wanted["events"] or wanted["values"] + wanted["missing"] + wanted["out_of_range"]
    stored = sum(parquet.from_bytes(memory.blobs.objects[b.key], ["row"]).num_rows for b in memory.blobs.list(lake))
    published = sum(packs.split(entry.data)[0].count for entry in memory.clean.entries)
    assert (stored, published) == (made, made)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_is_short_and_stands_in_the_page_as_it_is(path: Path) -> None:
    text = path.read_text()

    assert len(text.splitlines()) < 30
    assert text.strip() in PAGE.read_text()


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_keeps_the_contract(path: Path, check: Check) -> None:
    ((domain, examples),) = found(str(path))

    check(Subject(domain, examples))


@pytest.mark.parametrize("name", ["household", "taxi", "openaq"])
def test_a_load_of_a_public_form_adds_up(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    made = getattr(public_sets, name)(3000, seed=11)

    memory = loaded(declared(name), made.body, monkeypatch)

    adds_up(memory, name, made.counts)


def test_what_the_examples_make_of_a_row(monkeypatch: pytest.MonkeyPatch) -> None:
    line = '1,02/01/2020 12:00:01 AM,02/01/2020 12:14:00 AM,3.10,7,card,"$1,012.50"\n'
    head = "VendorID,tpep_pickup_datetime,tpep_dropoff_datetime,trip_distance,PULocationID,payment_type,total_amount\n"
    (trip,) = rows(loaded(declared("taxi"), (head + line).encode(), monkeypatch), "events/")
    assert (trip["time"].isoformat(), trip["entity_id"]) == ("2020-02-01T05:00:01+00:00", "7")
    assert (trip["value"], trip["distance"], trip["paid"]) == (1012.5, 3.1, "card")

    made = public_sets.openaq(200, seed=3)
    air = rows(loaded(declared("openaq"), made.body, monkeypatch), "silver/")
    ozone = {row["value"] for row in air if row["metric"] == "ozone"}
    assert ozone <= {40.0, None}  # ppm and ppb are one thing


def test_revenue_is_the_ledgers(monkeypatch: pytest.MonkeyPatch) -> None:
    made = public_sets.taxi(2000, seed=5)

    events = rows(loaded(declared("taxi"), made.body, monkeypatch), "events/")

    assert round(sum(100 * row["value"] for row in events)) == made.counts["revenue"]


@pytest.mark.slow
def test_400_000_rows_of_one_load_add_up(monkeypatch: pytest.MonkeyPatch) -> None:
    made = public_sets.household(400_000, seed=1)

    memory = loaded(declared("household"), made.body, monkeypatch)

    adds_up(memory, "household", made.counts)
    assert made.counts["rows"] + made.counts["bad"] == 400_000


def test_a_file_without_a_header_line_loses_no_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blanks between, a fraction of a second, a line that is short."""
    lines = [f"2004-03-31 03:38:{n:02d}.757551 {n % 3} {100 + n}.5" for n in range(50)]
    domain = Domain(
        name="motes",
        time=Time(columns=("date", "clock"), formats=("%Y-%m-%d %H:%M:%S.%f",)),
        keys={"series": "mote"},
        metrics={"t": Metric("temperature")},
        delimiters=" ",
        header=("date", "clock", "mote", "t"),
    )
    monkeypatch.setattr("tests.unit.domains.test_add_a_domain.declared", lambda name: domain)

    memory = loaded(declared("motes"), "\n".join([*lines, "2004-03-31 03"]).encode(), monkeypatch)

    assert {r["value"] for r in rows(memory, "silver/")} == {100.5 + n for n in range(50)}
    assert [r["line"] for r in rows(memory, "quarantine/")] == [51]
