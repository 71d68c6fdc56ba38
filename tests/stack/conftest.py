"""One embedded stack for all stack tests of a session: the real template, the real triggers, a folder of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from levadactl import embedded
from levadactl.embedded import ports
from levadactl.places import Place


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
