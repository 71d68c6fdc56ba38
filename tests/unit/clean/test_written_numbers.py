"""Numbers as a domain writes them: marks, thousands, affixes; columns and single items are read the same way."""

from __future__ import annotations

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from levada.clean import numbers
from levada.domains.declaration import Domain, Metric, Time
from levada.ingest.items import RefusedError, judge

TIME = Time(columns=("t",), formats=("iso",))
US = Domain(
    name="us", time=TIME, metrics={"n": Metric("n")}, thousands=",", decimal=".", affixes="$%", missing=("NA", "?")
)
EU = Domain(name="eu", time=TIME, metrics={"n": Metric("n")}, thousands=".", decimal=",", affixes="€")
BAD = "bad"
READ: list[tuple[Domain, str, float | str | None]] = [
    (US, "1,012.50", 1012.5),
    (US, "$1,012.50", 1012.5),
    (US, " 12% ", 12.0),
    (US, "1,234,567", 1234567.0),
    (US, "-1,234", -1234.0),
    (US, "1,5", BAD),
    (US, "1,23,456", BAD),
    (US, "NA", None),
    (US, "na", None),
    (US, "?", None),
    (US, "", None),
    (US, "many", BAD),
    (EU, "1.234,5", 1234.5),
    (EU, "12,5 €", 12.5),
    (EU, "1.5", BAD),
    (EU, "1e3", 1000.0),
]


def of_column(texts: list[str], domain: Domain) -> list[float | str | None]:
    values, wrong = numbers.parse(pa.array(texts, pa.string()), domain)
    return [BAD if bad else value for value, bad in zip(values.to_pylist(), wrong.to_pylist(), strict=True)]


def is_taken(text: str, domain: Domain) -> bool:
    try:
        judge({"t": "2025-12-01T00:00:00Z", "n": text}, domain)
    except RefusedError:
        return False
    return True


@pytest.mark.parametrize(("domain", "text", "value"), READ)
def test_a_number_is_read_as_its_domain_writes_it(domain: Domain, text: str, value: float | str | None) -> None:
    assert of_column([text], domain) == [value]
    assert is_taken(text, domain) is (value != BAD)


@pytest.mark.parametrize("domain", [US, EU], ids=["us", "eu"])
def test_neighbours_do_not_matter(domain: Domain) -> None:
    texts = [text for of, text, _ in READ if of is domain]

    assert of_column(texts, domain) == [value for of, _, value in READ if of is domain]


@given(st.text("0123456789.,$%+-eE ?NA", max_size=8), st.sampled_from([US, EU]))
def test_what_http_takes_clean_takes_too(text: str, domain: Domain) -> None:
    assert is_taken(text, domain) is (of_column([text], domain) != [BAD])
