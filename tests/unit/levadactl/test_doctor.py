"""levada doctor: each finding says what was found and, unless all is well, what to do."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path

import pytest

from levadactl.cli import main
from levadactl.commands import doctor
from levadactl.commands.doctor import Finding, examine, pinned
from levadactl.embedded import ports
from levadactl.embedded.emulator import DEFAULT_PORT
from levadactl.embedded.processes import ProcessRef
from levadactl.embedded.state import StackState, save


@pytest.fixture(autouse=True)
def _no_endpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ENDPOINT_URL", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)


def found(folder: Path, check: str) -> list[Finding]:
    return [one for one in examine(folder) if one.check == check]


def a_state(**changes: object) -> StackState:
    state = StackState(owner="up", port=1, started_at="2026-01-01T00:00:00+00:00", instance="abc")
    state.endpoint = "http://127.0.0.1:1"
    for name, value in changes.items():
        setattr(state, name, value)
    return state


def test_whatever_is_not_ok_says_what_to_do(tmp_path: Path) -> None:
    findings = list(examine(tmp_path))

    assert {one.check for one in findings} >= {"python", "dependencies", "state folder", "disk", "clock", "stack"}
    assert [one for one in findings if one.level != "ok" and not one.advice] == []


def test_a_stack_that_was_never_started_is_fine(tmp_path: Path) -> None:
    assert [one.level for one in found(tmp_path, "stack")] == ["ok"]


def test_an_unclean_stop_is_a_warning(tmp_path: Path) -> None:
    save(tmp_path, a_state())

    assert [(one.level, one.found) for one in found(tmp_path, "stack")] == [("warn", "did not stop cleanly")]


def test_a_stack_that_does_not_answer_fails(tmp_path: Path) -> None:
    me = ProcessRef.of(os.getpid())
    assert me is not None
    save(tmp_path, a_state(processes={"emulator": me}))

    assert [one.level for one in found(tmp_path, "stack")] == ["fail"]


def test_an_unreadable_state_fails_and_names_reset(tmp_path: Path) -> None:
    (tmp_path / "stack.json").write_text("{")

    assert [(one.level, one.advice) for one in found(tmp_path, "stack")] == [("fail", "levada reset")]


def test_a_folder_that_cannot_be_written_fails(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    assert [one.level for one in found(tmp_path / "file" / "state", "state folder")] == ["fail"]


def test_a_foreign_endpoint_is_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:4566")

    assert [one.level for one in found(tmp_path, "AWS_ENDPOINT_URL")] == ["warn"]


def test_a_proxy_without_an_exception_for_loopback_is_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://proxy:3128")
    monkeypatch.setenv("NO_PROXY", "example.org")
    assert [one.level for one in found(tmp_path, "proxy")] == ["warn"]

    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")
    assert found(tmp_path, "proxy") == []


def test_a_taken_default_port_is_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as server:
        server.bind((ports.LOOPBACK, 0))
        server.listen()
        taken = int(server.getsockname()[1])
        monkeypatch.setitem(DEFAULT_PORT, "up", taken)

        assert [one.level for one in found(tmp_path, f"port {taken}")] == ["warn"]


def test_little_disk_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "MIN_FREE_BYTES", 10**18)

    assert [one.level for one in found(tmp_path, "disk")] == ["fail"]


def test_pinned_versions_come_from_the_project_without_its_tools(tmp_path: Path) -> None:
    path = tmp_path / "pyproject.toml"
    assert pinned(path) == {}
    path.write_text(
        '[project.optional-dependencies]\nlocal = ["levada[base]", "rich==15.0.0", "a-b>=2"]\ndev = ["ruff==1.0"]\n'
    )

    assert pinned(path) == {"rich": "15.0.0"}


def test_it_says_whether_the_compiled_kernels_are_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("levada.core.native.problem", lambda: "")
    assert [(one.level, one.found) for one in found(tmp_path, "kernels")] == [("ok", "compiled")]

    monkeypatch.setattr("levada.core.native.problem", lambda: "kernels-x.so is not there")
    (one,) = found(tmp_path, "kernels")
    assert (one.level, one.advice) == ("warn", "make kernels")
    assert "kernels-x.so is not there" in one.found


def test_the_command_exits_with_1_when_a_check_fails(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "stack.json").write_text("{")

    assert main(["doctor", "--state-dir", str(tmp_path), "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["ok"] is False
