"""Which domains a deployment reads (D1, D31)."""

from __future__ import annotations

import pytest

from levada.core.errors import ConfigError
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
        ("levada.domains.jobs:NONE", "NONE"),
        ("levada.domains.jobs:STATUS", "must be a Domain, not dict"),
    ],
)
def test_a_setting_that_names_nothing_is_refused(setting: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        enabled(setting)
