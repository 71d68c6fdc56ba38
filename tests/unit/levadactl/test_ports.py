"""Ports: who listens where, and which one to take."""

from __future__ import annotations

import os
import socket
import sys

import pytest

from levadactl.embedded import ports
from levadactl.embedded.ports import Listener

linux_only = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc/net/tcp")


@pytest.mark.parametrize("address", ["127.0.0.1", "127.8.9.1", "::1", "::ffff:127.0.0.1"])
def test_loopback_is_loopback(address: str) -> None:
    assert Listener(address, 1).loopback_only


@pytest.mark.parametrize("address", ["0.0.0.0", "::", "192.168.1.1", "::ffff:10.0.0.1", "fe80::1"])  # noqa: S104
def test_everything_else_is_exposed(address: str) -> None:
    assert not Listener(address, 1).loopback_only


@linux_only
@pytest.mark.parametrize(
    ("family", "address"),
    [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::1")],  # noqa: S104
)
def test_a_listening_socket_is_seen_with_its_address(family: socket.AddressFamily, address: str) -> None:
    with socket.socket(family, socket.SOCK_STREAM) as server:
        server.bind((address, 0))
        server.listen()
        port = int(server.getsockname()[1])

        assert Listener(address, port) in (ports.listeners(os.getpid()) or [])
    assert Listener(address, port) not in (ports.listeners(os.getpid()) or [])


def test_a_taken_port_is_not_free_and_not_chosen() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as server:
        server.bind((ports.LOOPBACK, 0))
        server.listen()
        taken = int(server.getsockname()[1])

        assert not ports.is_free(taken)
        assert ports.choose(taken) != taken
    assert ports.choose(None, taken) == taken


def test_the_port_that_wrappers_fall_back_to_is_never_taken() -> None:
    assert ports.choose(4566) != 4566
