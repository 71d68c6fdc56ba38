"""Expired items on a real table, through the real adapter (D21)."""

from __future__ import annotations

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
