"""The producer: events and tables to the raw stream, in order, exactly once, through crashes and outages.

``from levada.producer import connect``. NDJSON needs msgspec alone (and zstandard, where it is installed); pyarrow is
imported when a table is handed over, boto3 when ``connect`` makes its client.
"""

from levada.producer.connect import connect
from levada.producer.errors import SpoolBusyError, SpoolDamagedError, SpoolError, SpoolFullError
from levada.producer.producer import Limits, Producer, Stats

__all__ = [
    "Limits",
    "Producer",
    "SpoolBusyError",
    "SpoolDamagedError",
    "SpoolError",
    "SpoolFullError",
    "Stats",
    "connect",
]
