"""What the simulation must find: anomalies and alerts, recomputed from gold, and from the distinct input alone.

The first recomputation is exact for every schedule: gold, as it was emitted, says which windows closed in which
emission of which shard, and a checkpoint whom it has taken over from. The second holds for series that one shard saw
from beginning to end and none of whose windows were late: for them the order of the stream does not matter.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from levada.aggregate.watching import Alerting, Watched
from levada.core import findings, lineage, parquet
from levada.core.anomalies import no_lines
from levada.core.checkpoint import Checkpoint
from levada.core.partials import conform
from levada.domains.declaration import Domain
from tests.rules_by_hand import by_hand
from tests.simulation.world import World

Means = Mapping[tuple[str, str, int], float | None]
"""(series, metric, start of the window in seconds) → mean of the distinct input."""


class Recomputed:
    """Shards in the order of their emissions, as gold has them."""

    def __init__(self, world: World, domain: Domain) -> None:
        self._domains = {domain.name: domain}
        self._policy = Alerting(severity="info", quiet_s=120, max_age_s=31_536_000).policy(int(world.clock.now_s()), {})
        self.closed: dict[str, dict[int, list[pa.Table]]] = defaultdict(lambda: defaultdict(list))
        for key, body in sorted(world.blobs.emitted.items()):
            name = key.rpartition("/")[2].removesuffix(".parquet")
            token, _, generation = name.rpartition("-")
            table = conform(parquet.from_bytes(body))
            self.closed[token][int(generation)].append(table)
        self.inherited = {
            str(token): Checkpoint.peek(world.blobs.get(f"checkpoints/aggregate/{token}")[0])["inherited"]
            for token in lineage.tokens(world.blobs, "aggregate")
        }
        self.anomalies: dict[str, dict[str, Any]] = {}
        self.alerts: dict[str, dict[str, Any]] = {}
        self.told: set[str] = set()
        for token in self.inherited:
            self._follow(token)

    def _follow(self, token: str, until: int | None = None) -> Watched:
        """What the shard knew after this emission, or after all of them; notes what it found on the way."""
        watched = Watched()
        for parent, generation in self.inherited[token].items():
            watched.inherit(self._follow(parent, generation))
        for generation, tables in sorted(self.closed[token].items()):
            if until is not None and generation > until:
                break
            closed = pa.concat_tables(tables).unify_dictionaries()
            watched.look(closed, self._domains, no_lines, self._policy)
            self.anomalies |= {i["sk"]: i for i in findings.anomaly_items(watched.found, token)}
            for item in findings.alert_items(watched.raised, token, generation):
                there = self.alerts.get(item["sk"])  # a child follows its parent up to a generation it has passed
                if there is None or there["version"] < item["version"]:
                    self.alerts[item["sk"]] = item
            self.told |= {n.id for n in findings.notices(watched.raised, token, generation)}
        return watched


def check(world: World, domain: Domain, means: Means) -> None:
    """Raises AssertionError with the first difference."""
    expected = Recomputed(world, domain)
    for kind, want in ((findings.ANOMALIES, expected.anomalies), (findings.ALERTS, expected.alerts)):
        found = {item["sk"]: item for item in world.serving.query(findings.pk(kind, "default", domain.name))}
        assert found.keys() == want.keys(), f"{kind}: {sorted(found.keys() ^ want.keys())[:3]}"
        for sk, item in want.items():
            kept = found[sk].copy()
            assert kept.pop("expires_at") > world.clock.now_s(), f"{kind}: {found[sk]} is over already"
            assert kept == item, f"{kind}: {kept}, not {item}"
    lake = [
        r for b in world.blobs.list("anomalies/") for r in parquet.from_bytes(world.blobs.get(b.key)[0]).to_pylist()
    ]
    assert len(lake) == len(expected.anomalies), f"anomalies in the lake: {len(lake)}, not {len(expected.anomalies)}"
    told = {notice.id for notice in world.topic.notices}
    assert told == expected.told, f"notices: {sorted(told ^ expected.told)[:3]}"
    _check_input(expected, domain, means)


def _check_input(expected: Recomputed, domain: Domain, means: Means) -> None:
    shards: dict[tuple[str, str], set[str]] = defaultdict(set)
    late = set()
    for token, emissions in expected.closed.items():
        for row in [row for tables in emissions.values() for table in tables for row in table.to_pylist()]:
            key = (row["series"], row["metric"])
            shards[key].add(token)
            if row["late"]:
                late.add(key)
    found = defaultdict(set)
    for item in expected.anomalies.values():
        found[item["series"], item["metric"]].add((item["time"] // 1_000_000, item["rule"]))
    for key in [key for key, tokens in shards.items() if len(tokens) == 1 and key not in late]:
        values = sorted(
            (at, mean) for (*series, at), mean in means.items() if tuple(series) == key and mean is not None
        )
        want = set(by_hand(values, domain.watch[0]))
        assert found[key] == want, f"anomalies of {key}: {sorted(found[key] ^ want)}"
