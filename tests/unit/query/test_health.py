"""Health: every part is asked, and the one that is down says why (A8)."""

from __future__ import annotations

from levada.core.errors import ConfigError, UnavailableError
from levada.query.health import check


def _raise(err: Exception) -> None:
    raise err


def test_all_parts_answer() -> None:
    found = check({"lake": lambda: None, "table": lambda: 5})

    assert found.ok
    assert found.parts == {"lake": "ok", "table": "ok"}


def test_a_part_that_is_down_says_why_and_hides_no_other() -> None:
    found = check(
        {
            "lake": lambda: _raise(UnavailableError("list: timed out")),
            "table": lambda: _raise(ConfigError("LEVADA_TABLE is not set")),
            "raw_stream": lambda: _raise(KeyError("list s3://lake")),
            "clean_stream": lambda: None,
        }
    )

    assert not found.ok
    assert found.parts == {
        "lake": "down: list: timed out",
        "table": "down: LEVADA_TABLE is not set",
        "raw_stream": "down: list s3://lake",
        "clean_stream": "ok",
    }
