"""A file that was refused: what the quarantine keeps of it. The file itself stays where it landed."""

from __future__ import annotations

import hashlib
import json

from levada.core import parquet, quarantine
from levada.core.errors import BadRecordError
from levada.core.quarantine import Quarantined

STAGE = "ingest"


def object_of(
    key: str, error: BadRecordError, *, domain: str, tenant: str, content: str, arrived_us: int
) -> tuple[str, bytes]:
    """(key, Parquet of one row): the same name for the same file under the same key, however often it comes.

    Args:
        content: sha256 of the file, or empty when it was not read.
    """
    name = hashlib.sha256(f"{key}\n{content}".encode()).hexdigest()[:32]
    payload = {"key": key, "reason": error.reason, "detail": error.detail, "sha256": content}
    row = Quarantined(
        stage=STAGE,
        reason=error.reason,
        detail=error.detail,
        payload=json.dumps(payload, ensure_ascii=False).encode(),
        shard="",
        sequence="",
        arrived_us=arrived_us,
        domain=domain,
        tenant=tenant,
        source=key,
    )
    body = parquet.to_bytes(quarantine.to_table([row]), dictionary=["stage", "reason", "domain"])
    return f"quarantine/stage={STAGE}/domain={domain}/{name}.parquet", body
