"""A declaration that cannot work is refused when it is made: domain, field, value and what is allowed are named."""

from __future__ import annotations

from typing import Any

import pytest

from levada.core.errors import ConfigError
from levada.domains.declaration import Derived, Domain, Long, Metric, Rollup, Time

GOOD: dict[str, Any] = {"name": "d", "time": Time(columns=("t",), formats=("iso",)), "metrics": {"a": Metric("a")}}
EVENTS: dict[str, Any] = {
    "metrics": {},
    "constants": {"entity_type": "x", "event_type": "y"},
    "events": {"entity_id": "id"},
    "fields": {"size": "number", "colour": "text"},
}
WRONG: list[tuple[dict[str, Any], str]] = [
    ({"name": "My Domain"}, "name='My Domain'"),
    ({"time": Time(columns=(), formats=("iso",))}, "time.columns="),
    ({"time": Time(columns=("t",), formats="iso")}, "time.formats='iso'"),  # type: ignore[arg-type]
    ({"time": Time(columns=("t",), formats=("YYYY-MM-DD",))}, "time.formats='YYYY-MM-DD'"),
    ({"time": Time(columns=("t",), formats=("%z %Y",))}, "%z must stand at the end"),
    ({"time": Time(columns=("t",), formats=("iso",), zone="Mars/Base")}, "time.zone='Mars/Base'"),
    ({"window_s": 7}, "window_s=7"),
    ({"lateness_s": -1}, "lateness_s=-1"),
    ({"skew_s": 10**6}, "skew_s=1000000"),
    ({"keep_h": {"rows": 1}}, "keep_h: 'rows' must be one of raw,"),
    ({"keep_h": {"raw": -1}}, "keep_h: raw=-1: must be 0"),
    ({"quantile_error": 0.7}, "quantile_error=0.7"),
    ({"quantile_error": 1e-7}, "quantile_error=1e-07: must be 0 for no quantiles, or from 1e-06 to below 0.5"),
    ({"decimal": ";"}, "decimal=';'"),
    ({"thousands": ","}, "thousands=','"),
    ({"affixes": "$0"}, "affixes, thousands: '0'"),
    ({"metrics": {}}, "says nothing of values or events"),
    ({"metrics": {"a": Metric("x"), "b": Metric("x")}}, "may stand once"),
    ({"metrics": {"a": Metric("x", 5, 1)}}, "metric x: low=5"),
    ({"metrics": {"a": Metric("x", scale=0)}}, "metric x: scale=0"),
    ({"keys": {"colour": "c"}}, "keys: 'colour'"),
    ({"constants": {"colour": "c"}}, "constants: 'colour'"),
    ({"keys": {"unit": "u"}, "constants": {"unit": "u"}}, "'unit' has a column already"),
    ({"keys": {"unit": "__u"}}, "column '__u'"),
    ({"optional": ("b",)}, r"optional, needed: \['b'\]"),
    ({"header": ("t",)}, "header: a must be among t"),
    ({"delimiters": ""}, "delimiters=''"),
    ({"metrics": {}, "long": Long(metric="m", value="v")}, "must declare metrics, or have open_metrics"),
    ({"long": Long(metric="m", value="m")}, "long.value='m'"),
    ({"further": {"b": "text"}}, "without derive nothing reads them"),
    ({"derive": lambda rows: Derived(), "further": {"b": "list"}}, "further: b='list'"),
    ({"rollups": (Rollup(metric="n"),)}, "rollups: the domain has no events"),
    (EVENTS | {"constants": {}}, "events: entity_type, event_type must have a column or a constant"),
    (EVENTS | {"events": {"entity_id": "id", "taste": "t"}}, "events: 'taste'"),
    (EVENTS | {"fields": {"size": "int"}}, "fields: size='int'"),
    (EVENTS | {"fields": {"value": "number"}}, "fields: 'value'"),
    (EVENTS | {"event_types": ("a",), "ranks": {"b": 1}}, r"ranks: \['b'\]"),
    (EVENTS | {"rollups": (Rollup(metric="n", by=("size",)),)}, "rollup n: 'size'"),
    (EVENTS | {"rollups": (Rollup(metric="n", value="colour"),)}, "rollup n: value='colour'"),
    (EVENTS | {"rollups": (Rollup(metric="n", where={"colour": "red"}),)}, "where: colour='red'"),  # type: ignore[dict-item]
    (EVENTS | {"rollups": (Rollup(metric="n", success={"size": ("1",)}),)}, "rollup n: 'size'"),
    (EVENTS | {"rollups": (Rollup(metric="n", success={"colour": ()}),)}, "success: colour=\\(\\)"),
    (EVENTS | {"rollups": (Rollup(metric="n", value="value", success={"colour": ("red",)}),)}, "value='value'"),
]


@pytest.mark.parametrize(("change", "says"), WRONG, ids=[says[:40] for _, says in WRONG])
def test_what_cannot_work_is_named(change: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=f"^domain (d|My Domain): .*{says}"):
        Domain(**(GOOD | change))


def test_what_is_declared_is_good() -> None:
    assert Domain(**GOOD).is_wide
    assert Domain(**(GOOD | EVENTS)).required == ("t", "id")
