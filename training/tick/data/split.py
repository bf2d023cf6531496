"""Splits by time, for all symbols together, with purging and an embargo.

Training rows whose label overlaps the test period are purged. The embargo removes further rows
before the test: the longest feature window (1 h) reaches back, so neighbouring rows share ticks.
See López de Prado, "Advances in Financial Machine Learning" (2018), ch. 7.
"""

from dataclasses import dataclass

import polars as pl

from contracts.durations import DAY_US, SECOND_US
from contracts.errors import DatasetError

# The last labels of a day need the minutes after it. A day that lacks only those counts as full.
FULL_DAY_SLACK_US = 300 * SECOND_US


@dataclass(frozen=True)
class Split:
    """Training and test rows of one fold.

    `left_out` is the number of rows between them that are in neither, by purge or embargo. The test
    is [test_from_us, test_to_us), µs UTC.
    """

    train: pl.DataFrame
    test: pl.DataFrame
    left_out: int
    test_from_us: int
    test_to_us: int
    embargo_us: int


def purged_split(frame: pl.DataFrame, test_from_us: int, test_to_us: int, embargo_us: int) -> Split:
    """Test: decisions in [test_from, test_to). Train: rows that exit before test_from - embargo.

    All times in µs UTC. Walk-forward calls it once per fold. Raises DatasetError if either part is
    empty.
    """
    decision = pl.col("decision_us")
    before = frame.filter(decision < test_from_us)
    train = before.filter(pl.col("exit_us") < test_from_us - embargo_us)
    test = frame.filter(decision.is_between(test_from_us, test_to_us, closed="left"))
    if train.is_empty() or test.is_empty():
        raise DatasetError(
            f"{len(train)} training and {len(test)} test rows after purge and embargo",
            "choose a range that starts earlier: it must exceed the hold-out days and the embargo",
        )
    return Split(train, test, len(before) - len(train), test_from_us, test_to_us, embargo_us)


def holdout_split(frame: pl.DataFrame, test_days: int, embargo_share: float, grid_s: int) -> Split:
    """Test: the last `test_days` full UTC days and the incomplete day after them.

    Everything before is the training part, less an embargo of `embargo_share` of the whole range.
    """
    first_us = int(frame["decision_us"].min())  # type: ignore[arg-type]
    last_us = int(frame["decision_us"].max())  # type: ignore[arg-type]
    end_us = last_us + grid_s * SECOND_US
    full_days_end = (end_us + FULL_DAY_SLACK_US) // DAY_US
    test_from_us = (full_days_end - test_days) * DAY_US
    return purged_split(frame, test_from_us, end_us, int((end_us - first_us) * embargo_share))
