"""A producer on a Kinesis stream: client, folder, background sending, end of the program. boto3 in use only."""

from __future__ import annotations

import atexit
import contextlib
import logging
import threading
from pathlib import Path
from typing import Any

from levada.core.errors import LevadaError
from levada.domains.declaration import Domain
from levada.ports import RecordSink
from levada.producer.disk import FolderDisk
from levada.producer.producer import Limits, Producer

log = logging.getLogger(__name__)
CONNECT_S, READ_S = 3.0, 10.0
"""Of one request: a producer on a bad line must notice soon, it has a spool."""


def connect(
    stream: str,
    domain: Domain | str,
    *,
    tenant: str = "default",
    spool: Path | str | None = None,
    limits: Limits | None = None,
    client: Any = None,
) -> ConnectedProducer:
    """A producer that sends in the background, and at the end of the program what is left.

    Args:
        stream: name of the raw stream.
        domain: what the events are; a name stands for a registered domain.
        spool: folder of this producer alone; memory for None: an outage of the stream at the end loses events.
        client: a boto3 Kinesis client; made from the environment's settings for None.

    Raises ConfigError for a domain that is not registered; SpoolBusyError, SpoolError.
    """
    chosen = _registered(domain) if isinstance(domain, str) else domain
    return on_sink(_kinesis(stream, client), chosen, tenant=tenant, spool=spool, limits=limits)


def on_sink(
    sink: RecordSink,
    domain: Domain,
    *,
    tenant: str = "default",
    spool: Path | str | None = None,
    limits: Limits | None = None,
) -> ConnectedProducer:
    """``connect`` for any sink."""
    from levada.wiring import SystemClock

    disk = FolderDisk(Path(spool)) if spool is not None else None
    try:
        return ConnectedProducer(sink, SystemClock(), domain, tenant=tenant, disk=disk, limits=limits)
    except BaseException:
        if disk is not None:
            disk.close()
        raise


class ConnectedProducer(Producer):
    """A producer with a thread that ticks, and a last flush when the program ends without ``close``."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="levada-producer", daemon=True)
        self._thread.start()
        atexit.register(self._at_exit)

    def _run(self) -> None:
        every_s = max(0.01, self.limits.interval_s / 2)
        while not self._stop.wait(every_s):
            try:
                self.tick()
            except LevadaError as err:  # nothing is lost: the next send, flush or close raises it where it is seen
                log.warning("levada producer: %s", err)

    def close(self) -> None:
        if self._stop.is_set():
            return
        self._stop.set()
        self._thread.join()
        atexit.unregister(self._at_exit)
        super().close()

    def _at_exit(self) -> None:
        with contextlib.suppress(LevadaError):
            self.close()


def _kinesis(stream: str, client: Any) -> RecordSink:
    from levada.adapters.kinesis import KinesisSink

    if client is None:
        import boto3
        from botocore.config import Config

        config = Config(connect_timeout=CONNECT_S, read_timeout=READ_S, retries={"total_max_attempts": 2})
        client = boto3.client("kinesis", config=config)
    return KinesisSink(client, stream)


def _registered(name: str) -> Domain:
    from levada.domains.registry import enabled

    return enabled(name)[name]
