"""Parts by time: hours to fit, hours to stop early by, and the last days untouched for the gate.

No label reaches beyond its hour and no feature behind the day before, hence nothing needs to be
purged between the parts.
"""

from dataclasses import dataclass

import polars as pl

from contracts.errors import DatasetError
from training.power.files import DAY_US

FIT_DAYS_MIN = 28


@dataclass(frozen=True)
class Parts:
    """Rows of each part, in time order, none of them empty."""

    fit: pl.DataFrame
    valid: pl.DataFrame
    test: pl.DataFrame

    @property
    def train(self) -> pl.DataFrame:
        """Everything that the model was made from: the validation hours decided when to stop."""
        return pl.concat([self.fit, self.valid])


def split(samples: pl.DataFrame, end_us: int, test_days: int, valid_days: int) -> Parts:
    """The `test_days` before `end_us`, the `valid_days` before those, all that is older. Raises
    DatasetError when that is too little.
    """
    test_from, valid_from = end_us - test_days * DAY_US, end_us - (test_days + valid_days) * DAY_US
    time = pl.col("event_time_us")
    fit = samples.filter(time < valid_from)
    valid = samples.filter((time >= valid_from) & (time < test_from))
    test = samples.filter((time >= test_from) & (time < end_us))
    days = fit.select((time // DAY_US).n_unique()).item()
    if days < FIT_DAYS_MIN or valid.is_empty() or test.is_empty():
        needed = 7 + FIT_DAYS_MIN + valid_days + test_days
        raise DatasetError(
            f"{days} days are left to fit on, {FIT_DAYS_MIN} is the least",
            f"{needed} days of readings are needed up to the day",
        )
    return Parts(fit, valid, test)
