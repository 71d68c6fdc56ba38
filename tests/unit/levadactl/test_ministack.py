"""What the emulator is told, and what is done with the files that it leaves."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from levadactl.embedded import ministack
from levadactl.embedded.ministack import Folders


def an_object(folders: Folders, bucket: str, key: str, body: bytes, told: int | None = None) -> Path:
    path = folders.objects / ministack.ACCOUNT / bucket / key
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(body)
    sidecar = path.with_name(path.name + ministack.SIDECAR)
    sidecar.write_text(json.dumps({"size": len(body) if told is None else told}))
    return path


@pytest.fixture
def folders(tmp_path: Path) -> Folders:
    made = Folders(tmp_path)
    made.make()
    return made


def test_nothing_of_the_users_aws_settings_reaches_the_emulator(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "HTTP_PROXY", "PYTHONPATH", "LEVADA_BUCKET", "DOCKER_HOST"):
        monkeypatch.setenv(name, "leaked")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "leaked")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "leaked")

    environment = ministack.environment(tmp_path, 4600)

    assert "leaked" not in environment.values()
    assert environment["AWS_ENDPOINT_URL"] == "http://127.0.0.1:4600"
    assert environment["BIND_HOST"] == "127.0.0.1"
    assert environment["TMPDIR"] == str(tmp_path / "tmp")


def test_nothing_answers_on_a_port_where_nobody_listens() -> None:
    assert not ministack.healthy(1)
    assert ministack.version(1) is None


def test_a_stop_is_clean_only_when_every_service_has_been_saved(folders: Folders) -> None:
    for name in ministack.SAVED[1:]:
        (folders.saved / f"{name}.json").write_text("{}")
    assert not ministack.saved_whole(folders)

    (folders.saved / f"{ministack.SAVED[0]}.json").write_text("{}")
    assert ministack.saved_whole(folders)


def test_a_read_state_is_forgotten_so_that_a_crash_never_finds_an_old_one(folders: Folders) -> None:
    (folders.saved / "kinesis.json").write_text("{}")
    (folders.saved / "lambda-blobs").mkdir()

    ministack.forget_saved(folders)

    assert [path.name for path in folders.saved.iterdir()] == ["lambda-blobs"]


def test_the_lake_survives_a_crash_and_other_buckets_do_not(folders: Folders) -> None:
    an_object(folders, "lake", "silver/domain=a/x.parquet", b"rows")
    an_object(folders, "artifacts", "code.zip", b"code")

    ministack.set_lake_aside(folders, "lake")
    assert list(folders.objects.rglob("*")) == []
    found = ministack.put_lake_back(folders, "lake-2")

    assert found == ministack.Salvaged(objects=1, torn=0)
    assert (folders.objects / ministack.ACCOUNT / "lake-2/silver/domain=a/x.parquet").read_bytes() == b"rows"
    assert not folders.salvage.exists()


def test_a_second_crash_during_recovery_loses_nothing(folders: Folders) -> None:
    an_object(folders, "lake", "silver/old", b"old")
    ministack.set_lake_aside(folders, "lake")
    an_object(folders, "lake", "silver/new", b"new")
    ministack.set_lake_aside(folders, "lake")
    an_object(folders, "lake", "silver/newest", b"newest")

    assert ministack.put_lake_back(folders, "lake").objects == 2

    home = folders.objects / ministack.ACCOUNT / "lake" / "silver"
    assert {path.name for path in home.iterdir() if ministack.SIDECAR not in path.name} == {"old", "new", "newest"}


def test_an_object_without_its_bytes_is_dropped_and_counted(folders: Folders) -> None:
    an_object(folders, "lake", "gold/torn", b"", told=100)
    an_object(folders, "lake", "gold/empty", b"")
    ministack.set_lake_aside(folders, "lake")

    assert ministack.put_lake_back(folders, "lake") == ministack.Salvaged(objects=1, torn=1)


def test_a_description_that_is_older_than_its_object_goes(folders: Folders) -> None:
    path = an_object(folders, "lake", "checkpoints/clean/a", b"newer and longer", told=3)
    (path.parent / "b.tmp").write_bytes(b"half")
    ministack.set_lake_aside(folders, "lake")

    ministack.put_lake_back(folders, "lake")

    home = folders.objects / ministack.ACCOUNT / "lake" / "checkpoints" / "clean"
    assert [path.name for path in home.iterdir()] == ["a"]


def test_nothing_to_set_aside_before_the_first_deploy(folders: Folders) -> None:
    ministack.set_lake_aside(folders, "")

    assert not folders.salvage.exists()


def test_an_emulator_that_ends_at_once_is_quoted(tmp_path: Path) -> None:
    log = tmp_path / "emulator.log"
    log.write_text("line one\nERROR: 127.0.0.1:4599 is already in use\n\n")

    assert "already in use" in str(ministack.explain_exit(log))
    assert str(log) in str(ministack.explain_exit(tmp_path / "none.log")).replace("none.log", "emulator.log")


def test_urls_are_on_the_port_that_the_emulator_has_now() -> None:
    stored = "http://127.0.0.1:1111/000000000000/levada-dead-letters"

    assert (
        ministack.queue_url("http://127.0.0.1:2222", stored) == "http://127.0.0.1:2222/000000000000/levada-dead-letters"
    )
    assert (
        ministack.api_url("http://127.0.0.1:2222", "abc", "live") == "http://127.0.0.1:2222/_aws/execute-api/abc/live"
    )
