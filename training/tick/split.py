"""Splits by time, for all symbols together: training ends before the test begins, less labels that
overlap and an embargo.

The embargo also lies before the test: the longest feature window (1 h) reaches back, so neighbours
share ticks.
"""

from dataclasses import dataclass

import polars as pl

from contracts.errors import DatasetError
from training.tick.dataset import SECOND_US

DAY_US = 86_400 * SECOND_US
FULL_DAY_SLACK_US = (
    300 * SECOND_US
)  # the last labels of a day need the minutes after it: without them it is full all the same


@dataclass(frozen=True)
class Split:
    """Training and test rows of one fold; `purged` rows between them are in neither. Times are µs,
    UTC, test in [from, to).
    """

    train: pl.DataFrame
    test: pl.DataFrame
    purged: int
    test_from_us: int
    test_to_us: int
    embargo_us: int


def purged(frame: pl.DataFrame, test_from_us: int, test_to_us: int, embargo_us: int) -> Split:
    """Test = decisions in [test_from, test_to); train = earlier rows whose exit lies before
    test_from − embargo.

    Walk-forward is this function once per fold. Raises DatasetError when either side is empty.
    """
    before = frame.filter(pl.col("decision_us") < test_from_us)
    train = before.filter(pl.col("exit_us") < test_from_us - embargo_us)
    test = frame.filter(pl.col("decision_us").is_between(test_from_us, test_to_us, closed="left"))
    if train.is_empty() or test.is_empty():
        message = f"{len(train)} training and {len(test)} test rows after purge and embargo"
        raise DatasetError(
            message, "the range must reach further back than the test days and the embargo"
        )
    return Split(train, test, len(before) - len(train), test_from_us, test_to_us, embargo_us)


def holdout(frame: pl.DataFrame, test_days: int, embargo: float, grid_s: int) -> Split:
    """The last `test_days` full UTC days, and the begun day after them, against everything before;
    embargo is a share of the span.
    """
    first, last = int(frame["decision_us"].min()), int(frame["decision_us"].max())  # type: ignore[arg-type]
    end = last + grid_s * SECOND_US
    test_from = ((end + FULL_DAY_SLACK_US) // DAY_US - test_days) * DAY_US
    return purged(frame, test_from, end, int((end - first) * embargo))
