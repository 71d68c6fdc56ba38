"""levada token as it is called: the token is seen once, the table has its SHA-256; what the tools then send (D34)."""

from __future__ import annotations

import http.server
import json
import threading
import time
from collections.abc import Iterator
from typing import Any, ClassVar

import pytest

from levada.core.access import FORM, PK, READ, WRITE, Caller, admit, digest_of
from levadactl import http as api
from levadactl import tokens
from levadactl.cli import main
from levadactl.commands import token as command
from levadactl.errors import LevadactlError
from levadactl.memory import MemoryDeps


@pytest.fixture
def here(memory: MemoryDeps, monkeypatch: pytest.MonkeyPatch) -> MemoryDeps:
    memory.clock.time_s = 2_000_000_000
    monkeypatch.setattr(command, "_store", lambda _table: memory.serving)
    monkeypatch.setattr(time, "time", memory.clock.now_s)
    return memory


def said(capsys: pytest.CaptureFixture[str], line: str, status: int = 0) -> Any:
    assert main([*line.split(), "--json"]) == status
    out = capsys.readouterr()
    return out.err if status else json.loads(out.out)


CREATE = "token create --name meter-7 --scope write --tenant north"


def test_a_token_is_seen_once_and_opens_what_it_says(here: MemoryDeps, capsys: pytest.CaptureFixture[str]) -> None:
    made = said(capsys, f"{CREATE} --scope read --expires 30d")

    assert FORM.fullmatch(made["token"])
    assert (made["name"], made["tenant"], made["scopes"]) == ("meter-7", "north", ["read", "write"])
    assert (made["created"], made["expires"]) == ("2033-05-18T03:33:20Z", "2033-06-17T03:33:20Z")
    assert made["token"] not in str(here.serving.items)
    for scope in (READ, WRITE):
        caller = admit(
            {"Authorization": f"Bearer {made['token']}"},
            [],
            scope,
            auth="REQUIRED",
            default="default",
            find=here.tokens.find,
            memo={},
            now_s=here.clock.now_s(),
        )
        assert caller == Caller("meter-7", "north", bound=True)
    (listed,) = said(capsys, "token ls")["tokens"]
    assert listed == {name: value for name, value in made.items() if name != "token"}


def test_a_shell_takes_the_token_from_stdout_alone(here: MemoryDeps, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(CREATE.split()) == 0
    out = capsys.readouterr()

    assert FORM.fullmatch(out.out.strip())
    assert "meter-7: write, tenant north, until" in out.err
    assert out.out.strip() not in out.err


def test_no_two_tokens_are_alike(here: MemoryDeps) -> None:
    made = [
        tokens.create(
            here.serving, name=f"t{n}", tenant="default", scopes=["read"], expires="1h", now_s=here.clock.now_s()
        )
        for n in range(50)
    ]

    assert len({text for text, _ in made}) == 50
    assert all(token.digest == digest_of(text) for text, token in made)


def test_a_revoked_token_is_listed_no_more_and_refused_by_whoever_looks(
    here: MemoryDeps, capsys: pytest.CaptureFixture[str]
) -> None:
    made = said(capsys, CREATE)
    other = said(capsys, "token create --name other --scope read")

    assert said(capsys, "token revoke meter-7")["revoked"]["sha256"] == made["sha256"]

    assert [one["name"] for one in said(capsys, "token ls")["tokens"]] == ["other"]
    item = here.tokens.find(digest_of(made["token"]))
    assert item is not None
    assert (item["revoked_at"], item["expires_at"]) == (2_000_000_000, 2_000_000_000)
    assert said(capsys, f"token revoke {other['sha256']}")["revoked"]["name"] == "other"
    assert "no token has this name or SHA-256" in said(capsys, "token revoke meter-7", 1)
    assert said(capsys, CREATE)["name"] == "meter-7", "a name is free again"


def test_a_token_that_is_over_is_listed_no_more(here: MemoryDeps, capsys: pytest.CaptureFixture[str]) -> None:
    said(capsys, f"{CREATE} --expires 1h")
    here.clock.time_s += 3600

    assert said(capsys, "token ls")["tokens"] == []
    assert main(["token", "ls"]) == 0
    assert "no tokens" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("token create --name a --scope root", "--scope 'root': must be one of read, write, admin"),
        ("token create --name a --scope read --expires 2y", "--expires '2y': must be hours (12h) or days (90d)"),
        ("token create --name a --scope read --expires 0d", "--expires '0d': must be hours"),
        ("token create --name a --scope read --expires 3651d", "at most 3650d"),
        ("token create --name a/b --scope read", "--name 'a/b': must be 1 to 64 letters"),
        ("token create --name a --scope read --tenant a/b", "--tenant 'a/b': must be 1 to 64 letters"),
        ("token create --name a --scope read --tenant *", "--tenant * names any tenant: it wants --scope admin"),
        ("token create --name meter-7 --scope read", "--name 'meter-7': a token has this name"),
        ("token revoke ab", "'ab': no token has this name or SHA-256 (of 6 characters); there are: meter-7"),
    ],
)
def test_a_wrong_option_is_named_with_what_is_allowed(
    line: str, says: str, here: MemoryDeps, capsys: pytest.CaptureFixture[str]
) -> None:
    said(capsys, CREATE)
    before = dict(here.serving.items)

    assert says in said(capsys, line, 1)
    assert here.serving.items == before


def test_a_beginning_that_is_of_several_names_none(here: MemoryDeps, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("one", "two"):
        text, token = tokens.create(
            here.serving, name=name, tenant="default", scopes=["read"], expires="1h", now_s=here.clock.now_s()
        )
        del here.serving.items[PK, token.digest]
        here.serving.put([token.to_item() | {"sk": f"abcdef{digest_of(text)}"}])

    assert "several tokens are meant" in said(capsys, "token revoke abcdef", 1)


# ------------------------------------------------------------------ what the tools send


class Seen(http.server.BaseHTTPRequestHandler):
    """An API that answers 401, and remembers what came."""

    headers_seen: ClassVar[list[str | None]] = []
    status = 401

    def do_GET(self) -> None:
        self.headers_seen.append(self.headers.get("Authorization"))
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        body = b'{"error": "no token"}'
        self.send_response(self.status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET  # noqa: N815  # the base class's names

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture
def url() -> Iterator[str]:
    Seen.headers_seen.clear()
    with http.server.HTTPServer(("127.0.0.1", 0), Seen) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def test_the_tools_send_the_token_of_the_environment_and_say_what_to_do_without(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = f"lvd_{'a' * 43}"
    for given in (None, token, f" {token}\n"):
        monkeypatch.delenv(api.TOKEN, raising=False)
        if given is not None:
            monkeypatch.setenv(api.TOKEN, given)
        with pytest.raises(LevadactlError, match=r"HTTP 401: no token; make a token: export LEVADA_TOKEN=\$\(levada"):
            api.get(url, "/v1/series", {})
        status, answer = api.post(url, "/v1/event", b"{}", {"Content-Type": "application/json"})
        assert (status, answer["error"].startswith("no token; make a token: export LEVADA_TOKEN=")) == (401, True)

    assert Seen.headers_seen == [None, None, *[f"Bearer {token}"] * 4]


@pytest.mark.parametrize("given", ["secret", f"lvd_{'a' * 43}\nX-Other: 1", "lvd_short"])
def test_what_is_no_token_is_not_sent_and_not_repeated(url: str, given: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(api.TOKEN, given)
    with pytest.raises(LevadactlError, match="LEVADA_TOKEN holds no token of levada") as refused:
        api.get(url, "/v1/series", {})

    assert given not in str(refused.value)
    assert Seen.headers_seen == []
