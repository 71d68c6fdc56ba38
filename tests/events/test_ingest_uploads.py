"""POST /v1/upload and /v1/runs through the real handlers of both ingest functions; the places are fakes."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from levada.core import packs
from levada.ingest import files_handler, uploads
from levada.ingest.http_handler import handler
from levadactl import events
from levadactl.cases import landed
from levadactl.events import rest
from levadactl.memory import MemoryDeps

FILE = landed("landing/air_quality/a.csv") or b""
ROWS = 48
FUNCTION = "levada-ingest-files"


@pytest.fixture
def stack(memory: MemoryDeps) -> MemoryDeps:
    """Both functions, the second under its name."""
    object.__setattr__(memory.config, "files_function", FUNCTION)
    memory.functions.handlers[FUNCTION] = lambda event: files_handler.handler(event, None)
    return memory


def post(path: str, body: bytes | dict[str, Any], query: dict[str, str] | None = None, **headers: str) -> Any:
    """(status, answer)."""
    raw = body if isinstance(body, bytes) else events.compact(body)
    event = rest("POST", path, body=b"", query=query)
    event |= {"body": base64.b64encode(raw).decode(), "isBase64Encoded": True}
    event["headers"] |= {name.replace("_", "-"): value for name, value in headers.items()}
    answer = handler(event, None)
    return answer["statusCode"], json.loads(answer["body"])


def form(content: bytes, name: str = "a.csv", *, field: str = "file", more: bytes = b"") -> bytes:
    head = (
        f'--XX\r\nContent-Disposition: form-data; name="{field}"; filename="{name}"\r\nContent-Type: text/csv\r\n\r\n'
    )
    return head.encode() + content + b"\r\n" + more + b"--XX--\r\n"


def upload(content: bytes, name: str = "a.csv", **query: str) -> Any:
    kind = "multipart/form-data; boundary=XX"
    return post("/v1/upload", form(content, name), {"domain": "air_quality"} | query, Content_Type=kind)


def run(key: object, **fields: object) -> Any:
    return post("/v1/runs", {"key": key, **fields})


def test_a_file_in_a_form_lies_under_landing_byte_by_byte(stack: MemoryDeps) -> None:
    """A2: multipart, field ``file``."""
    status, answer = upload(FILE)

    assert (status, answer["bytes"]) == (201, len(FILE))
    assert answer["key"].startswith("landing/air_quality/")
    assert answer["key"].endswith("/a.csv")
    assert stack.blobs.objects == {answer["key"]: FILE}


def test_a_raw_body_says_the_same_and_comes_to_rest_under_the_same_key(stack: MemoryDeps) -> None:
    _, as_form = upload(FILE)
    _, raw = post("/v1/upload", FILE, {"domain": "air_quality", "name": "a.csv"}, Content_Type="text/csv")
    _, other = post("/v1/upload", FILE + b"\n", {"domain": "air_quality", "name": "a.csv"}, Content_Type="text/csv")

    assert raw == as_form
    assert other["key"] != raw["key"]  # nothing that was uploaded is ever replaced by something else
    assert len(stack.blobs.objects) == 2


def test_a_form_may_hold_the_domain(stack: MemoryDeps) -> None:
    more = b'--XX\r\nContent-Disposition: form-data; name="domain"\r\n\r\nair_quality\r\n'

    status, answer = post("/v1/upload", form(FILE, more=more), Content_Type='multipart/form-data; boundary="XX"')

    assert (status, answer["key"].split("/")[1]) == (201, "air_quality")
    assert stack.blobs.objects[answer["key"]] == FILE


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("../../etc/passwd.csv", "passwd.csv"),
        ("..", "upload"),
        ("C:\\data\\übersicht 1.csv", "bersicht_1.csv"),
        ("a/b/.hidden.csv", "hidden.csv"),
        ("x" * 300 + ".csv.gz", "x" * 93 + ".csv.gz"),
        ("%2e%2e%2fa.csv", "2e_2e_2fa.csv"),
        ("a\0b.csv", "a_b.csv"),
        ("", "upload"),
    ],
)
def test_a_name_never_decides_where_a_file_lies(name: str, kept: str) -> None:
    assert uploads.harmless(name) == kept


@pytest.mark.parametrize(
    ("body", "query", "kind", "status", "says"),
    [
        (b"", {}, "text/csv", 400, "the file is empty"),
        (bytes(uploads.MAX_UPLOAD_BYTES + 1), {}, "text/csv", 413, "ask for a URL with POST /v1/upload?url=1"),
        (b"x", {"name": "a.exe"}, "text/csv", 415, "name='a.exe': must end in one of .csv"),
        (b"x", {"domain": "weather"}, "text/csv", 400, "domain='weather': must be one of"),
        (b"x", {"domain": "../x"}, "text/csv", 400, "domain='../x': must be one of"),
        (b"x", {}, "multipart/form-data", 400, "must name its boundary"),
        (b"x", {}, "multipart/form-data; boundary=XX", 400, "no multipart form"),
        (form(b"x")[:-4], {}, "multipart/form-data; boundary=XX", 400, "cut short"),
        (form(b"x", field="datei"), {}, "multipart/form-data; boundary=XX", 400, "0 parts named 'file'"),
        (form(b"")[:40] + b"\r\n--XX--", {}, "multipart/form-data; boundary=XX", 400, "no blank line"),
        (b"--XX\r\n\r\n\r\n" * 99 + b"--XX--", {}, "multipart/form-data; boundary=XX", 400, "more than 20 parts"),
        (b"", {"url": "1"}, "text/csv", 400, "name is missing"),
    ],
)
def test_an_upload_that_is_no_good_is_a_clear_4xx_and_stores_nothing(
    stack: MemoryDeps, body: bytes, query: dict[str, str], kind: str, status: int, says: str
) -> None:
    found, answer = post("/v1/upload", body, {"domain": "air_quality"} | query, Content_Type=kind)

    assert found == status
    assert says in answer["error"]
    assert stack.blobs.objects == {}


def test_bytes_that_the_gateway_made_text_of_are_not_taken_for_the_file(stack: MemoryDeps) -> None:
    event = rest("POST", "/v1/upload", body=b"", query={"domain": "air_quality"})
    event["headers"] |= {"Content-Type": "application/x-parquet"}
    event["body"] = b"PAR1\xff\xfe".decode(errors="replace")

    answer = handler(event, None)

    assert answer["statusCode"] == 400
    assert "harmed on its way" in answer["body"]
    assert stack.blobs.objects == {}


def test_a_large_file_gets_a_url_to_be_put_to(stack: MemoryDeps) -> None:
    status, answer = post("/v1/upload", b"", {"url": "1", "name": "year.csv.gz", "domain": "air_quality"})

    assert status == 200
    assert (answer["method"], answer["key"][:20]) == ("PUT", "landing/air_quality/")
    assert answer["url"] == f"memory://{answer['key']}?expires={answer['expires_s']}"
    assert stack.blobs.objects == {}


def test_a_run_loads_a_landed_file_and_says_how_many_rows_it_has(stack: MemoryDeps) -> None:
    """A3."""
    key = upload(FILE)[1]["key"]

    first, again = run(key), run(key)

    assert first == (200, {"triggered": True, "rows": ROWS, "path": key, "status": "loaded", "done": True})
    assert again == (200, {"triggered": True, "rows": ROWS, "path": key, "status": "duplicate", "done": True})
    assert sum(packs.split(e.data)[0].count for e in stack.raw.entries) == ROWS


def test_a_range_of_time_counts_its_rows_only_and_the_file_is_loaded_once(stack: MemoryDeps) -> None:
    key = upload(FILE)[1]["key"]
    lines = FILE.decode().split("\r\n")
    day = lines[1].split(";")[0]
    there = sum(line.startswith(day) for line in lines)
    iso = "-".join(reversed(day.split("/")))

    counted = run(key, since=f"{iso}T00:00:00Z", until=f"{iso}T23:59:59.999+00:00")[1]
    none = run(key, until="1999-01-01")[1]

    assert 0 < there < ROWS
    assert (counted["rows"], none["rows"]) == (there, 0)
    assert sum(packs.split(e.data)[0].count for e in stack.raw.entries) == ROWS


@pytest.mark.parametrize(
    ("body", "status", "says"),
    [
        ({}, 400, "key=None: must be landing/<domain>/<file>"),
        ({"key": 7}, 400, "key=7: must be landing/"),
        ({"key": "checkpoints/clean/x"}, 400, "must be landing/"),
        ({"key": "landing/air_quality/"}, 400, "must be landing/"),
        ({"key": "landing/weather/a.csv"}, 400, "domain 'weather' must be one of"),
        ({"key": "landing/air_quality/nothing.csv"}, 404, "there is no such object"),
        ({"key": "landing/air_quality/noth"}, 404, "there is no such object"),
        ({"key": "landing/air_quality/a.csv", "since": "yesterday"}, 400, "since='yesterday': must be a time like"),
        ({"key": "landing/air_quality/a.csv", "until": 5}, 400, "until=5: must be a time like"),
        ({"key": "landing/air_quality/a.csv", "since": "2025-02-01", "until": "2025-01-01"}, 400, "must be later"),
        ({"key": "landing/air_quality/a.csv", "from": "2025"}, 400, "'from' is no field of a run"),
        (b"[]", 400, "must be one object"),
    ],
)
def test_a_run_of_an_unknown_or_missing_source_is_4xx(
    stack: MemoryDeps, body: dict[str, Any] | bytes, status: int, says: str
) -> None:
    stack.blobs.objects["landing/air_quality/nothing.csv.later"] = FILE

    found, answer = post("/v1/runs", body)

    assert (found, says in answer["error"]) == (status, True), answer
    assert stack.raw.entries == []


def test_a_run_of_a_file_that_cannot_be_read_says_why(stack: MemoryDeps) -> None:
    key = upload(b"a,b\n1,2\n")[1]["key"]

    status, answer = run(key)

    assert status == 400
    assert "missing_columns" in answer["error"]


def test_a_run_that_takes_longer_than_a_request_may_goes_on_and_is_asked_for_again(stack: MemoryDeps) -> None:
    key = upload(FILE)[1]["key"]
    stack.functions.slow = True

    assert run(key) == (202, {"triggered": True, "rows": None, "path": key, "status": "running", "done": False})
    stack.functions.slow = False
    assert run(key)[1]["status"] == "duplicate"


def test_a_loader_that_cannot_be_reached_is_503(stack: MemoryDeps) -> None:
    key = upload(FILE)[1]["key"]
    stack.functions.down = True

    assert run(key)[0] == 503
