"""Answers: exact numbers, no NaN, CSV by RFC 4180 whose cells no spreadsheet evaluates (A14)."""

from __future__ import annotations

import csv
import io
import json
import math
import statistics
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from levada.core.partials import from_rows, merge
from levada.core.positions import pad_sequence
from levada.query import render
from levada.query.errors import ParameterError
from levada.query.windows import WINDOW
from tests.unit.core.test_partials import table


def rendered(values: list[float | None]) -> dict[str, Any]:
    rows = table([("a", 30, v, i) for i, v in enumerate(values)])
    part = merge(from_rows(rows, width_s=60, opened=pad_sequence(1), watermark_us=None))
    (row,) = render.windows(part.append_column(WINDOW.field("revisions"), pa.array([1], pa.int32())))
    return row


def test_a_window_has_all_its_statistics_in_a_fixed_order() -> None:
    row = rendered([1.0, 2.0, None, 4.0])

    assert tuple(row) == render.WINDOW_COLUMNS
    assert (row["start"], row["end"], row["width_s"]) == ("1970-01-01T00:00:00Z", "1970-01-01T00:01:00Z", 60)
    assert (row["count"], row["missing"], row["sum"], row["min"], row["max"]) == (3, 1, 7.0, 1.0, 4.0)
    assert (row["first"], row["last"], row["late"], row["revisions"]) == (1.0, 4.0, 0, 1)
    assert row["stddev"] == pytest.approx(statistics.stdev([1.0, 2.0, 4.0]), rel=1e-12)


def test_a_spread_needs_two_values() -> None:
    assert rendered([5.0])["stddev"] is None
    empty = rendered([None])
    assert [empty[name] for name in ("count", "mean", "stddev", "min", "max", "first", "last")] == [0, *[None] * 6]


def test_what_is_no_number_is_null() -> None:
    with np.errstate(over="ignore", invalid="ignore"):
        row = rendered([1e308, 1e308])

    assert row["sum"] is None
    assert row["max"] == 1e308
    assert json.loads(render.to_json(row))["sum"] is None


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False, width=64), min_size=1, max_size=5))
def test_numbers_read_back_as_the_same_numbers(values: list[float]) -> None:
    rows = [{"value": v} for v in values]

    assert [r["value"] for r in json.loads(render.to_json({"rows": rows}))["rows"]] == values
    assert [float(r["value"]) for r in csv.DictReader(io.StringIO(render.to_csv(rows, ["value"])))] == values


def test_nan_never_leaves() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        render.to_json({"value": math.nan})


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")), min_size=1, max_size=5))
def test_names_survive_csv_whatever_they_hold(names: list[str]) -> None:
    text = render.to_csv([{"series": n, "count": 1} for n in names], ["series", "count"])

    back = list(csv.reader(io.StringIO(text, newline="")))
    assert back[0] == ["series", "count"]
    assert [
        row[0].removeprefix("'") if n[:1] in render.EVALUATED else row[0]
        for n, row in zip(names, back[1:], strict=True)
    ] == names
    assert not [row for row in back[1:] if row[0][:1] in render.EVALUATED and row[0]]


def test_csv_has_a_header_crlf_and_empty_cells_and_defuses_text_only() -> None:
    rows = [{"series": '=HYPERLINK("x")', "min": -1.5, "max": None}, {"series": "a,b", "min": 2.0, "max": 1e22}]

    assert render.to_csv(rows, ["series", "min", "max"]) == (
        'series,min,max\r\n"\'=HYPERLINK(""x"")",-1.5,\r\n"a,b",2.0,1e+22\r\n'
    )


@pytest.mark.parametrize(
    ("name", "accept", "kind"),
    [
        (None, None, render.JSON),
        (None, "", render.JSON),
        (None, "*/*", render.JSON),
        (None, "text/csv", render.CSV),
        (None, "text/csv, */*;q=0.1", render.CSV),
        (None, "Text/CSV;charset=utf-8", render.CSV),
        (None, "text/html,application/xhtml+xml,*/*;q=0.8", render.JSON),
        (None, "text/csv;q=0.5, application/json", render.JSON),
        (None, "application/json;q=0.5, text/csv;q=0.9", render.CSV),
        (None, "text/csv;q=0", render.JSON),
        (None, "text/csv;q=much", render.JSON),
        ("csv", "application/json", render.CSV),
        ("json", "text/csv", render.JSON),
    ],
)
def test_the_format_parameter_decides_else_accept(name: str | None, accept: str | None, kind: str) -> None:
    assert render.media_type(name, accept) == kind


def test_other_formats_are_refused() -> None:
    with pytest.raises(ParameterError, match="format='xlsx': must be one of json, csv"):
        render.media_type("xlsx", None)
