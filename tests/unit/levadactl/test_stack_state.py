"""stack.json: whole or absent, and it tells a clean stop from a crash."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from levadactl.embedded.lifecycle import wipe
from levadactl.embedded.processes import ProcessRef
from levadactl.embedded.state import StackState, demo_dir, load, locked, project_root, save, state_dir
from levadactl.errors import StateError
from levadactl.places import Place, find_running


def a_state(**changes: object) -> StackState:
    state = StackState(owner="up", port=4599, started_at="2026-01-01T00:00:00+00:00", instance="abc")
    state.endpoint = "http://127.0.0.1:4599"
    for name, value in changes.items():
        setattr(state, name, value)
    return state


def me() -> ProcessRef:
    ref = ProcessRef.of(os.getpid())
    assert ref is not None
    return ref


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    state = a_state(processes={"emulator": me()}, lake_bucket="lake")

    save(tmp_path, state)

    assert load(tmp_path) == state


def test_no_file_means_never_started(tmp_path: Path) -> None:
    assert load(tmp_path) is None


@pytest.mark.parametrize("text", ["", "{", "[]", '{"owner": "up"}', '{"processes": {"emulator": {"pid": 1}}}'])
def test_an_unreadable_file_says_how_to_start_over(tmp_path: Path, text: str) -> None:
    (tmp_path / "stack.json").write_text(text)

    with pytest.raises(StateError, match="levada reset"):
        load(tmp_path)


def test_a_file_of_another_version_is_refused(tmp_path: Path) -> None:
    save(tmp_path, a_state())
    raw = json.loads((tmp_path / "stack.json").read_text())
    (tmp_path / "stack.json").write_text(json.dumps(raw | {"version": 99}))

    with pytest.raises(StateError, match="version 99"):
        load(tmp_path)


def test_a_gone_emulator_without_a_clean_stop_is_a_crash() -> None:
    gone = ProcessRef(os.getpid(), started="1")

    assert a_state(processes={"emulator": gone}).unclean()
    assert a_state(processes={}).unclean()


def test_a_running_emulator_is_no_crash() -> None:
    state = a_state(processes={"emulator": me()})

    assert state.running()
    assert not state.unclean()


def test_a_clean_stop_is_no_crash() -> None:
    assert not a_state(clean=True).unclean()


def test_two_commands_do_not_start_or_stop_the_same_stack_at_once(tmp_path: Path) -> None:
    with locked(tmp_path), pytest.raises(StateError, match="another levada command"), locked(tmp_path):
        pass
    with locked(tmp_path):
        pass


def test_a_folder_that_cannot_be_made_names_the_option(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(StateError, match="--state-dir"), locked(tmp_path / "file" / "state"):
        pass


def test_wiping_a_stack_leaves_the_demo_and_foreign_files(tmp_path: Path) -> None:
    for name in ("s3/000/bucket/key", "emulator/s3.json", "demo/stack.json", "notes.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    save(tmp_path, a_state())

    wipe(tmp_path)

    assert sorted(path.name for path in tmp_path.iterdir()) == ["demo", "notes.txt"]
    assert (tmp_path / "demo" / "stack.json").exists()


def test_the_state_folder_is_the_given_one_then_the_variable_then_the_project(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("LEVADA_STATE_DIR", raising=False)
    assert state_dir() == project_root() / ".levada"
    monkeypatch.setenv("LEVADA_STATE_DIR", str(tmp_path / "named"))
    assert state_dir() == tmp_path / "named"
    assert state_dir(tmp_path / "given") == tmp_path / "given"


def test_the_project_is_found_from_a_folder_inside_it(tmp_path: Path) -> None:
    (tmp_path / "functions" / "levada").mkdir(parents=True)
    (tmp_path / "template.yaml").write_text("")
    (tmp_path / "docs").mkdir()

    assert project_root(tmp_path / "docs") == tmp_path


def test_the_users_stack_goes_before_the_demos(tmp_path: Path) -> None:
    save(demo_dir(tmp_path), a_state(owner="demo", port=4598, processes={"emulator": me()}))
    found = find_running(tmp_path)
    assert found is not None
    assert found[1].owner == "demo"

    save(tmp_path, a_state(processes={"emulator": me()}))
    found = find_running(tmp_path)
    assert found is not None
    assert found[1].owner == "up"


def test_aws_endpoint_url_wins_over_the_running_stack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEVADA_STATE_DIR", str(tmp_path))
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    save(tmp_path, a_state(processes={"emulator": me()}))
    assert Place.current() == Place(name="embedded", endpoint_url="http://127.0.0.1:4599", state=tmp_path)

    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9999/")
    assert Place.current() == Place(name="endpoint", endpoint_url="http://127.0.0.1:9999")
