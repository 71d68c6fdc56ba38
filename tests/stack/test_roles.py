"""What functions ask of AWS is what their roles allow: no call is refused, nothing is allowed that no call needs."""

from __future__ import annotations

import pytest

from levadactl import embedded
from levadactl.embedded import ports
from levadactl.embedded.templates import read_template
from levadactl.permissions import Call, Grant, grants, markdown, refused, unused
from tests.conftest import ROOT
from tests.stack.calls import CATALOG, HANDLERS, drive

TEMPLATE = read_template(ROOT / "template.yaml")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, set[Call]]:
    folder = tmp_path_factory.mktemp("roles")
    started = embedded.start(
        folder=folder / "state",
        port=ports.choose(),
        parameters={"Schedules": "DISABLED", "Catalog": CATALOG},
        with_triggers=False,
    )
    try:
        with pytest.MonkeyPatch.context() as monkeypatch:
            return drive(started.place, monkeypatch, folder)
    finally:
        embedded.stop(folder / "state")


@pytest.mark.stack
@pytest.mark.parametrize("function", HANDLERS)
def test_every_call_is_allowed_by_the_role(made: dict[str, set[Call]], function: str) -> None:
    assert made[function], "it has made no call at all"
    not_allowed = [f"{c.action} on {c.resource} {c.prefix}" for c in refused(made[function], granted(function))]
    assert not_allowed == [], "on AWS this is AccessDenied: add it to the role\n" + "\n".join(not_allowed)


@pytest.mark.stack
@pytest.mark.parametrize("function", HANDLERS)
def test_nothing_is_allowed_that_no_call_needs(made: dict[str, set[Call]], function: str) -> None:
    left = [f"{g.action} on {g.resource} {g.prefix}" for g in unused(made[function], granted(function))]
    assert left == [], "take it from the role, or add an event to tests/stack/calls.py:\n" + "\n".join(left)


def granted(function: str) -> list[Grant]:
    return grants(TEMPLATE, catalog=CATALOG)[function]


def test_the_docs_list_what_each_role_allows() -> None:
    assert markdown(TEMPLATE) in (ROOT / "docs" / "security.md").read_text(), "run: python -m levadactl.permissions"
