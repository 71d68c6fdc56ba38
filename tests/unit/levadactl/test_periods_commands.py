"""levada rollups, kpi and limits as they are called; the API and the lake are in memory."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from levada.archive.handler import handler as archive
from levada.core.errors import ConflictError
from levada.query.handler import handler as query
from levadactl import http, loading
from levadactl.cli import main
from levadactl.errors import LevadactlError
from levadactl.events import rest
from levadactl.loading import Lake
from levadactl.memory import MemoryBlobStore, MemoryDeps
from levadactl.places import Place
from tests.events.test_query import fill
from tests.events.test_query_events import RECORDS
from tests.unit.tools.pipeline import aggregate, clean


class Here:
    """A place whose functions run in this process."""

    api_url = "http://memory"


@pytest.fixture
def here(memory: MemoryDeps, monkeypatch: pytest.MonkeyPatch) -> MemoryDeps:
    def get(_base: str, path: str, asked: dict[str, str]) -> Any:
        answer = query(rest("GET", path, query=asked), None)
        if answer["statusCode"] != 200:
            raise LevadactlError(answer["body"])
        return json.loads(answer["body"])

    def get_csv(_base: str, path: str, asked: dict[str, str]) -> tuple[str, str | None]:
        answer = query(rest("GET", path, query={**asked, "format": "csv"}), None)
        if answer["statusCode"] != 200:
            raise LevadactlError(answer["body"])
        return answer["body"], next(iter(answer["multiValueHeaders"].get(http.NEXT, [])), None)

    monkeypatch.setattr(Place, "current", classmethod(lambda cls: Here()))
    monkeypatch.setattr(Lake, "of", classmethod(lambda cls, place: Lake(memory.blobs, memory.serving)))
    monkeypatch.setattr(http, "get", get)
    monkeypatch.setattr(http, "get_csv", get_csv)
    monkeypatch.setattr(
        loading, "order_archive", lambda place, detail: archive({"source": "levada.tools", "detail": detail}, None)
    )
    fill(memory, 30)
    return memory


def answer(capsys: pytest.CaptureFixture[str], line: str, status: int = 0) -> Any:
    assert main([*line.split(), "--json"]) == status
    said = capsys.readouterr()
    return json.loads(said.out) if status == 0 else said.err


def test_limits_rollups_and_kpi_from_the_command_line(here: MemoryDeps, capsys: pytest.CaptureFixture[str]) -> None:
    """D15, D16, C14: set limits, make rollups, read both."""
    answer(capsys, "limits set --metric co --lower 0 --upper 4 --from 2004-03-11")
    made = answer(capsys, "rollups make --domain air_quality")

    assert made["rollups"]["gold"] > 0
    days = answer(capsys, "rollups ls --metric co")["rollups"]
    assert [row["count"] for row in days] == [6, 24]
    kpi = answer(capsys, "kpi --period 1mo")["kpi"]
    assert [(row["start"], row["n"], row["upper"]) for row in kpi] == [("2004-03-11T00:00:00Z", 24, 4.0)]
    assert answer(capsys, "rollups make --period 1d --since 2004-03-11")["rollups"]["objects"] == 0


def test_people_see_tables(here: MemoryDeps, capsys: pytest.CaptureFixture[str]) -> None:
    main(["limits", "set", "--metric", "co", "--upper", "4", "--series", "station-1"])
    main(["rollups", "make"])
    capsys.readouterr()
    for line, word in (("rollups ls --period 1h", "2004-03-10T18:00:00Z"), ("kpi", "4"), ("limits ls", "station-1")):
        assert main(line.split()) == 0
        assert word in capsys.readouterr().out
    assert main(["limits", "ls", "--tenant", "nobody"]) == 0
    assert "no limits" in capsys.readouterr().out


def test_jobs_and_events_from_the_command_line(here: MemoryDeps, capsys: pytest.CaptureFixture[str]) -> None:
    """C4, D18."""
    here.config = replace(here.config, domains_enabled="*")
    here.clock.time_s = 1_767_225_600.0 + 60
    clean(here, RECORDS)
    aggregate(here)

    assert [row["entity_id"] for row in answer(capsys, "jobs --status running")["jobs"]] == ["j4", "j2"]
    assert [row["entity_id"] for row in answer(capsys, "jobs --parent j1")["subjobs"]] == ["s1"]
    assert [row["entity_id"] for row in answer(capsys, "jobs --sub --limit 1")["subjobs"]] == ["s2"]
    assert [row["entity_id"] for row in answer(capsys, "events --domain jobs --type error")["events"]] == ["j3"]
    assert main(["jobs", "--app", "render"]) == 0
    assert "succeeded" in capsys.readouterr().out


def test_an_overlap_is_refused_and_an_end_makes_room(here: MemoryDeps, capsys: pytest.CaptureFixture[str]) -> None:
    answer(capsys, "limits set --metric co --upper 4")
    refused = answer(capsys, "limits set --metric co --upper 5 --from 2005-01-01", status=1)
    ended = answer(capsys, "limits end --metric co --at 2005-01-01")
    answer(capsys, "limits set --metric co --upper 5 --from 2005-01-01")

    assert "overlaps the specification limit of co" in refused
    assert ended["ended"]["until"] == "2005-01-01T00:00:00Z"
    assert [one["upper"] for one in answer(capsys, "limits ls")["limits"]] == [4.0, 5.0]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("limits set --metric co", "lower=None: must be given, or upper, or both"),
        ("limits set --metric co --upper 4 --from tomorrow", "--from 'tomorrow': must be a day"),
        ("limits set --metric co --upper 4 --domain moon", "domain 'moon': must be one of"),
        ("limits end --metric co --at 2005-01-01", "no limit specification/co"),
        ("rollups ls --since tomorrow", "since"),
    ],
)
def test_a_mistake_is_one_line_that_names_it(
    line: str, words: str, here: MemoryDeps, capsys: pytest.CaptureFixture[str]
) -> None:
    assert words in answer(capsys, line, status=1)


def test_two_people_who_set_limits_at_once_both_succeed(
    here: MemoryDeps, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    put_if, lost = MemoryBlobStore.put_if, [1, 2]

    def overtaken(self: MemoryBlobStore, key: str, body: bytes, *, etag: str | None) -> str:
        if lost:
            lost.pop()
            raise ConflictError("somebody else was faster")
        return put_if(self, key, body, etag=etag)

    monkeypatch.setattr(MemoryBlobStore, "put_if", overtaken)

    assert answer(capsys, "limits set --metric co --upper 4")["set"]["upper"] == 4.0
