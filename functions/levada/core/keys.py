"""Names of objects in the lake. A name is a position: the range it holds, never a clock or a UUID."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote, unquote

from levada.core.positions import ShardToken, pad_sequence

LANDING = "landing/"
TENANT = "tenant"
"""``tenant=<name>`` is the folder below a domain's in which files of another tenant than the deployment's lie."""
UNDATED = "__undated__"
UNKNOWN_DOMAIN = "__unknown__"
REDRIVE = ".redrive"
"""Ends the name of a silver object that may hold rows which stand under other names too, before ``.parquet``."""


@dataclass(frozen=True, slots=True)
class Span:
    """The records of one shard from first to last sequence number, both included."""

    token: ShardToken
    first: str
    last: str

    @property
    def name(self) -> str:
        return f"{self.token}-{pad_sequence(self.first)}-{pad_sequence(self.last)}"

    @classmethod
    def parse(cls, name: str) -> Span:
        """The inverse of ``name``, which may end in ``.redrive``; raises ValueError."""
        parts = name.removesuffix(REDRIVE).split("-")
        if len(parts) != 4:
            raise ValueError(f"object name {name!r}: must be <created>-<shard>-<first>-<last>")
        return cls(ShardToken.parse("-".join(parts[:2])), parts[2], parts[3])


def landing(domain: str, tenant: str = "") -> str:
    """The folder of a domain's files, of a tenant's own where one is given; with a slash at its end."""
    return f"{LANDING}{domain}/{f'{TENANT}={tenant}/' if tenant else ''}"


def landed_tenant(key: str) -> str | None:
    """Whose file a key under landing/ says it is, unchecked; None where it does not say, so the deployment's."""
    parts = key.split("/")
    return parts[2].removeprefix(f"{TENANT}=") if len(parts) > 3 and parts[2].startswith(f"{TENANT}=") else None


def bronze(domain: str, date: str, span: Span) -> str:
    """date: day of arrival of the span's first record, so that the same records give the same name."""
    return f"bronze/domain={domain}/date={date}/{span.name}.parquet"


def day_prefix(layer: str, domain: str, date: str) -> str:
    """Where the objects of one day lie; layer: silver, events, gold."""
    return f"{layer}/domain={domain}/date={date}/"


def silver(domain: str, date: str, span: Span, *, redrive: bool = False) -> str:
    """The object of one batch and day.

    Args:
        date: day of event time, or ``__undated__``.
        redrive: some of its rows came in a batch before that was discarded, and may stand under that one's name.
    """
    return f"silver/domain={domain}/date={date}/{span.name}{REDRIVE if redrive else ''}.parquet"


def events(domain: str, date: str, span: Span, *, redrive: bool = False) -> str:
    """The events of one batch and day, beside the measurements in silver; arguments as there."""
    return f"events/domain={domain}/date={date}/{span.name}{REDRIVE if redrive else ''}.parquet"


def events_prefix(domain: str) -> str:
    return f"events/domain={domain}/"


def gold(domain: str, date: str, token: ShardToken, generation: int) -> str:
    return f"gold/domain={domain}/date={date}/{token}-{generation:012d}.parquet"


def anomalies(domain: str, date: str, token: ShardToken, generation: int) -> str:
    """Anomalies of one emission; date: day of the windows that they were found in."""
    return f"anomalies/domain={domain}/date={date}/{token}-{generation:012d}.parquet"


def quarantine(stage: str, domain: str, span: Span) -> str:
    return f"quarantine/stage={stage}/domain={domain}/{span.name}.parquet"


def checkpoint(stage: str, token: ShardToken) -> str:
    return f"checkpoints/{stage}/{token}"


def ledger(domain: str, tenant: str, content: str) -> str:
    """The object that knows whether a file with this content (sha256, hex) has been loaded."""
    return f"checkpoints/ingest/{domain}/{tenant}/{content}.json"


def redrive_ledger(stage: str, domain: str, name: str) -> str:
    """The object that knows which rows of a quarantine object have been sent again; name: the object's, bare."""
    return f"checkpoints/redrive/{stage}/{domain}/{name}.json"


def retention_ledger(layer: str, domain: str) -> str:
    """What retention has deleted of a layer and domain, when, and by which policy."""
    return f"checkpoints/retention/{layer}/domain={domain}.json"


def manifest(layer: str, domain: str, date: str) -> str:
    return f"checkpoints/compaction/{layer}/domain={domain}/date={date}.json"


def edition(domain: str, date: str) -> str:
    """The record of a day that was made anew, see core/editions.py; date: day of event time, or ``__undated__``."""
    return f"{editions_prefix(domain)}date={date}.json"


def editions_prefix(domain: str) -> str:
    return f"checkpoints/editions/domain={domain}/"


def limits(domain: str, tenant: str) -> str:
    """The limits that a tenant has set for a domain's series."""
    return f"{limits_prefix(domain)}{quote(tenant, safe='')}.json"


def limits_tenant(key: str) -> str:
    """Whose limits an object holds."""
    return unquote(key.rpartition("/")[2].removesuffix(".json"))


ROLLUPS = "rollups/"


def rollup(domain: str, period: str, partition: str) -> str:
    """partition: the time that the object's rows share, see core/periods.py."""
    return f"{rollup_prefix(domain, period)}{partition}.parquet"


def rollup_prefix(domain: str, period: str) -> str:
    return f"{ROLLUPS}domain={domain}/period={period}/"


def rollup_hint(domain: str) -> str:
    """The object that says which days of gold have been merged into all rollups, to spare the next run a look."""
    return f"checkpoints/rollups/domain={domain}.json"


LIMITS = "settings/limits/"


def limits_prefix(domain: str) -> str:
    """Where the limits of all tenants of a domain lie."""
    return f"{LIMITS}domain={domain}/"


def kpi(domain: str, period: str, partition: str) -> str:
    return f"{kpi_prefix(domain, period)}{partition}.parquet"


def kpi_prefix(domain: str, period: str) -> str:
    return f"kpi/domain={domain}/period={period}/"


def silences(domain: str, date: str) -> str:
    """Anomalies of silent series; date: day of the last value before the silence."""
    return f"anomalies/domain={domain}/date={date}/silent.parquet"


def silence_state(domain: str) -> str:
    """What the runs that look for silent series have found, and whether it is out."""
    return f"checkpoints/silence/domain={domain}"
