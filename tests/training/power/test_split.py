"""The split by time: sizes, edges, and the message when too few days remain."""

import numpy as np
import polars as pl
import pytest

from contracts.durations import DAY_US, HOUR_US
from contracts.errors import DatasetError
from training.power.split import FIT_DAYS_MIN, split_by_time

T0 = 1_483_228_800_000_000  # 2017-01-01


def hours(days):
    times = np.arange(T0, T0 + days * DAY_US, HOUR_US)
    return pl.DataFrame({"event_time_us": times, "kw": np.arange(len(times), dtype=float)})


def test_every_hour_before_the_end_is_in_exactly_one_part():
    frame = hours(60)
    parts = split_by_time(frame, T0 + 58 * DAY_US, test_days=10, valid_days=5)
    together = pl.concat([parts.fit, parts.valid, parts.test])
    assert together["event_time_us"].to_list() == frame["event_time_us"].to_list()[: 58 * 24]
    assert [len(part) // 24 for part in (parts.fit, parts.valid, parts.test)] == [43, 5, 10]
    assert parts.train.equals(pl.concat([parts.fit, parts.valid]))


def test_the_least_number_of_days_is_enough_and_one_less_is_not():
    enough = FIT_DAYS_MIN + 2 + 3
    parts = split_by_time(hours(enough), T0 + enough * DAY_US, test_days=3, valid_days=2)
    assert len(parts.fit) == FIT_DAYS_MIN * 24
    with pytest.raises(DatasetError, match="27 days are left to fit on, 28 is the least") as error:
        split_by_time(hours(enough), T0 + (enough - 1) * DAY_US, test_days=3, valid_days=2)
    assert "at least 40 days" in error.value.hint


@pytest.mark.parametrize(("test_days", "valid_days"), [(0, 5), (5, 0)])
def test_an_empty_part_is_refused(test_days, valid_days):
    with pytest.raises(DatasetError, match="days are left to fit on"):
        split_by_time(hours(60), T0 + 60 * DAY_US, test_days, valid_days)


def test_a_day_with_a_single_hour_counts_as_a_day():
    sparse = hours(FIT_DAYS_MIN + 5).filter(
        (pl.col("event_time_us") % DAY_US == 0) | (pl.col("event_time_us") >= T0 + 28 * DAY_US)
    )
    parts = split_by_time(sparse, T0 + (FIT_DAYS_MIN + 5) * DAY_US, test_days=3, valid_days=2)
    assert len(parts.fit) == FIT_DAYS_MIN
