"""Settings: every wrong value is named with what is allowed."""

from __future__ import annotations

import pytest

from levada.config import Config
from levada.core.errors import ConfigError
from levada.domains.declaration import Domain, Metric, Time
from levada.domains.registry import enabled


def test_defaults_hold_where_nothing_or_an_empty_value_is_set() -> None:
    assert Config.from_env({"LEVADA_MAX_SKEW_S": "", "OTHER": "x"}) == Config()


def test_values_are_read() -> None:
    config = Config.from_env({"LEVADA_BUCKET": "lake", "LEVADA_PACK_ROWS": "10", "LEVADA_LOG_LEVEL": "DEBUG"})

    assert (config.bucket, config.pack_rows, config.log_level) == ("lake", 10, "DEBUG")


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("LEVADA_PACK_ROWS", "0", "LEVADA_PACK_ROWS=0: must be a whole number from 1 to 10000"),
        ("LEVADA_PACK_ROWS", "many", "LEVADA_PACK_ROWS='many': must be a whole number from 1 to 10000"),
        ("LEVADA_MAX_SKEW_S", "-1", "LEVADA_MAX_SKEW_S='-1': must be a whole number from 0 to 86400"),
        ("LEVADA_LOG_LEVEL", "loud", "LEVADA_LOG_LEVEL='loud': must be one of DEBUG, INFO, WARNING, ERROR"),
    ],
)
def test_a_wrong_value_is_named_with_what_is_allowed(name: str, value: str, says: str) -> None:
    with pytest.raises(ConfigError, match=f"^{says}$"):
        Config.from_env({name: value})


def test_the_fault_switch_is_refused_on_aws_and_taken_elsewhere() -> None:
    with pytest.raises(ConfigError, match="must be 0 on AWS"):
        Config.from_env({"LEVADA_FAULT_EVERY": "3"})

    emulator = {"LEVADA_FAULT_EVERY": "3", "AWS_ENDPOINT_URL": "http://127.0.0.1:4599"}
    assert Config.from_env(emulator).fault_every == 3


def test_a_missing_name_says_what_it_is_for() -> None:
    with pytest.raises(ConfigError, match="LEVADA_BUCKET is not set: the name of the lake bucket"):
        Config(table="x").need("table", "bucket")


def test_an_unknown_domain_is_refused_by_name() -> None:
    assert list(enabled(" air_quality ,")) == ["air_quality"]
    with pytest.raises(ConfigError, match=r"\['weather'\]: registered are air_quality"):
        enabled("air_quality,weather")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"window_s": 7}, "window_s=7: must divide a day"),
        ({"lateness_s": -1}, "lateness_s=-1"),
        ({"keys": {"colour": "c"}}, "keys: 'colour'"),
        ({"metrics": {"a": Metric("x"), "b": Metric("x")}}, "may stand once"),
    ],
)
def test_a_declaration_that_cannot_work_is_refused_when_it_is_made(change: dict[str, object], says: str) -> None:
    good: dict[str, object] = {
        "name": "d",
        "time": Time(columns=("t",), formats=("%Y",)),
        "metrics": {"a": Metric("a")},
    }

    with pytest.raises(ConfigError, match=says):
        Domain(**good | change)  # type: ignore[arg-type]
