"""Upload: several files and patterns, what was loaded is left out on demand, and the totals add up (A2)."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from levada.core import keys
from levada.ingest import shifted
from levadactl import uploading
from levadactl.errors import LevadactlError
from levadactl.loading import TENANT, Lake, sha256_of
from levadactl.memory import MemoryBlobStore, MemoryServingStore


class S3:
    """boto3's managed upload into a memory store."""

    def __init__(self, blobs: MemoryBlobStore) -> None:
        self.blobs = blobs

    def upload_file(self, path: str, bucket: str, key: str, Callback: Any) -> None:  # noqa: N803 - as boto3 calls it
        body = Path(path).read_bytes()
        self.blobs.put(key, body)
        Callback(len(body))


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    paths = [tmp_path / f"{name}.csv" for name in "abc"]
    for i, path in enumerate(paths):
        path.write_text(f"made up {i}\n")
    return paths


def test_patterns_and_paths_name_each_file_once_in_order(files: list[Path], tmp_path: Path) -> None:
    assert uploading.files_of([str(files[1]), str(tmp_path / "*.csv")]) == [files[1], files[0], files[2]]
    with pytest.raises(LevadactlError, match="there is no such file"):
        uploading.files_of([str(tmp_path / "*.parquet")])
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "a.csv").write_text("x")
    with pytest.raises(LevadactlError, match="two of the files have this name"):
        uploading.files_of([str(tmp_path / "**" / "*.csv")])


def test_what_was_loaded_is_left_out_and_the_totals_add_up(files: list[Path]) -> None:
    blobs, moved = MemoryBlobStore(), list[float]()
    place: Any = SimpleNamespace(bucket="lake", client=lambda _: S3(blobs))
    ledger = {"done": True, "counts": {"rows_read": 7, "bad_rows": 1}}
    blobs.put(keys.ledger("air_quality", TENANT, sha256_of(files[0])), json.dumps(ledger).encode())
    lake = Lake(blobs, MemoryServingStore())

    answers, loads = uploading.upload_all(
        place, lake, files, "air_quality", name=None, resume=True, advance=moved.append
    )

    assert [one["uploaded"] for one in answers] == [False, True, True]
    assert [load.key for _, load, _ in loads] == ["landing/air_quality/b.csv", "landing/air_quality/c.csv"]
    assert sum(moved) == sum(path.stat().st_size for path in files)
    found = uploading.summary(answers)["total"]
    assert found == {"files": 3, "uploaded": 2, "left_out": 1, "done": 1, "rows_read": 7, "bad_rows": 1}
    again, _ = uploading.upload_all(place, lake, files, "air_quality", name=None, resume=False, advance=moved.append)
    assert all(one["uploaded"] for one in again)


def test_a_file_that_is_moved_lies_in_a_folder_that_says_by_how_much(files: list[Path]) -> None:
    """A27: its ledger is another one than that of the file as it is."""
    blobs = MemoryBlobStore()
    place: Any = SimpleNamespace(bucket="lake", client=lambda _: S3(blobs))
    shifts = {files[0]: 5, files[1]: 0, files[2]: -7}

    answers, loads = uploading.upload_all(
        place,
        Lake(blobs, MemoryServingStore()),
        files,
        "air_quality",
        name=None,
        resume=False,
        advance=lambda _: None,
        shift=shifts.__getitem__,
    )

    assert [one["shift_us"] for one in answers] == [5, 0, -7]
    assert [load.key for _, load, _ in loads] == [
        "landing/air_quality/shift_us=5/a.csv",
        "landing/air_quality/b.csv",
        "landing/air_quality/shift_us=-7/c.csv",
    ]
    assert [load.content for _, load, _ in loads] == [shifted.identity(sha256_of(path), shifts[path]) for path in files]
    assert loads[1][1].content == sha256_of(files[1]) != loads[0][1].content
