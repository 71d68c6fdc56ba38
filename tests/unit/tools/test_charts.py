"""Charts of characters."""

from __future__ import annotations

import pytest

from levadactl.charts import BARS, number, plot, resample, sparkline


def test_a_sparkline_goes_from_lowest_to_highest_with_blanks_where_nothing_is() -> None:
    assert sparkline([0, 1, 2, 3, 4, 5, 6, 7]) == BARS
    assert sparkline([0, None, 7]) == f"{BARS[0]} {BARS[-1]}"
    assert sparkline([-5, -5]) == BARS[0] * 2
    assert sparkline([None, None]) == "  "
    assert sparkline([]) == ""


def test_more_values_than_columns_are_averaged_in_order() -> None:
    assert resample([1, 3, None, None, 5, 7], 3) == [2, None, 6]
    assert len(sparkline(range(1000), 40)) == 40


def test_a_plot_stands_on_zero_and_its_highest_column_is_full() -> None:
    lines = plot([4, 2, None, 0], height=2)

    assert lines == ["█   ", "██  "]


@pytest.mark.parametrize(
    ("value", "text"), [(None, ""), (0.75784, "0.7578"), (1360, "1360"), (123456.7, "123,457"), (-200, "-200")]
)
def test_numbers_in_tables(value: float | None, text: str) -> None:
    assert number(value) == text
