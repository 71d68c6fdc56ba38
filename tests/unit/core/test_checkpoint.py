"""Checkpoints: one object, header and state together; fences are inherited from the nearest ancestors (B19, D17)."""

from __future__ import annotations

import pyarrow as pa
import pytest

from levada.core import keys, lineage
from levada.core.checkpoint import Checkpoint
from levada.core.errors import ConfigError, ConflictError, UnavailableError
from levada.core.positions import ShardToken
from levadactl.memory import MemoryBlobStore, MemoryTopology

ARN = "arn:aws:kinesis:us-east-1:000000000000:stream/raw"


def test_header_and_tables_survive() -> None:
    tables = {"a": pa.table({"x": [1, 2]}), "none": pa.table({"y": pa.array([], pa.string())})}
    saved = Checkpoint({"mark": "7", "nested": {"k": [1]}}, tables).to_bytes()

    again = Checkpoint.from_bytes(saved)

    assert again.header == {"mark": "7", "nested": {"k": [1]}}
    assert {name: t.to_pydict() for name, t in again.tables.items()} == {"a": {"x": [1, 2]}, "none": {"y": []}}
    assert Checkpoint.peek(saved)["mark"] == "7"


def test_bytes_in_the_header_stand_behind_it_and_come_back() -> None:
    header = {"mark": "7", "fences": b"\0\n{\xff" * 3, "empty": b""}
    saved = Checkpoint(header, {"a": pa.table({"x": [1]})}).to_bytes()

    assert Checkpoint.peek(saved) == Checkpoint.from_bytes(saved).header == header
    assert Checkpoint.from_bytes(saved).tables["a"].to_pydict() == {"x": [1]}


@pytest.mark.parametrize("data", [b"", b"PK\x03\x04", b'LVC1{"v":1,"tables":[]}\n', b'LVC1{"v":99}\n'])
def test_an_object_that_is_no_checkpoint_of_ours_stops_the_stage(data: bytes) -> None:
    with pytest.raises(ConfigError, match="checkpoint"):
        Checkpoint.from_bytes(data)


def test_the_second_of_two_writers_loses() -> None:
    blobs = MemoryBlobStore()
    etag = blobs.put_if("k", b"first", etag=None)

    with pytest.raises(ConflictError):
        blobs.put_if("k", b"late", etag=None)
    blobs.put_if("k", b"second", etag=etag)
    with pytest.raises(ConflictError):
        blobs.put_if("k", b"stale", etag=etag)

    assert blobs.objects["k"] == b"second"


def _save(blobs: MemoryBlobStore, token: ShardToken) -> None:
    blobs.put(keys.checkpoint("clean", token), Checkpoint({"who": str(token)}).to_bytes())


def _ancestors(blobs: MemoryBlobStore, topology: MemoryTopology, token: ShardToken) -> set[str]:
    return {h["who"] for h in lineage.ancestors(blobs, topology, "clean", ARN, token, Checkpoint({"who": "nobody"}))}


def test_a_merged_shard_inherits_from_both_parents_and_an_idle_parent_from_its_own() -> None:
    blobs, topology = MemoryBlobStore(), MemoryTopology(100)
    grand, left, right, child = (ShardToken(100, n) for n in range(4))
    topology.parents_of = {child: [left, right], left: [grand]}
    _save(blobs, grand)
    _save(blobs, right)

    assert _ancestors(blobs, topology, child) == {str(grand), str(right)}


def test_a_stream_that_was_made_again_inherits_from_all_shards_of_the_one_before() -> None:
    blobs, topology = MemoryBlobStore(), MemoryTopology(200)
    old = [ShardToken(100, 0), ShardToken(100, 1)]
    for token in [*old, ShardToken(200, 1)]:
        _save(blobs, token)

    assert _ancestors(blobs, topology, ShardToken(200, 0)) == {str(t) for t in old}


def test_a_child_of_parents_that_never_saw_a_record_still_inherits_from_the_earlier_stream() -> None:
    blobs, topology = MemoryBlobStore(), MemoryTopology(200)
    child, parent = ShardToken(200, 1), ShardToken(200, 0)
    topology.parents_of = {child: [parent]}
    _save(blobs, ShardToken(100, 0))

    assert _ancestors(blobs, topology, child) == {str(ShardToken(100, 0))}


def test_a_parents_attempt_that_is_under_way_cannot_commit_once_a_child_has_taken_over() -> None:
    """B19, D17: the heir would not know of its rows. With a checkpoint, and without one yet."""
    blobs, topology = MemoryBlobStore(), MemoryTopology(100)
    known, silent, child = (ShardToken(100, n) for n in range(3))
    topology.parents_of = {child: [known, silent]}
    _save(blobs, known)
    read_before = blobs.get(keys.checkpoint("clean", known))[1]

    assert _ancestors(blobs, topology, child) == {str(known)}

    for token, etag in ((known, read_before), (silent, None)):
        with pytest.raises(ConflictError):
            blobs.put_if(keys.checkpoint("clean", token), b"zombie", etag=etag)
    assert Checkpoint.peek(blobs.get(keys.checkpoint("clean", known))[0])["who"] == str(known)


def test_every_child_of_a_shard_without_a_checkpoint_inherits_what_that_one_would_have() -> None:
    blobs, topology = MemoryBlobStore(), MemoryTopology(100)
    grand, parent, *children = (ShardToken(100, n) for n in range(4))
    topology.parents_of = {parent: [grand], **{child: [parent] for child in children}}
    _save(blobs, grand)

    assert [_ancestors(blobs, topology, child) for child in [*children, parent]] == [{str(grand)}] * 3
    found = lineage.load(blobs, "clean", parent)
    assert found is not None
    assert lineage.is_blank(found[0])


class Restless(MemoryBlobStore):
    """Somebody else commits before each conditional put, so many times."""

    left = 0

    def put_if(self, key: str, body: bytes, *, etag: str | None) -> str:
        if self.left:
            self.left -= 1
            self.put(key, Checkpoint({"who": f"other {self.left}"}).to_bytes())
        return super().put_if(key, body, etag=etag)


def test_what_is_committed_while_a_child_takes_over_is_inherited() -> None:
    blobs, topology = Restless(), MemoryTopology(100)
    parent, child = ShardToken(100, 0), ShardToken(100, 1)
    topology.parents_of = {child: [parent]}
    _save(blobs, parent)

    blobs.left = 2
    assert _ancestors(blobs, topology, child) == {"other 0"}
    blobs.left = lineage.ATTEMPTS
    with pytest.raises(UnavailableError, match="changed"):
        _ancestors(blobs, topology, child)
