"""Containers reach the stack through one forwarder, and find it by an environment file."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

import pytest

from levadactl import samlocal
from levadactl.embedded import bridge, ports
from levadactl.embedded.templates import read_template
from levadactl.errors import StartError
from tests.conftest import ROOT

OTHER_LOOPBACK = "127.0.0.2"


async def _echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(100):
        writer.write(data.upper())
    writer.close()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux answers on all of 127.0.0.0/8")
def test_what_comes_in_on_the_bridge_goes_to_loopback_and_back() -> None:
    async def scene() -> bytes:
        port = ports.choose()
        target = await asyncio.start_server(_echo, ports.LOOPBACK, port)
        async with target, await bridge.serve(OTHER_LOOPBACK, port):
            reader, writer = await asyncio.open_connection(OTHER_LOOPBACK, port)
            writer.write(b"hello")
            writer.write_eof()
            answer = await reader.read()
            writer.close()
            return answer

    assert asyncio.run(scene()) == b"HELLO"


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux answers on all of 127.0.0.0/8")
def test_a_stack_that_is_gone_ends_the_connection() -> None:
    async def scene() -> bytes:
        port = ports.choose()
        async with await bridge.serve(OTHER_LOOPBACK, port):
            reader, writer = await asyncio.open_connection(OTHER_LOOPBACK, port)
            answer = await reader.read()
            writer.close()
            return answer

    assert asyncio.run(scene()) == b""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="elsewhere containers reach loopback")
def test_without_a_container_engine_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bridge, "address", lambda: None)

    with pytest.raises(StartError, match="there is no bridge docker0"):
        bridge.start(tmp_path, 4599)


def test_an_interface_that_is_not_there_has_no_address() -> None:
    assert bridge.address("nosuch0") is None


def test_the_projects_environment_file_is_for_the_stack_that_up_starts() -> None:
    assert (ROOT / samlocal.FILE).read_text() == samlocal.default_environment()


def test_sam_local_is_told_only_what_the_template_declares() -> None:
    # It passes on what a function declares and drops the rest without a word.
    declared = read_template(ROOT / "template.yaml")["Globals"]["Function"]["Environment"]["Variables"]

    assert set(json.loads(samlocal.default_environment())["Parameters"]) <= set(declared)
