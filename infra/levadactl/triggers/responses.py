"""AWS's rules for a function's answer: success, failure, or a checkpoint inside the batch.

https://docs.aws.amazon.com/lambda/latest/dg/services-kinesis-batchfailurereporting.html
"""

from __future__ import annotations

from collections.abc import Mapping as AbstractMapping
from collections.abc import Sequence
from typing import Any

from levadactl.triggers.model import Record


def failed_from(payload: Any, records: Sequence[Record]) -> int:
    """Index of the first record that comes again: ``len(records)`` = complete success, 0 = complete failure.

    For mappings with ReportBatchItemFailures only. An answer that is empty, null, no object, or has an empty or null
    list is a success; a list with one entry that does not name a record of this batch fails the whole batch.
    """
    if not isinstance(payload, AbstractMapping):
        return len(records)
    failures = payload.get("batchItemFailures")
    if failures is None:
        return len(records)
    if not isinstance(failures, list):
        return 0
    if not failures:
        return len(records)
    index_of = {record.sequence_number: index for index, record in enumerate(records)}
    lowest = len(records)
    for failure in failures:
        identifier = failure.get("itemIdentifier") if isinstance(failure, AbstractMapping) else None
        if not isinstance(identifier, str) or identifier not in index_of:
            return 0
        lowest = min(lowest, index_of[identifier])
    return lowest
