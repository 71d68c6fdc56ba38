"""Anomalies and alerts as items of the serving table, and as rows for whoever reads them.

Sort keys begin with the time, so that a range of time is a range of keys; behind it stand series and rule, and last who
found it. An anomaly's item never changes. An alert's is replaced as the alert goes on, by a newer version only.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby
from typing import Any

import pyarrow as pa

from levada.core.alerts import ALERT
from levada.core.anomalies import ANOMALY, SEVERITIES
from levada.core.item_keys import PARTITION_BYTES, SORT_BYTES, bounded, quoted
from levada.core.records import SERIES
from levada.core.retention import Expiry
from levada.core.segments import sort_time
from levada.ports import Notice

ANOMALIES, ALERTS = "anomalies", "alerts"
FINDINGS = "findings"
"""How long they are kept: a kind of ``core/retention.py``."""
PLACE = SERIES[2:]
"""What tells the series of one domain and tenant apart."""


def pk(kind: str, tenant: str, domain: str) -> str:
    """Partition key of a domain's anomalies or alerts."""
    return bounded(f"{kind}#{quoted(tenant)}#{quoted(domain)}", PARTITION_BYTES)


def anomaly_items(found: pa.Table, token: str, expiry: Expiry | None = None) -> list[dict[str, Any]]:
    """One item per anomaly (ANOMALY). token: who found them, a shard or a schedule. expiry: None for never."""
    rows = _rows(found.select(ANOMALY.names))
    return [_item(ANOMALIES, row, "time", token) | _expires(expiry, row, "time") for row in rows]


def alert_items(alerts: pa.Table, token: str, generation: int, expiry: Expiry | None = None) -> list[dict[str, Any]]:
    """One item per alert (ALERT), its version the emission that it is as of."""
    rows = _rows(alerts.select([name for name in ALERT.names if name != "publish"]))
    version = {"version": f"{generation:012d}"}
    return [_item(ALERTS, row, "opened", token) | version | _expires(expiry, row, "last") for row in rows]


def _expires(expiry: Expiry | None, row: Mapping[str, Any], time: str) -> dict[str, Any]:
    return {} if expiry is None else {"expires_at": expiry.at(FINDINGS, row["domain"], row[time])}


def _rows(table: pa.Table) -> Iterator[dict[str, Any]]:
    """Rows with times as microseconds, without what is null."""
    for i, spec in enumerate(table.schema):
        if pa.types.is_timestamp(spec.type):
            table = table.set_column(i, spec.name, table[spec.name].cast(pa.int64()))
    for row in table.to_pylist():
        yield {name: value for name, value in row.items() if value is not None}


def _item(kind: str, row: dict[str, Any], time: str, token: str) -> dict[str, Any]:
    parts = [quoted(row[name]) for name in (*PLACE, "rule")]
    sk = bounded("#".join([sort_time(row[time]), *parts]), SORT_BYTES - TOKEN_BYTES) + f"#{token}"
    item = {"pk": pk(kind, row["tenant"], row["domain"]), "sk": sk, "shard": token, **row}
    # a number of the table ends at 1e126, a value may be any float
    numbers = json.dumps({name: item.pop(name) for name in list(item) if isinstance(item[name], float)})
    return item | {"numbers": numbers}


def row(item: Mapping[str, Any]) -> dict[str, Any]:
    """The columns of an item, times as microseconds; without those that are null."""
    return {**item, **json.loads(item["numbers"])}


TOKEN_BYTES = 80
"""What the name of who found something may take of a sort key."""
MAX_TOLD = 100
"""Alerts that one notice lists; a message of SNS holds 256 KiB."""
LISTED = ("site", "unit", "series", "metric", "rule", "severity", "opened", "value", "lower", "upper", "z", "detail")


def notices(alerts: pa.Table, token: str, generation: int) -> list[Notice]:
    """What subscribers are told of the alerts that one emission has opened: one notice per domain and tenant.

    Its id is the emission's, so that a notice that is published twice can be known by it.
    """
    news = _rows(alerts.filter(alerts["publish"]))
    found = []
    for (domain, tenant), group in groupby(sorted(news, key=_stream), key=_stream):
        rows = sorted(group, key=lambda row: (-SEVERITIES.index(row["severity"]), row["opened"]))
        worst = rows[0]["severity"]
        body = {"domain": domain, "tenant": tenant, "alerts": len(rows), "severity": worst}
        listed = [{n: row[n] for n in LISTED if n in row} | {"opened": sort_time(row["opened"])} for row in rows]
        subject = f"levada: {len(rows)} {worst} alert{'s' if len(rows) > 1 else ''} in {domain}"
        found.append(
            Notice(
                id=f"{token}-{generation:012d}-{quoted(domain)}-{quoted(tenant)}",
                subject=subject.encode("ascii", "replace").decode()[:100],
                body=json.dumps(body | {"first": listed[:MAX_TOLD]}, ensure_ascii=False, indent=1),
                attributes={"domain": domain, "tenant": tenant, "severity": worst},
            )
        )
    return found


def _stream(row: Mapping[str, Any]) -> tuple[str, str]:
    return row["domain"], row["tenant"]


def identity(item: Mapping[str, Any]) -> str:
    """What is the same for equal (time, series, rule), whoever found it: the sort key without its last part."""
    return str(item["sk"]).rpartition("#")[0]


def distinct(items: Iterable[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    """Each (time, series, rule) once, of items in order of their sort keys.

    A window that a reshard has cut in two may be judged by both shards: what the one with more rows says counts.
    """
    best: Mapping[str, Any] | None = None
    for item in items:
        if best is not None and identity(item) == identity(best):
            if item["count"] > best["count"]:
                best = item
            continue
        if best is not None:
            yield best
        best = item
    if best is not None:
        yield best
