"""Retention on a real stack (D21): items that have expired, what the command says, and that it is off by default."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from levada.adapters.dynamodb import DynamoServingStore
from levadactl.loading import Lake
from levadactl.places import Place


@pytest.mark.stack
def test_what_has_expired_is_not_read_though_it_is_there(embedded_stack: Place) -> None:
    serving = Lake.of(embedded_stack).serving
    terms = {"a": 1_000, "b": None, "c": 4_000_000_000, "d": 1_000, "e": 4_000_000_000}
    serving.put([{"pk": "expiry#test", "sk": sk, "expires_at": at} for sk, at in terms.items()])

    assert [item["sk"] for item in serving.query("expiry#test")] == ["b", "c", "e"]
    assert [item["sk"] for item in serving.query("expiry#test", limit=2)] == ["b", "c"]
    before = DynamoServingStore(embedded_stack.client("dynamodb"), embedded_stack.table, lambda: 999.0)
    assert len(list(before.query("expiry#test"))) == 5


@pytest.mark.stack
def test_a_listing_says_when_an_object_was_written(embedded_stack: Place) -> None:
    blobs = Lake.of(embedded_stack).blobs
    blobs.put("checkpoints/test/written", b"x")
    (blob,) = blobs.list("checkpoints/test/written")
    blobs.delete([blob.key])

    assert 1_700_000_000 < blob.modified_s < 4_000_000_000


@pytest.mark.stack
def test_the_command_looks_and_deletes_nothing_where_it_is_not_switched_on(embedded_stack: Place) -> None:
    blobs = Lake.of(embedded_stack).blobs
    before = {blob.key for blob in blobs.list("silver/")}

    looked, ordered = (
        subprocess.run(
            [sys.executable, "-m", "levadactl.cli", "--state-dir", str(embedded_stack.state), "retention", *flags],
            capture_output=True,
            text=True,
            env=embedded_stack.child_environment(),
            check=False,
        )
        for flags in (["--dry-run", "--json"], [])
    )

    answer = json.loads(looked.stdout)
    assert (looked.returncode, answer["enabled"], answer["dry"]) == (0, False, True)
    assert ordered.returncode == 1
    assert "LEVADA_RETENTION is DISABLED here: nothing was deleted" in ordered.stderr
    assert {blob.key for blob in blobs.list("silver/")} == before
