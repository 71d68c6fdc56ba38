"""Event files of the domains: good payloads, and one of each kind of bad, as plain records and over HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

from levadactl.case import SHARD, Case
from levadactl.domain_samples import SAMPLES, Item
from levadactl.events import compact, kinesis, rest

ELSEWHERE = "air_quality"
"""The domain whose files show the pipeline itself."""


def _cases() -> Iterator[Case]:
    for domain, sample in SAMPLES.items():
        if domain == ELSEWHERE:
            continue
        good = [_named(domain, item) for item in sample.good]
        bad = [_named(domain, item) for item in sample.bad.values()]
        yield Case("clean", f"{domain}_good", f"payloads of domain {domain}", partial(kinesis, good, shard=SHARD))
        shows = f"domain {domain}, one of each kind of bad, between two good: {', '.join(sample.bad)}"
        yield Case("clean", f"{domain}_bad", shows, partial(kinesis, [good[0], *bad, good[0]], shard=SHARD))
        yield Case(
            "ingest", f"{domain}_batch", f"the payloads of domain {domain} in one request", partial(_batch, good)
        )


def _named(domain: str, item: Item) -> dict[str, Any]:
    return {"domain": domain, **item}


def _batch(items: list[dict[str, Any]]) -> dict[str, Any]:
    return rest("POST", "/v1/events/batch", body=compact(items))


CASES = tuple(_cases())
