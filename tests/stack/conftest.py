"""One stack for all stack tests of a session: embedded in a folder of its own, or one of its own on LocalStack."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from levadactl import embedded, localstack
from levadactl.deploy import deploy
from levadactl.embedded import ports
from levadactl.errors import NotRunningError
from levadactl.places import Place

STACK = "levada-test"
"""Not the name of a stack that anybody would have on their LocalStack."""


@pytest.fixture(scope="session")
def embedded_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """A deployed place on a free port. Schedules are off: a test that needs a tick invokes archive itself.

    To run a command against it: ``subprocess.run(..., env=place.child_environment())`` and ``--state-dir place.state``.
    """
    folder = tmp_path_factory.mktemp("levada-state")
    # Its own port and folder: a stack that a developer has running is neither used nor touched.
    started = embedded.start(folder=folder, port=ports.choose(), parameters={"Schedules": "DISABLED"})
    try:
        yield started.place
    finally:
        stopped = embedded.stop(folder)
        assert stopped.killed == 0, f"processes had to be killed; logs: {sorted(Path(folder, 'logs').glob('*'))}"


@pytest.fixture(scope="session")
def localstack_stack() -> Iterator[Place]:
    """A stack of our own on the LocalStack at AWS_ENDPOINT_URL (default: its usual port), deleted at the end.

    Skips when nothing answers there, and when something else does.
    """
    try:
        place = localstack.place(STACK)
    except NotRunningError as err:
        pytest.skip(str(err))
    localstack.delete(place)
    deploy(place, parameters={"LogLevel": "WARNING"})
    try:
        yield place
    finally:
        localstack.delete(place)
