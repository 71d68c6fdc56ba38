"""Settings, read once from the environment. Nothing else reads os.environ."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from typing import Any

from levada.core.errors import ConfigError

PREFIX = "LEVADA_"


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """What a deployed function is told. Each field is the variable LEVADA_<FIELD>."""

    bucket: str = ""
    """The lake: landing/ bronze/ silver/ gold/ quarantine/ checkpoints/."""
    table: str = ""
    """The serving table."""
    raw_stream: str = ""
    """Name of the stream of packs and plain records."""
    clean_stream: str = ""
    """Name of the stream of canonical rows."""
    domains_enabled: str = "*"
    """Comma-separated names of domains that are read; ``*`` for all that are registered."""
    tenant: str = "default"
    """Tenant of whatever does not name one."""
    auth: str = "REQUIRED"
    """REQUIRED: HTTP requests bring a token. OPEN: whoever reaches the API may do everything."""
    max_skew_s: int = 600
    """How far ahead of now an event time may be, seconds, 0 to 86400; beyond it the row is quarantined."""
    idle_after_s: int = 60
    """A shard without rows for so long is idle: its windows close, seconds, 0 to 86400."""
    fence_horizon_h: int = 48
    """How long the fence of a finished source is kept, hours, 1 to 8760; longer than the stream's retention."""
    pack_rows: int = 500
    """Rows of a file in one pack, 1 to 10000."""
    files_function: str = ""
    """Name of the function that loads files: who asks for a load, or has one go on, calls it."""
    timezone: str = "UTC"
    """Time zone of days, weeks and months in rollups, an IANA name such as Europe/Berlin."""
    split_mb: int = 1024
    """A plain text file of more MiB is loaded in pieces, by several invocations at once; 0 for never, to 1048576."""
    alerts_topic: str = ""
    """ARN of the SNS topic that alerts are published to, or empty for none."""
    alert_severity: str = "error"
    """Anomalies of this severity or a higher one become alerts: info, warning, error or critical."""
    alert_quiet_s: int = 21_600
    """Event time without an anomaly after which the next one of a series and rule is a new alert, seconds."""
    alert_max_age_s: int = 86_400
    """Alerts opened longer ago than this in event time are stored but not published, seconds."""
    keep: str = ""
    """How long what is kept, where the defaults do not suit: ``raw=7d,bronze=forever``; see core/retention.py."""
    retention: str = "DISABLED"
    """ENABLED: what the policy says may go is deleted from the lake, too. DISABLED: nothing ever is."""
    catalog: str = ""
    """Glue database for silver and gold, or empty for none."""
    fault_every: int = 0
    """One of so many AWS calls kills the function, or loses its answer; 0 for none, else 2 to 1000000. Never on AWS."""
    log_level: str = "INFO"
    """DEBUG, INFO, WARNING or ERROR."""

    @classmethod
    def from_env(cls, env: Mapping[str, str] = os.environ) -> Config:
        """Raises ConfigError naming the variable, its value and what is allowed."""
        values: dict[str, Any] = {}
        for spec in fields(cls):
            raw = env.get(PREFIX + spec.name.upper())
            if raw is None or (raw == "" and spec.default is not MISSING):
                continue
            values[spec.name] = _whole(spec.name, raw) if isinstance(spec.default, int) else raw
        config = cls(**values)
        config._check()
        if config.fault_every and not env.get("AWS_ENDPOINT_URL"):
            raise ConfigError(f"{PREFIX}FAULT_EVERY={config.fault_every}: must be 0 on AWS")
        return config

    def _check(self) -> None:
        for name, (low, high) in RANGES.items():
            if not low <= (value := getattr(self, name)) <= high:
                raise ConfigError(f"{PREFIX}{name.upper()}={value}: must be a whole number from {low} to {high}")
        if self.keep:
            from levada.core.retention import parse  # not in a cold start that has no use for it

            parse(self.keep)
        if self.alert_severity not in SEVERITIES:
            allowed = ", ".join(SEVERITIES)
            raise ConfigError(f"{PREFIX}ALERT_SEVERITY={self.alert_severity!r}: must be one of {allowed}")
        if self.retention not in SWITCH:
            raise ConfigError(f"{PREFIX}RETENTION={self.retention!r}: must be one of {', '.join(SWITCH)}")
        if self.auth not in AUTH:
            raise ConfigError(f"{PREFIX}AUTH={self.auth!r}: must be one of {', '.join(AUTH)}")
        if self.log_level not in LEVELS:
            raise ConfigError(f"{PREFIX}LOG_LEVEL={self.log_level!r}: must be one of {', '.join(LEVELS)}")

    def need(self, *names: str) -> None:
        """Raises ConfigError for the first of these fields that is empty."""
        for name in names:
            if not getattr(self, name):
                raise ConfigError(f"{PREFIX}{name.upper()} is not set: {_meaning(name)}")


RANGES = {
    "max_skew_s": (0, 86_400),
    "idle_after_s": (0, 86_400),
    "fence_horizon_h": (1, 8_760),
    "pack_rows": (1, 10_000),
    "split_mb": (0, 1_048_576),
    "alert_quiet_s": (0, 31_536_000),
    "alert_max_age_s": (0, 31_536_000),
    "fault_every": (0, 1_000_000),
}
SEVERITIES = ("info", "warning", "error", "critical")
SWITCH = ("ENABLED", "DISABLED")
AUTH = ("REQUIRED", "OPEN")
LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")
NEEDED = {
    "bucket": "the name of the lake bucket",
    "table": "the name of the serving table",
    "raw_stream": "the name of the raw stream",
    "clean_stream": "the name of the clean stream",
    "files_function": "the name of the function that loads files",
}


def _meaning(name: str) -> str:
    return NEEDED.get(name, "see docs/settings.md")


def _whole(name: str, raw: str) -> int:
    if not raw.isdecimal():
        low, high = RANGES[name]
        raise ConfigError(f"{PREFIX}{name.upper()}={raw!r}: must be a whole number from {low} to {high}")
    return int(raw)
