"""A ledger beside what levada holds: every window of gold, and of the serving table."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from levada.core import distinct
from levada.core.partials import PARTIAL, merge
from levada.domains.declaration import Domain
from levada.query.windows import served_windows
from levadactl import verify
from levadactl.generators.ledger import Key
from levadactl.loading import Lake

DISTINCT_ERROR = 0.05
"""Counts of distinct values are estimates; small ones are exact."""
RELATIVE = 1e-9
"""Sums of floats in another order differ in the last digits."""


def windows_of(lake: Lake, domain: Domain, tenant: str = "default") -> dict[str, dict[Key, dict[str, Any]]]:
    """Windows by where they stand (``gold``, ``serving``), each by its key; what is not emitted yet is in both."""
    pending = verify.committed(lake, domain)[0].select(PARTIAL.names)
    gold = [part.select(PARTIAL.names) for part in verify.gold_partials(lake, domain)]
    served = served_windows(lake.serving, domain.name, tenant).select(PARTIAL.names)
    return {"gold": _by_key(merge([*gold, pending])), "serving": _by_key(merge([served, pending]))}


def _by_key(windows: pa.Table) -> dict[Key, dict[str, Any]]:
    names = ("site", "unit", "series", "metric")
    starts = windows["window_start"].cast(pa.int64()).to_pylist()
    keys = zip(starts, *(windows[name].cast(pa.string()).to_pylist() for name in names), strict=True)
    rows = windows.select(["count", "missing", "sum", "min", "max"]).to_pylist()
    estimates = distinct.estimates(windows["distinct_sketch"])
    return {key: row | {"distinct": n} for key, row, n in zip(keys, rows, estimates, strict=True)}


def differences(expected: Mapping[Key, Mapping[str, Any]], found: Mapping[Key, Mapping[str, Any]]) -> list[str]:
    """One line for each window that is missing, not expected, or has another statistic."""
    out = [f"missing: {key}" for key in expected.keys() - found.keys()]
    out += [f"not expected: {key}" for key in found.keys() - expected.keys()]
    for key in expected.keys() & found.keys():
        for name in ("count", "missing", "sum", "min", "max"):
            a, b = expected[key][name], found[key][name]
            if a != b and (a is None or b is None or not math.isclose(a, b, rel_tol=RELATIVE, abs_tol=1e-12)):
                out.append(f"{key}: {name} is {b}, not {a}")
        wanted, estimate = expected[key].get("distinct"), found[key].get("distinct")
        if wanted is not None and (estimate is None or abs(estimate - wanted) > max(1, DISTINCT_ERROR * wanted)):
            out.append(f"{key}: distinct is {estimate}, not {wanted}")
    return sorted(out)
