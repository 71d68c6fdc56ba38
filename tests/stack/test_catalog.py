"""The Glue catalog on a real endpoint: MiniStack's Glue and S3, started for this test alone."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import boto3
import pytest

from levada.adapters.s3 import S3BlobStore
from levada.archive import catalog
from levada.archive.handler import handler
from levada.config import Config
from levada.core import keys, parquet
from levada.wiring import using
from levadactl.memory import MemoryDeps
from tests.unit.archive import silver
from tests.unit.archive.test_idle import aggregate, published, run

pytestmark = [
    pytest.mark.stack,
    # awswrangler imports optional parts of pandas and pyarrow in ways that they deprecate
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning"),
]
BUCKET, DATABASE = "lake", "levada_test"


@pytest.fixture
def endpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A MiniStack on a free port of the loopback interface; its folders are the test's."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    folders = {name: tmp_path / name.lower() for name in ("STATE_DIR", "S3_DATA_DIR", "TMPDIR")}
    for folder in folders.values():
        folder.mkdir()
    settings = {"GATEWAY_PORT": str(port), "BIND_HOST": "127.0.0.1", "IOT_MTLS_ENABLED": "0", "SFTP_ENABLED": "0"}
    own = {"PATH": os.environ["PATH"], **settings, **{name: str(path) for name, path in folders.items()}}
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "ministack"], env=own, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        _wait_until_healthy(port)
        url = f"http://127.0.0.1:{port}"
        credentials = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "us-east-1"}
        for name, value in {**credentials, "AWS_ENDPOINT_URL": url, "NO_PROXY": "*"}.items():
            monkeypatch.setenv(name, value)
        yield url
    finally:
        process.terminate()
        process.wait(timeout=20)


def _wait_until_healthy(port: int, timeout_s: float = 60) -> None:
    end = time.monotonic() + timeout_s
    while True:
        try:
            connection = HTTPConnection("127.0.0.1", port, timeout=2)
            connection.request("GET", "/_ministack/health")
            if connection.getresponse().status == 200:
                return
        except OSError:
            pass
        finally:
            connection.close()
        assert time.monotonic() < end, "MiniStack does not answer"
        time.sleep(0.1)  # between two looks at the condition


def test_partitions_of_silver_and_gold_are_registered_once(endpoint: str) -> None:
    s3 = boto3.client("s3", endpoint_url=endpoint)
    glue = boto3.client("glue", endpoint_url=endpoint)
    s3.create_bucket(Bucket=BUCKET)
    memory = MemoryDeps(blobs=S3BlobStore(s3, BUCKET), config=Config(bucket=BUCKET, catalog=DATABASE))  # type: ignore[arg-type]
    for n in (1, 2):
        silver.put(memory.blobs, silver.span(n, n))
    later = silver.table(map(silver.row, silver.identities(silver.span(3, 3))))
    memory.blobs.put(keys.silver(silver.DOMAIN, keys.UNDATED, silver.span(3, 3)), parquet.to_bytes(later))
    aggregate(memory, published([0, 1]))
    run(memory, idle_after_s=0)
    order: dict[str, Any] = {"source": "levada.test", "detail": {"compact": "due"}}

    with using(memory):
        first = handler(order, object())
        again = handler(order, object())
        silent = handler({"source": "levada.test"}, object())

    assert (first["catalog"], again["catalog"]) == (
        {"silver": 2, "events": 0, "gold": 1},
        {"silver": 0, "events": 0, "gold": 0},
    )
    assert "catalog" not in silent
    table = glue.get_table(DatabaseName=DATABASE, Name="silver")["Table"]
    assert [k["Name"] for k in table["PartitionKeys"]] == list(catalog.KEYS)
    types = {c["Name"]: c["Type"] for c in table["StorageDescriptor"]["Columns"]}
    assert types == catalog.athena_types(catalog.LAYERS["silver"])
    places = glue.get_partitions(DatabaseName=DATABASE, TableName="silver")["Partitions"]
    assert {p["StorageDescriptor"]["Location"]: p["Values"] for p in places} == {
        f"s3://{BUCKET}/silver/domain=air_quality/date={date}/": ["air_quality", date]
        for date in (silver.DATE, keys.UNDATED)
    }
