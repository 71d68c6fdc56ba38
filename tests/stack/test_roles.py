"""What functions ask of AWS is what their roles allow: no call is refused, nothing is allowed that no call needs."""

from __future__ import annotations

import pytest

from levadactl.embedded.templates import read_template
from levadactl.permissions import Call, grants, refused, unused
from levadactl.places import Place
from tests.conftest import ROOT
from tests.stack.calls import CATALOG, HANDLERS, drive

pytestmark = pytest.mark.stack


@pytest.fixture(scope="module")
def made(embedded_stack: Place, tmp_path_factory: pytest.TempPathFactory) -> dict[str, set[Call]]:
    with pytest.MonkeyPatch.context() as monkeypatch:
        return drive(embedded_stack, monkeypatch, tmp_path_factory.mktemp("roles"))


@pytest.mark.parametrize("function", HANDLERS)
def test_every_call_is_allowed_by_the_role(made: dict[str, set[Call]], function: str) -> None:
    allowed = grants(read_template(ROOT / "template.yaml"), catalog=CATALOG)[function]

    assert made[function], "it has made no call at all"
    assert refused(made[function], allowed) == []


@pytest.mark.parametrize("function", HANDLERS)
def test_nothing_is_allowed_that_no_call_needs(made: dict[str, set[Call]], function: str) -> None:
    allowed = grants(read_template(ROOT / "template.yaml"), catalog=CATALOG)[function]

    left = [f"{one.action} on {one.resource} {one.prefix}".rstrip() for one in unused(made[function], allowed)]
    assert left == [], "take it from the role, or add an event to tests/stack/calls.py:\n" + "\n".join(left)
