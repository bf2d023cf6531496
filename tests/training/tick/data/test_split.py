"""Time splits: no label of training reaches into the embargo before the test, for all symbols
together.
"""

import polars as pl
import pytest

from contracts.errors import DatasetError
from tests.support.market import DAY, T0, S, dataset
from training.tick.data import split

FRAME = dataset(days=10).frame


def test_the_last_seven_full_days_are_the_test():
    parts = split.holdout_split(FRAME, 7, 0.01, 60)
    assert parts.test_from_us == T0 + 3 * DAY
    assert parts.test["decision_us"].min() == T0 + 3 * DAY
    assert (parts.test["decision_us"] // DAY).n_unique() == 7


def test_a_begun_day_is_added_and_does_not_count():
    longer = FRAME.filter(pl.col("decision_us") < T0 + 9 * DAY + DAY // 2)
    parts = split.holdout_split(longer, 7, 0.01, 60)
    assert parts.test_from_us == T0 + 2 * DAY
    assert (parts.test["decision_us"] // DAY).n_unique() == 8


def test_a_day_whose_last_label_is_missing_is_full():
    shorter = FRAME.filter(pl.col("decision_us") < T0 + 10 * DAY - 120 * S)
    assert split.holdout_split(shorter, 7, 0.01, 60).test_from_us == T0 + 3 * DAY


@pytest.mark.parametrize("embargo", [0.0, 0.01, 0.1])
def test_training_labels_end_before_the_embargo_and_nothing_is_lost_uncounted(embargo):
    parts = split.holdout_split(FRAME, 7, embargo, 60)
    span = 10 * DAY
    assert parts.train["exit_us"].max() < parts.test_from_us - int(embargo * span * 0.999)
    assert len(parts.train) + len(parts.test) + parts.left_out == len(FRAME)
    # The rows whose label, which ends 66 s after the decision, reaches into the embargo.
    first_us, last_us = FRAME["decision_us"].min(), FRAME["decision_us"].max()
    embargo_us = int((last_us + 60 * S - first_us) * embargo)
    purged_from_us = parts.test_from_us - embargo_us - 66 * S
    purged = pl.col("decision_us").is_between(purged_from_us, parts.test_from_us, closed="left")
    assert parts.left_out == len(FRAME.filter(purged)) >= 2


def test_folds_walk_forward_without_meeting():
    folds = [
        split.purged_split(FRAME, T0 + day * DAY, T0 + (day + 1) * DAY, DAY // 10)
        for day in range(5, 9)
    ]
    for fold in folds:
        assert set(fold.train["decision_us"]).isdisjoint(fold.test["decision_us"])
        assert set(fold.train["symbol"]) == set(fold.test["symbol"])
    assert [len(fold.train) for fold in folds] == sorted(len(fold.train) for fold in folds)


def test_too_short_a_history_is_refused_with_its_numbers():
    with pytest.raises(DatasetError, match="0 training and"):
        split.holdout_split(FRAME, 10, 0.01, 60)
