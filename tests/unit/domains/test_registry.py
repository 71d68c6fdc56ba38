"""Which domains a deployment reads (D1, D31)."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from levada.core.errors import ConfigError
from levada.domains import registry
from levada.domains.declaration import Domain, Time
from levada.domains.jobs import JOBS
from levada.domains.registry import enabled, registered


def test_a_star_is_all_and_names_are_those() -> None:
    assert enabled("*") == registered()
    assert list(enabled("jobs, lab")) == ["jobs", "lab"]


def test_a_reference_names_a_declaration_that_nobody_registered() -> None:
    assert enabled("levada.domains.jobs:JOBS") == {"jobs": JOBS}
    assert enabled("*,levada.domains.jobs:JOBS") == registered()


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ("weather", "weather"),
        ("nowhere:X", "nowhere"),
        (":X", "names ':X'"),
        ("levada.domains.jobs:NONE", "NONE"),
        ("levada.domains.jobs:STATUS", "must be a Domain, not dict"),
    ],
)
def test_a_setting_that_names_nothing_is_refused(setting: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        enabled(setting)


class Point:
    """An entry point of another package."""

    def __init__(self, domain: Domain) -> None:
        self.domain = domain

    def load(self) -> Domain:
        return self.domain


def weather(name: str = "weather") -> Domain:
    return Domain(name=name, time=Time(columns=("t",), formats=("iso",)), open_metrics=True)


@pytest.fixture
def fresh() -> Iterator[None]:
    registered.cache_clear()
    yield
    registered.cache_clear()


@pytest.mark.usefixtures("fresh")
def test_another_package_registers_a_domain_by_entry_point(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "importlib.metadata.entry_points", lambda group: [Point(weather())] * (group == "levada.domains")
    )

    assert set(enabled("*")) == {*(domain.name for domain in registry.BUILT_IN), "weather"}


@pytest.mark.usefixtures("fresh")
def test_two_domains_of_one_name_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.metadata.entry_points", lambda group: [Point(weather("jobs"))])

    with pytest.raises(ConfigError, match="'jobs' is registered twice"):
        enabled("*")
