"""The clean stage's reading as subjects of the bench: from the decoded Lambda event to validated columns."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bench import peers
from bench.data import NOW_S, SENSORS, Input, arrow_packs, ndjson_packs, single_events
from bench.harness import Subject, Target
from levada.clean.reading import Rules, read
from levada.core import kinesis_event
from levada.core.packs import NDJSON_GZIP, NDJSON_ZSTD

RULES = Rules(domains={SENSORS.name: SENSORS}, tenant="default", latest_us=(NOW_S + 600) * 1_000_000)
LABELS = {
    "usual": "(a) usual handler: BatchProcessor + pydantic, per record",
    "tuned": "(a) the same, tuned: pydantic reads the bytes itself",
    "bare": "(b) bare limit: base64 + msgspec, per record",
    "single": "(c) levada, one event per record",
    "ndjson_zstd": "(d) levada, packs of 500 NDJSON + zstd",
    "ndjson_gzip": "(d) levada, packs of 500 NDJSON + gzip",
    "arrow_text": "(e) levada, packs of 500 Arrow + zstd, text columns",
    "arrow_typed": "(e) levada, packs of 500 Arrow + zstd, typed columns",
}
TARGETS = [
    Target("single events against the usual handler", "single", "usual", at_least=4),
    Target("single events against the bare limit, time", "single", "bare", at_most=1.5),
    Target("NDJSON + zstd against the usual handler", "ndjson_zstd", "usual", at_least=5.5),
    Target("NDJSON + gzip against the usual handler", "ndjson_gzip", "usual", at_least=5.5),
    Target("Arrow, text columns, against the usual handler", "arrow_text", "usual", at_least=20),
    Target("Arrow, typed columns, against the usual handler", "arrow_typed", "usual", at_least=20),
]


def levada(event: dict[str, Any]) -> tuple[int, int]:
    """(good rows, bad ones), after all of them stand in columns, and the bad ones with reason, detail and payload."""
    batch = kinesis_event.parse(event)
    assert batch is not None
    found = read(batch, 0, RULES, lambda _: True)
    return sum(wide.rows.num_rows for wide in found.tables), len(found.bad)


def inputs(events: int, bad_share: float) -> dict[str, tuple[Callable[[], Input], Callable[[dict[str, Any]], object]]]:
    """By subject: how to make what it is given, and what it does with it."""

    def single() -> Input:
        return single_events(events, bad_share=bad_share)

    return {
        "usual": (single, peers.usual_handler()),
        "tuned": (single, peers.tuned_handler()),
        "bare": (single, peers.bare_limit()),
        "single": (single, levada),
        "ndjson_zstd": (lambda: ndjson_packs(events, NDJSON_ZSTD, bad_share=bad_share), levada),
        "ndjson_gzip": (lambda: ndjson_packs(events, NDJSON_GZIP, bad_share=bad_share), levada),
        "arrow_text": (lambda: arrow_packs(events, typed=False, bad_share=bad_share), levada),
        "arrow_typed": (lambda: arrow_packs(events, typed=True, bad_share=bad_share), levada),
    }


def subject(name: str, events: int, bad_share: float) -> Subject:
    """Raises AssertionError when it does not find what the input holds: a wrong answer is not worth timing."""
    make, run = inputs(events, bad_share)[name]
    given = make()
    found = run(given.event)
    # the bare limit does not look at times: one kind of bad event in three passes it
    assert found == (given.good, given.bad) or name == "bare", f"{name}: {found}, not {(given.good, given.bad)}"
    return Subject(name, LABELS[name], given.good + given.bad, lambda: run(given.event))
