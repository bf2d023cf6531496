"""Split by time: hours to fit on, hours for early stopping, and the last days as the test set.

No purging is needed between the parts: a label covers its hour only, and no feature is younger than
24 hours.
"""

from dataclasses import dataclass

import polars as pl

from contracts.durations import DAY_US
from contracts.errors import DatasetError

FIT_DAYS_MIN = 28
LONGEST_LAG_DAYS = 7


@dataclass(frozen=True)
class DataSplit:
    """Rows of each part, in time order; no part is empty."""

    fit: pl.DataFrame
    valid: pl.DataFrame
    test: pl.DataFrame

    @property
    def train(self) -> pl.DataFrame:
        """All rows that influence the model: `fit`, and `valid` for early stopping."""
        return pl.concat([self.fit, self.valid])


def split_by_time(samples: pl.DataFrame, end_us: int, test_days: int, valid_days: int) -> DataSplit:
    """Test set: the `test_days` before `end_us`; validation set: the `valid_days` before those.

    `end_us` is in µs UTC. Raises DatasetError if fewer than FIT_DAYS_MIN days remain to fit on, or
    another part is empty.
    """
    test_from_us = end_us - test_days * DAY_US
    valid_from_us = test_from_us - valid_days * DAY_US
    time = pl.col("event_time_us")
    fit = samples.filter(time < valid_from_us)
    valid = samples.filter((time >= valid_from_us) & (time < test_from_us))
    test = samples.filter((time >= test_from_us) & (time < end_us))
    fit_days = fit.select((time // DAY_US).n_unique()).item()
    if fit_days < FIT_DAYS_MIN or valid.is_empty() or test.is_empty():
        required = LONGEST_LAG_DAYS + FIT_DAYS_MIN + valid_days + test_days
        raise DatasetError(
            f"{fit_days} days are left to fit on, {FIT_DAYS_MIN} is the least",
            f"load readings of at least {required} days before the end",
        )
    return DataSplit(fit, valid, test)
