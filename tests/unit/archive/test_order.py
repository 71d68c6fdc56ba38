"""What archive may be asked: strictly read, and refused with the field, its value and what is allowed."""

from __future__ import annotations

from typing import Any

import pytest

from levada.archive.order import Order, Rollups, parse
from levada.core.errors import ConfigError
from levadactl.events import schedule

DOMAINS = ("air_quality", "tides")


def read(detail: Any, source: Any = "levada.test") -> Order:
    return parse({"source": source, "detail": detail}, idle_after_s=60, domains=DOMAINS)


@pytest.mark.parametrize("detail", [{}, None])
def test_a_schedule_closes_idle_windows_only(detail: Any) -> None:
    assert parse(schedule() | {"detail": detail}, idle_after_s=60, domains=DOMAINS) == Order(60)
    assert not read(detail).compacts


def test_an_order_may_shorten_the_wait_and_ask_for_compaction() -> None:
    assert read({"idle_after_s": 0}) == Order(0)
    assert read({"compact": "due"}) == Order(60, due=True)
    assert read({"compact": {"domain": "tides", "date": "2004-02-29"}}) == Order(60, partition=("tides", "2004-02-29"))
    assert read({"compact": {"domain": "tides", "date": "__undated__"}}).partition == ("tides", "__undated__")
    assert read({"compact": "due"}).compacts


def test_an_order_may_ask_for_rollups_of_all_or_of_one_domain() -> None:
    assert read({"rollups": "due"}) == Order(60, rollups_due=True)
    one = {"domain": "tides", "periods": ["1mo", "1d"], "since": "2004-02-29"}
    assert read({"rollups": one}) == Order(60, rollups=Rollups("tides", ("1d", "1mo"), "2004-02-29"))
    assert read({"rollups": {"domain": "tides"}}).rollups == Rollups("tides", ("1h", "1d", "1w", "1mo"))
    assert read({"rollups": one}).rolls_up
    assert not read({"compact": "due"}).rolls_up


@pytest.mark.parametrize(
    ("detail", "message"),
    [
        ({"idle": 0}, r"detail\.idle=0: must be only idle_after_s and compact and rollups and retention are"),
        ([1], r"detail=\[1\]: must be an object"),
        ({"idle_after_s": -1}, r"detail\.idle_after_s=-1: must be a whole number of seconds from 0 to 86400"),
        ({"idle_after_s": 86_401}, "from 0 to 86400"),
        ({"idle_after_s": True}, r"idle_after_s=True"),
        ({"idle_after_s": "60"}, r"idle_after_s='60'"),
        ({"idle_after_s": None}, r"idle_after_s=None"),
        ({"rollups": "all"}, r"detail\.rollups='all': must be \"due\", or an object with domain"),
        ({"rollups": {"domain": "moon"}}, r"rollups\.domain='moon': must be air_quality, tides"),
        ({"rollups": {"domain": "tides", "periods": ["1y"]}}, r"periods=\['1y'\]: must be a list of 1h, 1d, 1w, 1mo"),
        ({"rollups": {"domain": "tides", "periods": []}}, r"periods=\[\]"),
        ({"rollups": {"domain": "tides", "since": "-1d"}}, r"since='-1d': must be a day"),
        ({"rollups": {"domain": "tides", "until": "x"}}, "an object with domain"),
        ({"retention": "now"}, r"detail\.retention='now': must be \"due\" or \"look\""),
        ({"compact": "all"}, r"detail\.compact='all': must be \"due\", or an object with domain and date"),
        ({"compact": {"domain": "tides"}}, "an object with domain and date"),
        ({"compact": {"domain": "moon", "date": "2004-03-10"}}, r"domain='moon': must be air_quality, tides"),
        ({"compact": {"domain": ["tides"], "date": "2004-03-10"}}, "must be air_quality, tides"),
        ({"compact": {"domain": "tides", "date": "2004-02-30"}}, r"date='2004-02-30': must be a day as YYYY-MM-DD"),
        ({"compact": {"domain": "tides", "date": "20040210"}}, "must be a day"),
        ({"compact": {"domain": "tides", "date": "../checkpoints"}}, "must be a day"),
        ({"compact": {"domain": "tides", "date": 20040210}}, "must be a day"),
    ],
)
def test_a_bad_order_is_refused_by_name(detail: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        read(detail)


@pytest.mark.parametrize("source", [None, "aws.s3", "levada", 7])
def test_only_schedules_and_our_own_tools_give_orders(source: Any) -> None:
    with pytest.raises(ConfigError, match=r"must be aws\.events, or a name that begins with levada\."):
        read({}, source)
