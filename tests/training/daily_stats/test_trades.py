"""Arrays of a day's trades: order, log prices before a time, and the grid."""

import math

import numpy as np
import polars as pl
import pytest

from contracts.durations import DAY_US, SECOND_US
from tests.support.prices import D0, trades
from training.daily_stats.trades import trades_by_symbol


def test_the_price_before_a_time_is_that_of_the_last_earlier_trade():
    day = trades([10, 20, 20, 30], [1.0, 2.0, 3.0, 4.0])
    times_us = D0 + np.array([0, 10, 11, 20, 21, 30, 31]) * SECOND_US
    expected = [1, 1, 1, 1, 3, 3, 4]
    assert np.exp(day.log_price_before(times_us)) == pytest.approx(expected)


@pytest.mark.parametrize("step_s", [30, 300, 86_400])
def test_the_grid_includes_both_ends_of_the_day(step_s):
    day = trades([0.5, 86_399.5], [1.0, math.e])
    grid = day.log_price_grid(step_s)
    assert len(grid) == 86_400 // step_s + 1
    assert (grid[0], grid[-2], grid[-1]) == (0.0, 0.0, 1.0)


def test_trades_are_sorted_by_time_sequence_and_id_and_split_by_symbol():
    ticks = pl.DataFrame(
        {
            "key": ["V:B", "V:A", "V:A", "V:A"],
            "event_time_us": [D0, D0 + 5, D0, D0],
            "seq": [1, 1, 2, 2],
            "trade_id": ["x", "d", "c", "b"],
            "price": [9.0, 3.0, 2.0, 1.0],
            "size": [1.0, 1.0, 1.0, 1.0],
            "side": [1, -1, None, 1],
        }
    )
    by_symbol = trades_by_symbol(ticks, D0)
    assert list(by_symbol) == ["V:A", "V:B"]
    assert by_symbol["V:A"].prices.tolist() == [1.0, 2.0, 3.0]
    assert by_symbol["V:A"].sides.tolist() == [1, 0, -1]
    assert by_symbol["V:A"].day_us == D0 == by_symbol["V:B"].times_us[0]


def test_an_empty_day_has_no_symbols():
    columns = ("key", "event_time_us", "seq", "trade_id", "price", "size", "side")
    assert trades_by_symbol(pl.DataFrame(schema=dict.fromkeys(columns, pl.Int64)), D0) == {}
    assert DAY_US == 24 * 3600 * SECOND_US
